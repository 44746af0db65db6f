"""Put the in-cell plugin on the path, as the harness does: it is never installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "src" / "torchfloor" / "incell"))
