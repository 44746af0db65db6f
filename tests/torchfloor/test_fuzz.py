"""Whatever stands in a file or on a page: only the documented errors come out.

`pytest --hypothesis-profile=long` looks at 10,000 examples of each kind.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import urllib3
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from requests.adapters import HTTPAdapter
from tests.torchfloor.builders import (
    HOST,
    MATRIX,
    make_cell,
    make_matrix,
    make_record,
    write_project,
)
from tests.torchfloor.builders import make_plan as plan_of
from tests.torchfloor.mutations import ODD_TEXTS, damaged_bytes, damaged_json, damaged_tree
from tests.torchfloor.test_journal import FINISH, READBACK, match, probe, raw, start
from tests.torchfloor.test_record import FULL
from tests.torchfloor.test_wheels import HTML, JSON
from tests.torchfloor.wheelhouse import pack

from torchfloor import files, workspace
from torchfloor.declared import declared_floor
from torchfloor.errors import ConfigError, RecordError, TorchfloorError
from torchfloor.index import IndexUnreachableError
from torchfloor.journal import read_journal, read_timings
from torchfloor.matrix import read_matrix
from torchfloor.plan import Plan, make_plan
from torchfloor.publish import published_plan
from torchfloor.record import Record
from torchfloor.records import read_record
from torchfloor.report.markdown import render_block, render_page
from torchfloor.report.model import Evidence, make_report
from torchfloor.screen import describe_plan
from torchfloor.timeline.archive import ArchiveError, read_directory, read_members
from torchfloor.timeline.remote import LocalBytes, RemoteError
from torchfloor.timeline.resolve import Release
from torchfloor.timeline.signature import write_signature
from torchfloor.wheels import list_wheels

if TYPE_CHECKING:
    import requests


# Every example reads its own file or page, and how fast a machine draws them says nothing.
fuzzed = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

# --- matrix.yaml and pyproject.toml

EVERYTHING = {
    **yaml.safe_load(MATRIX),
    "headline": "call",
    "sample": "all",
    "history": ["0.9", "0.8.1"],
    "python": "3.10",
    "timeout": "90s",
    "flavours": {
        "cpu": {"indexes": ["https://host.invalid/simple", "default", "wheels"]},
        "cuda": {"indexes": ["default"], "needs": "cuda"},
    },
    "companions": [{"when": "<2", "install": ["other<2", "more"]}, {"install": ["x"]}],
}
YAML = yaml.safe_dump(EVERYTHING, sort_keys=False).encode()
YAML_ODDITIES = (
    *(b"!!python/object/apply:os.system [id] ", b"!!binary ", b"!!set ", b"!!timestamp ", b"!x "),
    *(b"&a ", b"*a ", b"<<: ", b"\t", b"\xef\xbb\xbf", b"? ", b"---\n", b"...\n", b"%YAML 9.9\n"),
    *(b"!!int ", b"!!float ", b"!!omap ", b"!!pairs ", b"!!null ", b"!!bool ", b"|\n", b"1:99:99 "),
)
MATRICES = (
    damaged_tree(EVERYTHING).map(lambda tree: yaml.safe_dump(tree, allow_unicode=False).encode())
    | damaged_bytes(YAML, YAML_ODDITIES)
    | st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
)


@fuzzed
@given(content=MATRICES)
def test_any_matrix_is_read_or_refused_with_the_documented_error(
    tmp_path: Path, content: bytes
) -> None:
    file = write_project(tmp_path)
    file.write_bytes(content)
    with contextlib.suppress(ConfigError):
        matrix = read_matrix(file)
        assert matrix.timeout > 0
        assert matrix.subject.is_relative_to(tmp_path)
        matrix.companions_of(Version("1.0"))


PYPROJECT = b"""
[project]
dependencies = ["dep>=1.0,<3", "other ; python_version<'4'"]
[project.optional-dependencies]
more = ["Dep[x]~=1.0"]
"""


@fuzzed
@given(content=damaged_bytes(PYPROJECT, (b"===", b".*", b"9" * 5000, b"[", b"'''", b'"')))
def test_any_pyproject_gives_a_floor_or_the_documented_error(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert isinstance(declared_floor(file, "dep"), Version)


# --- records and plans

RECORD = json.loads(msgspec.json.encode(FULL))
PLAN = plan_of([make_cell(), make_cell("1.1", status="not-run")])


@fuzzed
@given(content=damaged_bytes(files.seal(FULL)) | damaged_json(RECORD))
def test_a_damaged_record_is_refused_or_says_the_same(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / f"{FULL.cell}.json"
    file.write_bytes(content)
    with contextlib.suppress(RecordError):
        assert read_record(file) == FULL


@fuzzed
@given(content=damaged_json(RECORD))
def test_a_forged_record_is_refused_or_can_be_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / f"{FULL.cell}.json"
    file.write_bytes(sealed(content))
    with contextlib.suppress(RecordError):
        report = make_report(Evidence(PLAN, [read_record(file)]))
        assert render_page(report).encode()
        assert render_block(report).encode()


def sealed(content: bytes) -> bytes:
    """Seal what may be no JSON at all, as somebody would who wants to deceive."""
    said = content.rstrip().removesuffix(b"}").rstrip()
    return said + files._ending(said)


@fuzzed
@given(content=damaged_json({"key": "k", "plan": json.loads(msgspec.json.encode(PLAN))}))
def test_any_cached_plan_is_used_or_made_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(sealed(content))
    cached = workspace._read_plan(file)
    if cached is not None:
        use(cached.plan)


@fuzzed
@given(content=damaged_json(json.loads(msgspec.json.encode(PLAN))))
def test_any_published_plan_is_used_or_refused_with_the_documented_error(
    tmp_path: Path, content: bytes
) -> None:
    matrix = make_matrix(tmp_path)
    (tmp_path / "evidence").mkdir(exist_ok=True)
    (tmp_path / "evidence/plan.json").write_bytes(sealed(content))
    with contextlib.suppress(ConfigError):
        use(published_plan(matrix))


def use(plan: Plan) -> None:
    describe_plan(plan)
    assert render_page(make_report(Evidence(plan, [make_record()]))).encode()
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


# --- what a cell writes

PATH = {"kind": "path", "subject": "call", "path": "fast", "entry_points": ["a"], "operators": []}
NOTE = {"kind": "note", "subject": "dep.fast", "key": "signature", "value": ["fast(x)"]}
SPEED = {"median": 0.5, "low": 0.4, "high": 0.6, "rounds": 15, "seconds": 1e-3}
JOURNAL = [
    READBACK,
    *(start("a"), PATH, match(), match(2.0, passed=False), probe("a")),
    *(start("b"), raw("wrong"), raw("right"), NOTE, probe("b", "failed", message="no")),
    {"kind": "broken", "stage": "subject", "message": "no dep", "traceback": "tail"},
    {"kind": "ratio", "group": "small", "candidate": "call", "baseline": "loop", **SPEED},
    FINISH,
]


def as_lines(lines: Any) -> bytes:  # noqa: ANN401 - a damaged journal
    return b"\n".join(json.dumps(line).encode() for line in lines)


@fuzzed
@given(
    content=damaged_tree(JOURNAL).map(as_lines)
    | damaged_bytes(as_lines(JOURNAL), (b"NaN", b'"', b'"\\udcff"', b"[" * 100_000))
    | st.binary(max_size=300)
)
def test_any_journal_tells_what_can_stand_in_a_record(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "probes.jsonl"
    file.write_bytes(content)
    told = read_journal(file)
    parts = ("paths", "matches", "raw", "notes", "ratios", "probes")
    record = msgspec.structs.replace(make_record(), **{part: getattr(told, part) for part in parts})
    assert msgspec.json.decode(files.seal(record), type=Record) == record


STATISTICS = {"rounds": 5, "min": 1e-3, "median": 2e-3, "iqr": 1e-4}
BENCHMARKS = {"benchmarks": [{"name": "test_time", "group": None, "stats": STATISTICS}]}


@fuzzed
@given(content=damaged_json(BENCHMARKS))
def test_any_benchmark_file_tells_what_can_stand_in_a_record(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "benchmark.json"
    file.write_bytes(content)
    record = msgspec.structs.replace(make_record(), timings=read_timings(file))
    assert msgspec.json.decode(files.seal(record), type=Record) == record


# --- what a wheel holds

SOURCE = b"""
import sys
from . import other
from .other import *
try:
    from dep.c import fast as norm
except ImportError:
    def norm(x, *, dtype: "int" = None) -> list[int]: ...
__all__ = ["norm", *other.__all__]
this = sys.modules[__name__]
for name in ("a", "b"):
    setattr(this, f"_{name}", name)
class Kind(other.Base, metaclass=ABCMeta):
    one: int = 1
    @property
    def two(self): return self.three
def __getattr__(name):
    if name in {"lazy"}:
        return 1
    raise AttributeError(name)
"""
SYNTAX = (
    *(b"@", b"if x:\n ", b"'''", b'"', b"(", b"\\", b"\f", b"\r", b"def f(", b"f'{", b"*"),
    *(b"~" * 9999, b"x." * 999, b"# coding: odd\n", b"__all__ = ", b"globals()["),
)
WHEEL = pack({"dep/__init__.py": SOURCE, "dep/other.pyi": SOURCE, "dep/c.so": b"\x7fELF"})
MARKS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\7", b"\xff" * 8)


@fuzzed
@given(content=damaged_bytes(WHEEL, MARKS))
def test_any_wheel_gives_what_it_holds_or_the_documented_error(content: bytes) -> None:
    wheel = LocalBytes(io.BytesIO(content))
    with contextlib.suppress(ArchiveError, RemoteError):
        for member, body in read_members(wheel, read_directory(wheel)):
            assert member.size == len(body)


@fuzzed
@given(
    source=damaged_bytes(SOURCE, SYNTAX),
    stub=damaged_bytes(SOURCE, SYNTAX),
    name=st.sampled_from(("norm", "_a", "Kind.two", "other.norm", "lazy", "c.fast", "this.this")),
)
@pytest.mark.filterwarnings("ignore")  # Python's own, about escapes
def test_any_source_and_stub_give_an_answer(source: bytes, stub: bytes, name: str) -> None:
    files = {"dep/__init__.py": source, "dep/other.py": stub, "dep/c.pyi": stub, "dep/c.so": b""}
    release = Release(files, lambda names: {file: files[file] for file in names})
    answer = release.look_up(f"dep.{name}")
    assert answer.status in {"present", "absent", "undecided", "no-stub"}
    assert answer.status == "present" or answer.why
    assert all(map(write_signature, answer.signatures))


# --- what an index answers

KINDS = ("text/html", "application/vnd.pypi.simple.v1+json")
NAMES = st.sampled_from(ODD_TEXTS) | st.builds(
    "some_dep-{}-{}{}".format,
    st.text("0123456789.!+abrcdevpost-_", max_size=12),
    st.sampled_from(("py3-none-any", "1-py3-none-any", "cp311-cp311-linux_x86_64", "py3-none", "")),
    st.sampled_from((".whl", ".tar.gz", ".zip", ".WHL", "")),
)


def page_of(names: list[str]) -> bytes:
    entry = json.loads(JSON)["files"][0]
    return json.dumps(
        {**json.loads(JSON), "files": [{**entry, "filename": n} for n in names]}
    ).encode()


ANSWERS = (
    damaged_json(json.loads(JSON)).map(lambda content: (KINDS[1], content))
    | st.lists(NAMES, max_size=4).map(lambda names: (KINDS[1], page_of(names)))
    | damaged_bytes(
        HTML.encode(), (b"<a href=", b'"', b"&#xD800;", b"<base href='http://[' />")
    ).map(lambda content: (KINDS[0], content))
    | st.tuples(st.sampled_from((*KINDS, "text/html; charset=odd", "")), st.binary(max_size=200))
)


@fuzzed
@given(answer=ANSWERS)
def test_any_page_gives_wheels_that_can_be_planned_or_the_documented_error(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[str, bytes]
) -> None:
    kind, content = answer

    def send(
        self: HTTPAdapter, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        body = urllib3.HTTPResponse(
            io.BytesIO(content), headers={"Content-Type": kind}, status=200, preload_content=False
        )
        return self.build_response(request, body)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    with contextlib.suppress(IndexUnreachableError):
        offered = list_wheels("some-dep", "http://index.invalid/simple", Path())
        with contextlib.suppress(TorchfloorError):
            plan = make_plan(make_matrix(package="some-dep"), HOST, lambda *_: offered)
            use(plan)
