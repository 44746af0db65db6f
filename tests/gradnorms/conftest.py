"""What the tests of gradnorms share. Torch may be missing, and is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=("public", "private", "loop"))
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Force each path in turn, as far as it works."""
    import torch  # noqa: PLC0415
    from tests.gradnorms.working import WORKING  # noqa: PLC0415

    from gradnorms import force_path  # noqa: PLC0415

    if request.param not in WORKING:
        pytest.skip(f"torch {torch.__version__} has no working {request.param} path")
    with force_path(request.param):
        yield request.param
