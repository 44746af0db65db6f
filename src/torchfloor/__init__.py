"""Prove which releases of a dependency your code really runs on.

The harness. It knows nothing about the code it tests, and never imports the dependency under test:
that happens only inside a cell (see `torchfloor.incell`).
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
