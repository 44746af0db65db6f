"""Prove which releases of a dependency your code really runs on.

The harness. It knows nothing about the code it tests, and never imports the dependency under test:
that happens only inside a cell (see `torchfloor.incell`).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("torchfloor")
except PackageNotFoundError:  # used from a checkout, without being installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
