"""An index that goes wrong in every way: what is said of it, and that no other cell is harmed."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.tags import platform_tags
from tests.e2e import index as faults
from tests.e2e import project as tiny
from tests.e2e.index import Fault, Index, serving
from tests.e2e.project import Project, Ran, build_wheel, make_project

from torchfloor import index as page
from torchfloor.index import IndexUnreachableError
from torchfloor.wheels import list_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.network

USER, PASSWORD, SIGNATURE = "us3r-name", "s3cret-w0rd", "s1gnature"
HASTY = {"UV_HTTP_TIMEOUT": "2", "UV_HTTP_RETRIES": "0"}
"""uv waits for half a minute and tries four times; the faults here never mend."""


def wheel_of(release: str) -> str:
    return f"tinydep-{release}-py3-none-any.whl"


PLANTED: dict[str, Fault] = {
    "1.1": faults.status(404),
    "1.2": faults.status(500),
    "1.3": faults.refuses,
    "1.4": faults.hangs,
    "1.5": faults.is_silent,
    "1.6": faults.truncated,
    "1.7": faults.corrupted,
}
OTHER_PYTHON = f"tinydep-1.12-cp39-cp39-{next(platform_tags())}.whl"


class Session(NamedTuple):
    """A project after a session, what the session printed, and the index it was about."""

    project: Project
    ran: Ran
    asked: Index

    @property
    def mark(self) -> Path:
        """The file that the code of a wheel that nobody planned writes."""
        return self.project.root / "it-ran"


def spread(project: Project, index: Index) -> None:
    """Plant a fault in each release but the first and the last."""
    folder = project.root / "wheels"
    for release, fault in PLANTED.items():
        index.plant(wheel_of(release), fault)
    mark = project.root / "it-ran"
    evil = f"import pathlib\n\npathlib.Path({str(mark)!r}).touch()\n{tiny.GOOD}"
    (project.root / "evil").mkdir()
    index.plant(
        wheel_of("1.8"),
        faults.instead(build_wheel(project.root / "evil", "1.8", evil).read_bytes()),
    )
    (folder / wheel_of("1.10")).unlink()
    with tarfile.open(folder / "tinydep-1.10.tar.gz", "w:gz") as source:
        source.add(project.root / "pyproject.toml", "tinydep-1.10/pyproject.toml")
    (folder / wheel_of("1.11")).rename(folder / "tinydep-1.11-cp36-cp36m-plan9_z80.whl")
    (folder / wheel_of("1.12")).rename(folder / OTHER_PYTHON)
    signed = [f"{wheel_of(release)}#" for release in ("1.0", "1.1", "1.6", "1.14")]
    index.plant(
        "tinydep",
        faults.yanked(wheel_of("1.9")),
        faults.for_python(wheel_of("1.15"), "<3"),
        faults.without_digest(wheel_of("1.13")),
        *(faults.edited(link, f"{link[:-1]}?sig={SIGNATURE}#") for link in signed),
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Return a project after `nox -s compat` over an index that wants to know who asks."""
    root = tmp_path_factory.mktemp("index")
    (root / "wheels").mkdir()
    releases = {f"1.{minor}": tiny.GOOD for minor in range(16)}
    with serving(root / "wheels", f"{USER}:{PASSWORD}") as index:
        make_project(root, releases, indexes=index.url)
        project = Project(root, {**HASTY, "UV_NO_VERIFY_HASHES": "1"})  # a trap
        spread(project, index)
        yield Session(project, project.nox("-s", "compat"), index)


@pytest.mark.parametrize(
    ("release", "message"),
    [
        ("1.1", "Failed to download `tinydep @ <index>/packages/tinydep-1.1-py3-none-any.whl`"),
        ("1.1", "; HTTP status client error (404 Planted)"),
        ("1.2", "500 Planted"),
        ("1.3", "connection closed before message completed"),
        ("1.4", "network timeout"),
        ("1.5", "timed out"),
        ("1.6", "end of file before message length reached"),
        # What that breaks in the archive depends on where its middle lies.
        ("1.7", "Failed to download `tinydep @ <index>/packages/tinydep-1.7-py3-none-any.whl`; "),
        ("1.8", "Hash mismatch for `tinydep @ <index>/packages/tinydep-1.8-py3-none-any.whl`"),
    ],
)
def test_a_wheel_that_does_not_come_whole_is_no_evidence_and_says_why(
    session: Session, release: str, message: str
) -> None:
    record = session.project.records()[release]
    assert record.failure is not None, session.ran.output
    assert (record.outcome, record.failure.stage) == ("errored", "install")
    assert message in record.failure.message
    assert f"{session.project.cell(release)} is errored: install: " in session.ran.output


def test_nothing_of_a_wheel_that_was_exchanged_is_run(session: Session) -> None:
    assert session.project.records()["1.8"].environment is None
    assert not session.mark.exists()


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        ("1.9", "yanked: the index says not to use it"),
        ("1.10", "no wheel, only source, and nothing is built here"),
        ("1.11", "no wheel for this platform"),
        ("1.12", f"no wheel for Python {tiny.PYTHON}"),
        ("1.15", f"no wheel for Python {tiny.PYTHON}: it needs <3"),
    ],
)
def test_a_release_that_has_no_wheel_for_the_cell_is_unavailable(
    session: Session, release: str, reason: str
) -> None:
    assert release not in session.project.records()
    plan = session.project.torchfloor("plan").output
    assert f"{session.project.cell(release)}  unavailable: {reason}" in plan.splitlines()
    assert f"cpu: unavailable for {release}: {reason}" in session.ran.output


def test_what_goes_wrong_here_replaces_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with serving(tmp_path / "wheels") as index:
        project = make_project(tmp_path, {"1.0": tiny.GOOD}, indexes=index.url)
        assert project.torchfloor("run").status == 0
        before = project.records()
        index.plant(wheel_of("1.0"), faults.status(404))
        ran = project.torchfloor("run", "--fresh", "--discard")
    assert ran.status == 1, ran.output
    assert "errored; the record of 20" in ran.output
    assert project.records() == before


def test_the_other_cells_are_unharmed(session: Session) -> None:
    records = session.project.records()
    assert set(records) == {"1.0", *PLANTED, "1.8", "1.13", "1.14"}
    for release in ("1.0", "1.13", "1.14"):
        assert records[release].outcome == "compatible", records[release].failure
    assert "Traceback" not in session.ran.output


def test_a_wheel_that_the_index_gives_no_digest_of_is_recorded_so(session: Session) -> None:
    records = session.project.records()
    digests = {r.release: r.identity.sha256 for r in records.values() if r.identity}
    assert digests["1.13"] is None
    assert digests["1.14"] is not None
    told = f"{session.project.cell('1.13')}: install, unchecked: the index gives no sha256"
    assert told in session.ran.output


def everything_kept_and_said(project: Project, *ran: Ran) -> Iterator[tuple[str, str]]:
    """Yield all that a project's runs have left on disk, or printed."""
    for file in (project.root / ".compat").rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes().decode("utf-8", "replace")
    for number, each in enumerate(ran):
        yield f"output {number}", each.output


def test_the_credentials_of_an_index_are_nowhere(session: Session) -> None:
    project = session.project
    words = ("plan", "--json"), ("report", "--json"), ("report", "--markdown"), ("verdict",)
    ran = [session.ran, *(project.torchfloor(*each) for each in words)]
    # For the owner only: without the query of its link no wheel could be had.
    private = (str(project.root / ".compat/plan.json"), str(project.root / ".compat/cache/"))
    looked = 0
    for name, text in everything_kept_and_said(project, *ran):
        looked += 1
        assert USER not in text, name
        assert PASSWORD not in text, name
        assert SIGNATURE not in text or name.startswith(private), name
    assert looked > 30
    assert SIGNATURE in (project.root / ".compat/plan.json").read_text("utf-8")
    assert f"http://127.0.0.1:{session.asked.bare.split(':')[2]}" in ran[1].output  # its name


def test_the_workspace_is_for_its_owner_only(session: Session) -> None:
    assert (session.project.root / ".compat").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL", "XDG_CONFIG_HOME"])
def test_the_credentials_of_the_default_index_are_nowhere_and_serve_all_the_same(
    tmp_path: Path, variable: str
) -> None:
    (tmp_path / "wheels").mkdir()
    with serving(tmp_path / "wheels", f"{USER}:{PASSWORD}") as index:
        made = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tiny.GOOD}, indexes="default")
        value = index.url
        if variable == "XDG_CONFIG_HOME":  # where uv looks for a user's own settings
            config, value = tmp_path / "config/uv/uv.toml", str(tmp_path / "config")
            config.parent.mkdir(parents=True)
            config.write_text(f'[[index]]\nurl = "{index.url}"\ndefault = true\n', "utf-8")
        project = Project(made.root, {**HASTY, variable: value})
        index.plant(wheel_of("1.1"), faults.truncated)
        ran = project.torchfloor("run")
        plan = project.torchfloor("plan", "--json")
    outcomes = {release: record.outcome for release, record in project.records().items()}
    assert outcomes == {"1.0": "compatible", "1.1": "errored"}, ran.output
    for name, text in everything_kept_and_said(project, ran, plan):
        assert USER not in text, name
        assert PASSWORD not in text, name


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Return an index that has one release."""
    folder = tmp_path_factory.mktemp("served")
    build_wheel(folder, "1.0", tiny.GOOD)
    with serving(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.status(500), "does not answer (status 500)"),
        (faults.status(401), "does not answer (status 401, it asks for credentials)"),
        (faults.refuses, "does not answer (it closed the connection)"),
        (faults.is_silent, "does not answer (timed out)"),
        (faults.hangs, "answers, but not as an index does (timed out)"),
        (faults.truncated, "answers, but not as an index does (its answer was cut short)"),
        (
            faults.is_endless,
            "answers, but not as an index does (its page is longer than 64 MiB)",
        ),
        (
            faults.drips,
            "answers, but not as an index does (its page is not complete after 3 s)",
        ),
        (faults.cut_off, "answers, but not as an index does (its page has no end)"),
        (faults.instead(b"<h1>Log in</h1>"), "has a page for tinydep that names no file"),
        (faults.instead(b"\x00\xff" * 999), "has a page for tinydep that names no file"),
        (
            faults.instead(b"{", faults.JSON),
            "answers, but not as an index does (JSONDecodeError)",
        ),
        (
            faults.instead(b'{"files": 5}', faults.JSON),
            "answers, but not as an index does (ValidationError)",
        ),
        (
            faults.instead(b"[" * 100_000, faults.JSON),
            "answers, but not as an index does (RecursionError)",
        ),
    ],
)
def test_an_index_without_a_usable_page_is_named_with_the_cause(
    index: Index, fault: Fault, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_READ_SECONDS", 1)
    monkeypatch.setattr(page, "_PAGE_SECONDS", 3)
    index.plant("tinydep", fault)
    with pytest.raises(IndexUnreachableError) as caught:
        list_wheels("tinydep", index.url, Path())
    assert str(caught.value).startswith(f"{index.bare} {told}")


@pytest.mark.parametrize(
    "planted", [(), (faults.as_json,), (faults.offers("../../etc-1.0.whl", "a b-1-c.whl"),)]
)
def test_a_page_in_html_or_in_json_is_read_alike(index: Index, planted: tuple[Fault, ...]) -> None:
    index.plant("tinydep", *planted)
    (wheel,) = list_wheels("tinydep", index.url, Path())
    assert (wheel.filename, len(wheel.sha256 or "")) == (wheel_of("1.0"), 64)
    assert wheel.url == index.bare.replace("simple/", f"packages/{wheel_of('1.0')}")


@pytest.mark.parametrize(
    "link",
    [
        "file:///etc/tinydep-2.0-py3-none-any.whl",
        "git+ssh://host/tinydep-2.0-py3-none-any.whl",
        "http://host/${HOME}/tinydep-2.0-py3-none-any.whl",
    ],
)
def test_a_link_that_would_be_more_than_a_download_is_not_used(index: Index, link: str) -> None:
    anchor = f'<a href="{link}">{wheel_of("2.0")}</a>'
    index.plant("tinydep", faults.edited("</body>", f"{anchor}</body>"))
    found = list_wheels("tinydep", index.url, Path())
    assert [(wheel.filename, wheel.url) for wheel in found if wheel.withheld] == [
        (wheel_of("2.0"), "")
    ]


def test_five_thousand_releases_are_planned(index: Index, tmp_path: Path) -> None:
    names = [f"2.{minor}.{patch}" for minor in range(500) for patch in range(10)]
    index.plant("tinydep", faults.offers(*map(wheel_of, names)))
    project = make_project(tmp_path, {}, indexes=index.url)
    plan = project.torchfloor("plan")
    assert plan.status == 0, plan.output
    assert "tinydep 1.0 to 2.499.9, declared floor 1.0: 1002 cells" in plan.output
    assert f"{project.cell('2.123.9')}  planned" in plan.output


def test_where_one_index_is_down_the_next_one_is_used_and_the_page_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as gone:
        pass
    project = make_project(tmp_path, {"1.0": tiny.GOOD}, indexes=f"{gone.url}, wheels")
    plan = project.torchfloor("plan")
    assert plan.status == 0, plan.output
    told = f"Index: {gone.bare} does not answer (connection refused); others were used"
    assert told in plan.output
    assert f"{project.cell('1.0')}  planned" in plan.output


class Down(NamedTuple):
    """A published project whose first index, which alone has 1.1, has gone down since."""

    project: Project
    told: str


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Down:
    """Return a project whose evidence was published while every index answered."""
    root = tmp_path_factory.mktemp("down")
    (root / "far").mkdir()
    build_wheel(root / "far", "1.1", tiny.GOOD)
    with serving(root / "far") as index:
        releases = {"1.0": tiny.GOOD, "1.2": tiny.GOOD}
        project = make_project(root, releases, indexes=f"{index.url}, wheels")
        ran = project.torchfloor("run")
        assert (ran.status, project.nox("-s", "publish").status) == (0, 0), ran.output
    return Down(project, f"Index: {index.bare} does not answer (connection refused); ")


def published(project: Project) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in (project.root / "evidence").glob("*.json")}


def test_publishing_while_an_index_is_down_keeps_what_it_alone_offers(down: Down) -> None:
    project = down.project
    before = published(project)
    ran = project.nox("-s", "compat", "publish", "--", "--refresh")
    assert ran.status == 0, ran.output
    assert f"{down.told}it could not be asked for tinydep 1.1." in ran.output
    assert ran.output.count("tinydep>=1.0 holds: 3 releases") == 2  # of both sessions
    assert published(project).keys() == before.keys()
    assert published(project)[project.cell("1.1")] == before[project.cell("1.1")]
    verdict = project.torchfloor("verdict", "--published")
    assert verdict.status == 0, verdict.output
    assert "holds: 3 releases from 1.0 to 1.2 are compatible" in verdict.output
    assert down.told in verdict.output
    assert project.nox("-s", "docs", "--", "--check").status == 0


def test_what_an_index_that_is_down_alone_offers_is_a_gap_without_evidence(
    down: Down, tmp_path: Path
) -> None:
    project = Project(shutil.copytree(down.project.root, tmp_path / "copy"))
    (project.root / ".compat/plan.json").unlink()  # the published one knows as well
    (project.root / f".compat/records/{project.cell('1.1')}.json").unlink()
    ran = project.torchfloor("run")
    assert ran.status == 3, ran.output
    assert "is not proved: 2 releases from 1.0 to 1.2 are compatible" in ran.output
    assert "without a gap" not in ran.output
    assert f"{down.told}it could not be asked for tinydep 1.1." in ran.output
    page = (project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    assert "Measured minimum: tinydep 1.2:" in page
    assert "No evidence for: tinydep 1.1." in page


def test_a_default_index_that_cannot_be_read_is_told_without_its_password(tmp_path: Path) -> None:
    made = make_project(tmp_path, {"1.0": tiny.GOOD}, indexes="default")
    address = f"http://{USER}:{PASSWORD[:3]}/{PASSWORD}@host/simple/"
    ran = Project(made.root, {"UV_DEFAULT_INDEX": address}).torchfloor("plan")
    assert ran.status == 2
    told = "default cannot be asked: what UV_DEFAULT_INDEX names cannot be read as an address"
    assert told in ran.output
    assert PASSWORD not in ran.output
    assert USER not in ran.output


def test_where_every_index_is_down_nothing_is_run_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with serving(tmp_path / "wheels") as index:
        made = make_project(tmp_path, {"1.0": tiny.GOOD}, indexes=index.url)
        project = Project(made.root, HASTY)
        ran = project.torchfloor("run")
        assert ran.status == 0, ran.output
    before = project.records()

    again = project.torchfloor("run")  # the plan is young, and the cell has not changed
    assert (again.status, project.records()) == (0, before), again.output

    refreshed = project.torchfloor("plan", "--refresh")
    assert refreshed.status == 2
    assert refreshed.output.startswith(
        f"torchfloor: {index.bare} does not answer (connection refused): check the network"
    )
    assert "Traceback" not in refreshed.output
    assert project.records() == before


def test_a_companion_that_cannot_be_had_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with serving(tmp_path / "wheels") as index:
        made = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tiny.GOOD}, indexes="default")
        project = Project(made.root, {**HASTY, "UV_DEFAULT_INDEX": index.url})
        index.plant("tinysource", faults.offers("tinysource-1.0.tar.gz"))
        wanted = 'companions: [{when: "<1.1", install: [tinysource]}]\n'
        matrix = project.root / "matrix.yaml"
        matrix.write_text(matrix.read_text("utf-8") + wanted, "utf-8")
        ran = project.torchfloor("run")
    records = project.records()
    assert records["1.1"].outcome == "compatible", ran.output
    assert records["1.0"].failure is not None
    assert (records["1.0"].outcome, records["1.0"].failure.stage) == ("errored", "install")
    assert "tinysource" in records["1.0"].failure.message
