"""Records, plans and matrices that somebody or something has damaged, seen through the commands."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, make_project

from torchfloor.records import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.network

SECRETS = {
    "GITHUB_TOKEN": "ghp-planted",
    "AWS_SECRET_ACCESS_KEY": "aws-planted",
    "HF_TOKEN": "hf-planted",
    "UV_PUBLISH_TOKEN": "publish-planted",
    "MY_PASSWORD": "password-planted",
}
TELLS = """
import os

for name, text in os.environ.items():
    print(name, text, sep="=")
raise ImportError("told all")
"""
RELEASES = {"0.7": tiny.GOOD, "0.8": TELLS, "0.9": tiny.WRONG, "1.0": tiny.GOOD, "1.1": tiny.GOOD}
COMPANIONS = 'companions: [{when: "==0.7", install: ["tinydep==0.9"]}]\n'
HOLDS = "tinydep>=1.0 holds: 2 releases from 1.0 to 1.1 are compatible"


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose cells have run, and whose evidence is published."""
    project = make_project(tmp_path_factory.mktemp("proved"), RELEASES)
    matrix = project.root / "matrix.yaml"
    matrix.write_text(matrix.read_text("utf-8") + COMPANIONS, "utf-8")
    (project.root / ".compat").mkdir(mode=0o755)
    with pytest.MonkeyPatch.context() as patch:
        for name, text in SECRETS.items():
            patch.setenv(name, text)
        ran = project.torchfloor("run")
    assert ran.status == 0, ran.output
    published = project.nox("-s", "publish")
    assert published.status == 0, published.output
    return project


@pytest.fixture
def project(proved: Project, tmp_path: Path) -> Project:
    """Return a copy of that project, to be damaged."""
    return Project(shutil.copytree(proved.root, tmp_path / "copy"))


def record_file(project: Project, release: str, folder: str = ".compat/records") -> Path:
    return project.root / folder / f"{project.cell(release)}.json"


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), "utf-8")


def in_a_line(ran: Ran) -> str:
    """Return what a command printed, as if no line had been wrapped."""
    assert "Traceback" not in ran.output
    return " ".join(ran.output.split())


# --- what a run leaves


def test_a_companion_that_conflicts_with_its_release_costs_only_that_cell(proved: Project) -> None:
    records = proved.records()
    assert records["0.7"].failure is not None
    assert (records["0.7"].outcome, records["0.7"].failure.stage) == ("errored", "install")
    assert "tinydep==0.9" in records["0.7"].failure.message
    assert [records[release].outcome for release in ("1.0", "1.1")] == ["compatible"] * 2


def test_no_secret_of_the_caller_reaches_a_cell_or_a_file(proved: Project) -> None:
    told = (proved.root / f".compat/logs/{proved.cell('0.8')}/probes.log").read_text("utf-8")
    assert "TORCHFLOOR_PACKAGE=tinydep" in told
    texts = [file.read_bytes() for file in proved.root.rglob("*") if file.is_file()]
    assert not [text for text in texts if b"-planted" in text]
    assert not [name for name in SECRETS if name in told]


def test_the_folder_of_results_is_private_even_if_something_else_made_it(proved: Project) -> None:
    assert stat.S_IMODE((proved.root / ".compat").stat().st_mode) == 0o700


# --- files that are no records


def deep(_project: Project, file: Path) -> None:
    file.write_text('{"schema": 2, "x": ' + "[" * 200_000, "utf-8")


def huge(_project: Project, file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(10 * 2**30)


def doctored(before: str, after: str) -> Callable[[Project, Path], None]:
    """Return what makes a record that has another text in one place."""

    def doctor(project: Project, file: Path) -> None:
        shutil.copy(record_file(project, "1.0"), file)
        replace(file, before, after)

    return doctor


def written(content: bytes) -> Callable[[Project, Path], object]:
    return lambda _project, file: file.write_bytes(content)


def truncated(project: Project, file: Path) -> None:
    file.write_bytes(record_file(project, "1.0").read_bytes()[:-40])


def copied(project: Project, file: Path) -> None:
    shutil.copy(record_file(project, "1.0"), file)


def linked(project: Project, file: Path) -> None:
    real = record_file(project, "0.9")
    file.symlink_to(real.rename(real.with_suffix(".elsewhere")))


NO_RECORDS: dict[str, tuple[Callable[[Project, Path], object], str]] = {
    "empty": (written(b""), "is no record of schema 2"),
    "list": (written(b"[]"), "is no record of schema 2"),
    "foreign": (written(b'{"name": "left-pad", "version": "1.3"}'), "is no record of schema 2"),
    "binary": (written(bytes(range(256))), "is no record of schema 2"),
    "truncated": (truncated, "is no record of schema 2"),
    "deep": (deep, "is no record of schema 2"),
    "older": (doctored('"schema": 2', '"schema": 1'), "(but of schema 1); run the cell again"),
    "newer": (doctored('"schema": 2', '"schema": 7'), "from a newer torchfloor: use that one"),
    "nan": (doctored('"tolerance": 1e-9', '"tolerance": NaN'), "is no record of schema 2"),
    "infinity": (doctored("1e-9", "Infinity"), "is no record of schema 2"),
    "overflow": (doctored("1e-9", "1e999"), "is no record of schema 2 (Number out of range"),
    "digits": (doctored("1e-9", "9" * 10**6), "is no record of schema 2 (Number out of range"),
    "text": (doctored('"tolerance": 1e-9', '"tolerance": "1e-9"'), "Expected `float`, got `str`"),
    "date": (doctored('"started": "2', '"started": "x2'), "Invalid RFC3339"),
    "twin": (copied, "holds the record of tinydep1.0-cpu-py"),
    "TINYDEP1.0-cpu-py311": (copied, "holds the record of tinydep1.0-cpu-py"),
    "ｔinydep1.0-cpu-py311": (copied, "holds the record of tinydep1.0-cpu-py"),  # noqa: RUF001 - a twin
    "folder": (lambda _, file: file.mkdir(), "cannot be read (Is a directory)"),
    "fifo": (lambda _, file: os.mkfifo(file), "cannot be read (Not a regular file)"),
    "device": (lambda _, file: file.symlink_to("/dev/zero"), "is a symbolic link"),
    "secret": (lambda _, file: file.symlink_to("/etc/passwd"), "is a symbolic link"),
    "huge": (huge, "cannot be read (Larger than 65536 KiB)"),
}


def test_each_file_that_is_no_record_is_named_and_the_others_stand(project: Project) -> None:
    linked(project, record_file(project, "0.9"))
    for name, (damage, _) in NO_RECORDS.items():
        damage(project, project.root / f".compat/records/{name}.json")
    ran = project.torchfloor("verdict")
    told = in_a_line(ran)
    assert (ran.status, HOLDS in told) == (0, True), ran.output
    assert "root:" not in told
    lines = ran.output.splitlines()
    for name, (_, words) in NO_RECORDS.items():
        (line,) = [line for line in lines if line.startswith(f"torchfloor: {name}.json ")]
        assert words in line
        assert "run the cell again" in line
    assert f"{project.cell('0.9')}.json is a symbolic link" in told
    assert "0.9: missing (planned, but there is no record of it; run it)" in told


# --- records that were changed

EDITS = {
    "0.9": ('"outcome": "incompatible"', '"outcome": "compatible"'),
    "1.0": ('"path": "fast"', '"path": "slow"'),
    "1.1": (',\n "digest"', ',\n "digests"'),
}


def test_a_hand_edited_record_is_noticed_whatever_was_changed(project: Project) -> None:
    for release, (before, after) in EDITS.items():
        replace(record_file(project, release), before, after)
    ran = project.torchfloor("verdict")
    for release in EDITS:
        assert f"{project.cell(release)}.json was changed since its run wrote it" in ran.output
    assert (ran.status, "Nothing is known about tinydep>=1.0" in in_a_line(ran)) == (3, True)


def test_a_forged_record_that_contradicts_itself_is_refused(project: Project) -> None:
    failed = read_record(record_file(project, "0.9"))
    write_record(
        msgspec.structs.replace(failed, outcome="compatible", failure=None),
        project.root / ".compat/records",
    )
    ran = project.torchfloor("report")
    told = in_a_line(ran)
    assert f"{project.cell('0.9')}.json is compatible, though no probe passed; is compat" in told
    assert f"{project.cell('0.9')} – – – – missing (below the floor)" in told


def test_what_is_damaged_stale_or_of_another_machine_is_run_again(project: Project) -> None:
    folder = project.root / ".compat/records"
    replace(record_file(project, "0.9"), '"promised": false', '"promised": true')
    stale = read_record(record_file(project, "1.0"))
    other = msgspec.structs.replace(stale.provenance, subject="0" * 16)
    write_record(msgspec.structs.replace(stale, provenance=other), folder)
    foreign = read_record(record_file(project, "1.1"))
    assert foreign.environment is not None
    machine = msgspec.structs.replace(foreign.environment.machine, cpu="Another CPU")
    environment = msgspec.structs.replace(foreign.environment, machine=machine)
    write_record(msgspec.structs.replace(foreign, environment=environment), folder)

    before = project.torchfloor("report")
    rows = {line.split()[0]: line for line in before.output.splitlines() if line.strip()}
    assert "stale" in rows[project.cell("1.0")]
    assert "compatible" in rows[project.cell("1.1")]  # true, of that machine
    assert "Another CPU" in project.torchfloor("report", "--markdown").output

    again = project.torchfloor("run", "--only", *map(project.cell, ("0.9", "1.0", "1.1")))
    assert "Selected: 3 cells; 3 to run." in again.output
    assert again.status == 0, again.output
    assert HOLDS in in_a_line(project.torchfloor("verdict"))
    assert "Another CPU" not in project.torchfloor("report", "--markdown").output


def test_a_clock_that_went_back_is_no_contradiction(project: Project) -> None:
    record = read_record(record_file(project, "1.0"))
    earlier = record.provenance.started - dt.timedelta(days=1)
    provenance = msgspec.structs.replace(record.provenance, finished=earlier)
    write_record(
        msgspec.structs.replace(record, provenance=provenance), project.root / ".compat/records"
    )
    ran = project.torchfloor("verdict")
    assert (ran.status, HOLDS in in_a_line(ran)) == (0, True)


# --- published evidence


def test_every_damaged_record_of_the_published_evidence_is_named_and_fails_docs(
    project: Project,
) -> None:
    replace(record_file(project, "0.9", "evidence"), '"incompatible"', '"compatible"')
    record_file(project, "1.1", "evidence").write_bytes(b"{")
    checked = project.nox("-s", "docs", "--", "--check")
    by_command = project.torchfloor("verdict", "--published")
    assert (checked.status, by_command.status) == (1, 2)
    for told in (in_a_line(checked), in_a_line(by_command)):
        assert f"evidence/{project.cell('0.9')}.json was changed since its run wrote it" in told
        assert f"evidence/{project.cell('1.1')}.json is no record of schema 2" in told


def test_a_failing_cell_cannot_be_cut_out_of_the_published_plan(project: Project) -> None:
    plan = project.root / "evidence/plan.json"
    content = json.loads(plan.read_bytes())
    content["cells"] = [cell for cell in content["cells"] if cell["release"] != "0.9"]
    plan.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    told = in_a_line(project.nox("-s", "docs", "--", "--check"))
    assert "evidence/plan.json: 1 mistake was changed since it was published" in told


def test_a_record_that_the_published_plan_does_not_know_is_named(project: Project) -> None:
    record = read_record(record_file(project, "0.9", "evidence"))
    write_record(
        msgspec.structs.replace(record, cell=record.cell.replace("0.9", "0.9.0"), release="0.9.0"),
        project.root / "evidence",
    )
    ran = project.torchfloor("verdict", "--published")
    assert ran.status == 2
    assert f"{record.cell.replace('0.9', '0.9.0')}.json is of no cell in plan.json" in ran.output


def test_publishing_keeps_what_is_better_and_names_what_it_leaves_out(project: Project) -> None:
    before = record_file(project, "1.0", "evidence").read_bytes()
    record = read_record(record_file(project, "1.0"))
    other = msgspec.structs.replace(record.provenance, subject="0" * 16)
    stale = msgspec.structs.replace(record, provenance=other)
    write_record(stale, project.root / ".compat/records")
    (project.root / "evidence/notes.json").write_text("[]", "utf-8")
    replace(project.root / "matrix.yaml", "'0.9'", "'0.8'")
    replace(project.root / "matrix.yaml", "'0.8', '0.8'", "'0.8'")
    record_file(project, "0.9", "evidence").unlink()
    told = in_a_line(project.nox("-s", "publish"))
    assert f"{project.cell('1.0')} is not published: made from another subject" in told
    assert f"{project.cell('0.9')} is no longer planned, and not published: matrix" in told
    assert "evidence/notes.json is no record of a cell: left alone" in told
    assert HOLDS in told
    assert "3 records published" in told
    assert record_file(project, "1.0", "evidence").read_bytes() == before
    assert (project.root / "evidence/notes.json").exists()
    assert not record_file(project, "0.9", "evidence").exists()
    assert project.nox("-s", "docs", "--", "--check").status == 0


def test_a_plan_that_somebody_has_broken_is_made_anew(project: Project) -> None:
    for content in (b"[" * 100_000, b'{"key": "\xff"}'):
        (project.root / ".compat/plan.json").write_bytes(content)
        ran = project.torchfloor("verdict")
        assert (ran.status, HOLDS in in_a_line(ran)) == (0, True)


# --- matrix.yaml

EVERY_MISTAKE = f"""
package: "../../etc"
package: tinydep
subject: ../../etc/passwd
probes: /etc
declared-in: pyproject.toml
versions: 2.10
sample: "1.0; rm -rf"
history: [2.10, "../../etc", "1.0; rm -rf", "{"9" * 60}"]
python: 3.10
timeout: 999999999h
versoins: 1
flavours:
  cpu: {{indexes: ["http://[", "ftp://x"]}}
  "c;rm": {{indexes: [default]}}
companions:
  - {{when: 2.10, install: ["numpy<2"]}}
  - {{install: ["--index-url=x", "$(id)"]}}
  - {{}}
"""
MISTAKES = (
    "line 3: the key 'package' stands twice",
    "versoins: unknown key; did you mean 'versions'?",
    "subject: '../../etc/passwd' is not inside the folder of matrix.yaml; name a path in it",
    "probes: '/etc' is not inside the folder",
    "versions: Expected `str`, got `float`: write it in quotes, since YAML reads 2.10 as",
    "sample: Invalid enum value '1.0; rm -rf': write newest-patch or all",
    "history[0]: Expected `str`, got `float`: write it in quotes",
    "history[1]: '../../etc' is no PEP 440 version",
    "history[2]: '1.0; rm -rf' is no PEP 440 version",
    "history[3]: Expected `str` of length <= 50",
    "python: Expected `str`, got `float`: write it in quotes",
    "timeout: '999999999h' is no duration",
    "flavours.cpu.indexes[0]: cannot be read as an address",
    "flavours.cpu.indexes[1]: ftp:// is no index",
    "flavours: Expected `str` matching regex",
    "companions[0].when: Expected `str`, got `float`: write it in quotes",
    "companions[1].install[0]: '--index-url=x' is no requirement",
    "companions[1].install[1]: '$(id)' is no requirement",
    "companions[2].install: missing, but required",
)


def test_every_mistake_in_the_matrix_is_told_at_once_with_its_place(project: Project) -> None:
    (project.root / "matrix.yaml").write_text(EVERY_MISTAKE, "utf-8")
    ran = project.torchfloor("plan")
    assert ran.status == 2
    assert f"matrix.yaml: {len(MISTAKES)} mistakes" in ran.output, ran.output
    for mistake in MISTAKES:
        assert f"\n  {mistake}" in ran.output


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB, "the alias *a0 is not allowed here: write out what it stands for"),
        (MERGES, "the alias *a0 is not allowed here"),
        ("a: " + "[" * 10**5, "not valid YAML: nested too deeply"),
        ("a: '" + "x" * 10**6, "cannot be read: Larger than 256 KiB"),
        ("a: !!python/object/apply:os.system [touch owned]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("package:\ttorch\n\tversions: x", "not valid YAML"),
        ('a: "\\ud800"', "not valid YAML"),
        (b"package: caf\xe9", "save it as UTF-8"),
        ("package: tinydep".encode("utf-16"), "save it as UTF-8"),
        ("", "must hold keys and values"),
        ('"\\e[31mred": 1', "red: unknown key"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_matrix_that_is_none_is_told_in_a_line_and_runs_nothing(
    project: Project, content: str | bytes, words: str
) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (project.root / "matrix.yaml").write_bytes(raw)
    ran = project.torchfloor("verdict")
    assert (ran.status, words in in_a_line(ran)) == (2, True), ran.output
    assert "\x1b" not in ran.output
    assert not (project.root / "owned").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (os.mkfifo, "cannot be read: Not a regular file"),
        (lambda file: file.mkdir(), "cannot be read: Is a directory"),
        (lambda file: file.symlink_to("/dev/zero"), "cannot be read: Not a regular file"),
        (lambda file: os.truncate(os.open(file, os.O_CREAT | os.O_RDWR), 10**8), "Larger than 256"),
        (lambda _: None, "not found: run torchfloor in the folder that holds it"),
    ],
    ids=["fifo", "folder", "device", "100 MB", "gone"],
)
def test_what_stands_in_the_place_of_the_matrix_is_told_at_once(
    project: Project, damage: Callable[[Path], object], words: str
) -> None:
    (project.root / "matrix.yaml").unlink()
    damage(project.root / "matrix.yaml")
    ran = project.torchfloor("verdict")
    assert (ran.status, words in in_a_line(ran)) == (2, True), ran.output


def test_a_byte_order_mark_changes_nothing(project: Project) -> None:
    matrix = project.root / "matrix.yaml"
    matrix.write_text(matrix.read_text("utf-8"), "utf-8-sig")
    ran = project.torchfloor("verdict")
    assert (ran.status, HOLDS in in_a_line(ran)) == (0, True), ran.output
