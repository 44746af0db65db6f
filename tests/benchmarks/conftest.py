"""Put the in-cell plugin on the path, as it is where a release is measured."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "src" / "torchfloor" / "incell"))
