"""Where modules come from: what a wheel brought is told from what stands in its place."""

from __future__ import annotations

import importlib
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.system import LINKS
from tests.torchfloor.test_incell import install_into

from torchfloor_incell import origin
from torchfloor_incell.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = {"fakedep/__init__.py": "x = 1", "fakedep/one.py": "", "fakedep/two.py": ""}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return where packages are installed, behind a folder that comes first on the path."""
    folder = tmp_path / "site"
    monkeypatch.setattr(origin, "_SITE", [str(folder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.syspath_prepend(tmp_path / "first")
    install_into(folder, "fakedep", "1.0", CODE)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "fakedep"]:
        del sys.modules[name]


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def overwritten(site: Path) -> str:
    install_into(site, "rogue", "1", {"fakedep/__init__.py": "x = 2"})
    return "fakedep/__init__.py was overwritten by rogue, which installs that file, too"


def written_into(site: Path) -> str:
    write(site / "fakedep/__init__.py", "x = 2")
    return f"{site / 'fakedep/__init__.py'} is not as the RECORD of its wheel says"


def without_digest(site: Path) -> str:
    write(site / "fakedep-1.0.dist-info/RECORD", "fakedep/__init__.py,,\n")
    return "its digest is wrong or missing there"


def not_in_the_wheel(site: Path) -> str:
    write(site / "fakedep-1.0.dist-info/RECORD", "another.py,,\n")
    return "__init__.py was imported as fakedep, and the wheel of fakedep has no such file"


def brought_by_another_alone(site: Path) -> str:
    shutil.rmtree(site / "fakedep")
    install_into(site, "fakedep", "1.0", {"another.py": ""})
    install_into(site, "rogue", "1", CODE)
    return "__init__.py was imported as fakedep, and the wheel of fakedep has no such file"


def not_installed(site: Path) -> str:
    shutil.rmtree(site / "fakedep-1.0.dist-info")
    return "fakedep is not installed in this cell by a wheel with a RECORD"


def a_module_before_it(site: Path) -> str:
    write(site.parent / "first/fakedep.py", "x = 2")
    return (
        f"{site.parent / 'first/fakedep.py'} was imported as fakedep, and the wheel of fakedep has"
    )


def a_package_before_it(site: Path) -> str:
    write(site.parent / "first/fakedep/__init__.py", "x = 2")
    return f"{site.parent / 'first/fakedep/__init__.py'} was imported as fakedep"


def a_folder_behind_a_link(site: Path) -> str:
    shutil.move(site / "fakedep", site.parent / "moved")
    (site / "fakedep").symlink_to(site.parent / "moved")
    return f"{site / 'fakedep/__init__.py'} was imported as fakedep"


def a_namespace_of_two_folders(site: Path) -> str:
    (site / "fakedep/__init__.py").unlink()
    (site.parent / "first/fakedep").mkdir(parents=True)
    return f"{site.parent / 'first/fakedep'} was imported as fakedep"


@pytest.mark.parametrize(
    "plant",
    [
        *(overwritten, written_into, without_digest, not_in_the_wheel, brought_by_another_alone),
        *(not_installed, a_module_before_it, a_package_before_it, a_namespace_of_two_folders),
        pytest.param(a_folder_behind_a_link, marks=LINKS),
    ],
)
def test_what_the_wheel_did_not_bring_is_named(site: Path, plant: Callable[[Path], str]) -> None:
    told = plant(site)
    importlib.import_module("fakedep")
    (fault,) = Origin("fakedep").faults()
    assert told in fault


@LINKS
@pytest.mark.parametrize(
    ("files", "name"),
    [
        (CODE, "fakedep.one"),
        ({"fakedep.py": "x = 1"}, "fakedep"),
        ({"fakedep/power.py": ""}, "fakedep.power"),
        ({"fakedep/inner/power.py": ""}, "fakedep.inner.power"),
        ({"fakedep/__init__.py": ""}, "fakedep.plugins.extra"),
        (
            {"fakedep/__init__.py": "import sys\nclass C: pass\nsys.modules[__name__] = C()"},
            "fakedep",
        ),
        (
            {"fakedep/__init__.py": "import sys\nsys.modules['fakedep.x'] = type(sys)('x')"},
            "fakedep.x",
        ),
    ],
)
def test_a_wheel_may_bring_any_kind_of_module(site: Path, files: dict[str, str], name: str) -> None:
    shutil.rmtree(site / "fakedep")
    install_into(site, "fakedep", "1.0", files)
    if "plugins" in name:
        install_into(site, "plugin", "1", {"fakedep/plugins/extra.py": ""})
    importlib.import_module(name)
    assert Origin("fakedep").faults() == []


def test_files_may_be_links_into_a_cache(site: Path) -> None:
    file = site / "fakedep/__init__.py"
    shutil.move(file, site.parent / "cached")
    file.symlink_to(site.parent / "cached")
    importlib.import_module("fakedep")
    assert Origin("fakedep").faults() == []


def test_each_module_is_held_once(site: Path) -> None:
    importlib.import_module("fakedep")
    held = Origin("fakedep")
    assert held.faults() == []
    for file in ("__init__", "one", "two"):
        write(site / f"fakedep/{file}.py", "changed = True")
    importlib.import_module("fakedep.one")
    assert [fault.partition(" is not")[0] for fault in held.faults()] == [
        str(site / "fakedep/one.py")
    ]
    assert held.faults() == []


def test_without_a_package_there_is_nothing_to_hold() -> None:
    assert Origin("").faults() == []
