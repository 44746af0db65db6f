"""`python -m torchfloor`."""

import sys

from torchfloor.cli import main

sys.exit(main())
