"""The installer's arguments: one pinned wheel, everything in one transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests.torchfloor.builders import make_cell, make_wheel

from torchfloor.install import (
    IN_CELL,
    create_arguments,
    environment_python,
    install_arguments,
    requirements,
    resolve_arguments,
)

CELL = make_cell("1.0", companions=("numpy<2", "more"))
ENV = Path("/cells/env")


def test_the_wheel_is_pinned_by_address_and_digest_before_its_companions() -> None:
    pinned = f"dep @ https://files.invalid/dep-1.0-py3-none-any.whl#sha256={'ab' * 32}"
    assert requirements(CELL) == (pinned, "numpy<2", "more", *IN_CELL)


def test_a_wheel_without_a_digest_is_pinned_by_its_address_alone() -> None:
    cell = make_cell("1.0", wheel=make_wheel("1.0", sha256=None))
    assert requirements(cell)[0] == "dep @ https://files.invalid/dep-1.0-py3-none-any.whl"


def test_every_requirement_is_a_requirement() -> None:
    names = [Requirement(text).name for text in requirements(CELL)]
    assert names == ["dep", "numpy", "more", "pytest", "pytest-benchmark", "pytest-timeout"]


def test_everything_is_installed_in_one_transaction_from_a_cache_of_its_own() -> None:
    arguments = install_arguments("uv", Path("in.txt"), ENV, Path("/cells/cache"))
    assert arguments[:3] == ["uv", "pip", "install"]
    assert arguments[arguments.index("--cache-dir") + 1] == "/cells/cache"
    assert arguments[arguments.index("--python") + 1] == str(environment_python(ENV))
    assert arguments[-2:] == ["--requirements", "in.txt"]


def test_nothing_is_ever_built() -> None:
    assert "--no-build" in install_arguments("uv", Path("in.txt"), ENV, Path("/cells/cache"))
    assert "--no-build" in resolve_arguments("uv", "3.11", Path("in"), Path("pylock.toml"))


def test_an_interpreter_is_never_downloaded() -> None:
    arguments = create_arguments("uv", CELL, ENV)
    assert "--no-python-downloads" in arguments
    assert arguments[arguments.index("--python") + 1] == "3.11"
    assert arguments[-1] == str(ENV)


def test_resolving_is_for_the_cells_python_and_writes_a_lock() -> None:
    arguments = resolve_arguments("uv", "3.11", Path("in"), Path("pylock.toml"))
    assert arguments[arguments.index("--python") + 1] == "3.11"
    assert arguments[arguments.index("--output-file") + 1] == "pylock.toml"
    assert arguments[-1] == "in"


@pytest.mark.parametrize(
    ("system", "inside"), [("nt", "Scripts/python.exe"), ("posix", "bin/python")]
)
def test_the_interpreter_of_an_environment_lies_where_the_system_puts_it(
    monkeypatch: pytest.MonkeyPatch, system: str, inside: str
) -> None:
    monkeypatch.setattr("os.name", system)
    python = environment_python(ENV)
    monkeypatch.undo()
    assert python == ENV / inside
