"""Wheels × interpreters × devices -> where a cell runs, or why it does not."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple

from torchfloor.fitting import best_wheel, parts, pythons_of, required_python
from torchfloor.host import OLDEST_PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.version import Version

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Host
    from torchfloor.releases import Offers
    from torchfloor.wheels import Wheel

__all__ = ["Placement", "find_place", "main_python"]

_NO_INTERPRETER = "3.11"
"""The Python named in cell identifiers on a host that has none."""


class Placement(NamedTuple):
    """Where a cell runs, or why it does not."""

    python: str
    wheel: Wheel | None
    status: Literal["planned", "not-run", "unavailable"]
    reason: str = ""


def main_python(
    matrix: Matrix, host: Host, selected: Iterable[Version], offers: Mapping[str, Offers]
) -> str:
    """Pick the interpreter that covers most promised cells, then most cells, then the newest.

    Args:
        matrix: Names the Python, or leaves it open.
        host: What can run here.
        selected: The releases that become cells.
        offers: What each flavour can be installed from.
    """
    if matrix.python != "auto":
        return matrix.python
    promised: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for release, flavour, python in product(selected, offers.values(), host.pythons):
        if best_wheel(flavour.get(release, []), python, host.platforms):
            covered[python] += 1
            promised[python] += release >= matrix.declared
    return max(
        host.pythons, key=lambda p: (promised[p], covered[p], parts(p)), default=_NO_INTERPRETER
    )


def find_place(
    matrix: Matrix, host: Host, flavour: str, wheels: Sequence[Wheel], main: str
) -> Placement:
    """Find the interpreter and wheel of a cell, or the reason why it cannot run.

    Args:
        matrix: Names the Python, or leaves it open, and what the flavour needs.
        host: What can run here.
        flavour: The cell's flavour.
        wheels: What its release can be installed from.
        main: The interpreter of most cells, which is tried first.
    """
    others = host.pythons if matrix.python == "auto" else ()
    for python in (main, *others):
        if python in host.pythons and (wheel := best_wheel(wheels, python, host.platforms)):
            return _on_device(Placement(python, wheel, "planned"), matrix, flavour, host)
    if main not in host.pythons and best_wheel(wheels, main, host.platforms):
        return Placement(main, None, "not-run", _no_python([main]))
    return _without_place(wheels, host, main, is_open=bool(others))


def _on_device(place: Placement, matrix: Matrix, flavour: str, host: Host) -> Placement:
    """Do not run what could run but for its device."""
    needs = matrix.flavours[flavour].needs
    if needs is None or needs in host.devices:
        return place
    return place._replace(status="not-run", reason=f"no {needs.upper()} device on this machine")


def _without_place(wheels: Sequence[Wheel], host: Host, main: str, *, is_open: bool) -> Placement:
    """Say why no wheel fits an interpreter that is here."""
    wanted = pythons_of(wheels, host.platforms)
    if not wanted:
        return _for_no_python(wheels, host, main, is_open=is_open)
    if not is_open and main not in wanted:
        return Placement(main, None, "unavailable", f"no wheel for Python {main}")
    usable = [python for python in wanted if parts(python) >= OLDEST_PYTHON]
    if not usable:
        reason = f"needs Python {wanted[0]}, and cells need 3.9 or newer"
        return Placement(wanted[0], None, "not-run", reason)
    return Placement(usable[0], None, "not-run", _no_python(usable))


def _for_no_python(wheels: Sequence[Wheel], host: Host, main: str, *, is_open: bool) -> Placement:
    """Tell wheels for any Python that ask for another one from those of another platform."""
    needed = required_python(wheels, host.platforms)
    if needed and is_open:
        return Placement(main, None, "not-run", _no_python([needed]))
    if needed:
        reason = f"no wheel for Python {main}: it needs {needed}"
    else:
        reason = next((wheel.withheld for wheel in wheels), "") or "no wheel for this platform"
    return Placement(main, None, "unavailable", reason)


def _no_python(usable: Sequence[str]) -> str:
    return f"no Python {' or '.join(usable)} on this machine; install one"
