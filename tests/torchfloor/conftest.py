"""Put the in-cell plugin on the path, as the harness does: it is never installed."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.append(str(Path(__file__).parents[2] / "src" / "torchfloor" / "incell"))

# For fuzzing at length: pytest --hypothesis-profile=long. Where CI=true is set, hypothesis looks at
# the same examples every time, and so does this profile.
settings.register_profile("long", parent=settings.default, max_examples=10_000)
