"""Digests: equal for equal inputs wherever they lie, different when any input changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from packaging.version import Version
from tests.torchfloor.builders import PROVENANCE, make_cell, make_matrix, make_record, write_project
from tests.torchfloor.system import LINKS

from torchfloor.matrix import Companion, Flavour
from torchfloor.provenance import INCELL, Inputs, _imported, digest_of

if TYPE_CHECKING:
    from torchfloor.provenance import Digests


def digests(root: Path, release: str = "1.0", **changes: Any) -> Digests:  # noqa: ANN401
    return Inputs(make_matrix(root, **changes)).of(Version(release), "cpu")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small project's folder."""
    return write_project(tmp_path / "here").parent


def test_the_same_files_elsewhere_have_the_same_digests(project: Path, tmp_path: Path) -> None:
    other = write_project(tmp_path / "there").parent
    assert digests(project) == digests(other)


def changed_content(root: Path) -> None:
    (root / "probes/test_it.py").write_text("changed", "utf-8")


def new_file(root: Path) -> None:
    (root / "probes/data.bin").write_bytes(b"\0")


def renamed_file(root: Path) -> None:
    (root / "probes/test_it.py").rename(root / "probes/test_other.py")


@pytest.mark.parametrize("change", [changed_content, new_file, renamed_file])
def test_a_changed_probe_changes_the_probes_alone(project: Path, change: Any) -> None:  # noqa: ANN401
    before = digests(project)
    change(project)
    after = digests(project)
    assert after.probes != before.probes
    assert (after.subject, after.matrix) == (before.subject, before.matrix)


def test_a_changed_subject_changes_the_subject_alone(project: Path) -> None:
    before = digests(project)
    (project / "src/sub/more.py").write_text("", "utf-8")
    after = digests(project)
    assert after.subject != before.subject
    assert (after.probes, after.matrix) == (before.probes, before.matrix)


def test_what_the_subject_imports_from_beside_it_is_part_of_it(project: Path) -> None:
    files = {
        "sub/__init__.py": "import dep\nfrom near import x\n",
        "near.py": "def x():\n    import package.deep\n",
        "package/__init__.py": "",
        "package/deep.py": "import sub\n",
        "package/harness.py": "",
        "broken.py": "import (",
        "other.py": "import probed\n",
        "probed.py": "import broken\n",
    }
    for name, text in files.items():
        (project / "src" / name).parent.mkdir(exist_ok=True)
        (project / "src" / name).write_text(text, "utf-8")
    (project / "probes/test_it.py").write_text("import probed, sub, near\n", "utf-8")
    counted = {}
    for name, text in files.items():
        before = digests(project)
        (project / "src" / name).write_text(text + "# changed\n", "utf-8")
        after = digests(project)
        counted[name] = (after.subject != before.subject, after.probes != before.probes)
    subject, probes, neither = (True, False), (False, True), (False, False)
    assert counted == {
        "sub/__init__.py": subject,
        "near.py": subject,
        "package/__init__.py": subject,
        "package/deep.py": subject,
        "package/harness.py": subject,
        "broken.py": probes,
        "other.py": neither,
        "probed.py": probes,
    }


def test_packages_around_the_probes_are_part_of_them(project: Path) -> None:
    folder = project / "probes/deep/deeper"
    folder.mkdir(parents=True)
    for name in ("probes/__init__.py", "probes/deep/__init__.py", "probes/deep/deeper/__init__.py"):
        (project / name).touch()
    (folder / "test_it.py").write_text("from ...helper import x\n", "utf-8")
    (project / "probes/helper.py").write_text("x = 1\n", "utf-8")
    matrix = make_matrix(project, subject=project / "src/sub", probes=folder)
    before = Inputs(matrix).of(Version("1.0"), "cpu")
    (project / "probes/helper.py").write_text("x = 2\n", "utf-8")
    assert Inputs(matrix).of(Version("1.0"), "cpu").probes != before.probes


@pytest.mark.parametrize(
    "text",
    [
        "pytest_plugins = ['beside']",
        "import pytest\npytest.importorskip('beside.part')",
        "import beside\ntype A[T] = \x00 newer than this Python",
    ],
)
def test_what_is_imported_by_its_name_or_cannot_be_read_counts(project: Path, text: str) -> None:
    (project / "probes/conftest.py").write_text(text, "utf-8")
    (project / "src/beside.py").write_text("x = 1\n", "utf-8")
    before = digests(project)
    (project / "src/beside.py").write_text("x = 2\n", "utf-8")
    assert digests(project).probes != before.probes


def test_a_folder_that_cannot_be_read_is_not_passed_over(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(folder: Any) -> Any:  # noqa: ANN401 - as it is given
        if Path(folder).name == "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PermissionError):
        digests(project)


def test_the_harness_is_no_part_of_what_it_proves() -> None:
    source = INCELL.parents[1]
    assert (source / "torchfloor").is_dir()
    assert _imported(source / "gradnorms", source, {source / "gradnorms"}) == []


@LINKS
def test_links_are_followed_and_those_that_lead_back_are_not(project: Path, tmp_path: Path) -> None:
    away, twin = tmp_path / "away", tmp_path / "twin"
    for folder, other in ((away, twin), (twin, away)):
        folder.mkdir()
        (folder / "module.py").write_text("", "utf-8")
        (folder / "other").symlink_to(other)
    (project / "src/sub/linked").symlink_to(away)
    (project / "src/sub/back").symlink_to(project)
    (project / "src/sub/broken").symlink_to(project / "nowhere")
    for folder in (away, twin):
        before = digests(project)
        (folder / "module.py").write_text("changed = True\n", "utf-8")
        assert digests(project).subject != before.subject
    before = digests(project)
    (project / "unrelated").touch()
    assert digests(project) == before


def test_what_python_leaves_behind_changes_nothing(project: Path) -> None:
    before = digests(project)
    cache = project / "probes/__pycache__"
    cache.mkdir()
    (cache / "test_it.pyc").write_bytes(b"x")
    assert digests(project) == before


def test_the_plugin_is_part_of_the_probes() -> None:
    assert (INCELL / "torchfloor_incell/__init__.py").exists()
    assert digest_of(INCELL) != digest_of(INCELL / "torchfloor_incell/__init__.py")


def test_where_a_file_ends_and_the_next_begins_matters(tmp_path: Path) -> None:
    two, one = tmp_path / "two/a", tmp_path / "one/a"
    two.mkdir(parents=True)
    one.mkdir(parents=True)
    (two / "x").write_bytes(b"1")
    (two / "y").write_bytes(b"2")
    (one / "x").write_bytes(b"1a/y\0\x002")
    assert digest_of(two) != digest_of(one)


@pytest.mark.parametrize(
    ("changes", "release", "same"),
    [
        ({"timeout": 5}, "1.0", True),
        ({"history": ("0.9",)}, "1.0", True),
        ({"companions": (Companion(install=("a",), when="<1"),)}, "1.0", True),
        ({"companions": (Companion(install=("a",), when="<2"),)}, "1.0", False),
        ({"flavours": {"cpu": Flavour(("elsewhere",))}}, "1.0", True),
        ({"flavours": {"cpu": Flavour(("main",), needs="cuda")}}, "1.0", False),
        ({"package": "other"}, "1.0", False),
    ],
)
def test_only_what_the_matrix_says_about_the_cell_counts(
    project: Path, changes: dict[str, Any], release: str, *, same: bool
) -> None:
    assert (digests(project, release, **changes) == digests(project, release)) == same


def test_evidence_of_these_inputs_is_theirs_and_no_other(project: Path) -> None:
    inputs = Inputs(make_matrix(project))
    now = inputs.of(Version("1.0"), "cpu")
    names = {"subject": now.subject, "probes": now.probes, "matrix": now.matrix}
    provenance = msgspec.structs.replace(PROVENANCE, **names)
    assert inputs.made(make_record(provenance=provenance))
    for name in names:
        other = msgspec.structs.replace(provenance, **{name: "0" * 16})
        assert not inputs.made(make_record(provenance=other)), name


def test_evidence_of_a_flavour_that_is_gone_is_stale(project: Path) -> None:
    inputs = Inputs(make_matrix(project))
    now = inputs.of(Version("1.0"), "cpu")
    provenance = msgspec.structs.replace(
        PROVENANCE, subject=now.subject, probes=now.probes, matrix=now.matrix
    )
    assert not inputs.made(make_record(make_cell("1.0", "gone"), provenance=provenance))
