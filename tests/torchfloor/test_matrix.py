"""matrix.yaml: what it says is kept, and every mistake is told at once with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from tests.torchfloor.builders import MATRIX, write_project

from torchfloor.errors import ConfigError
from torchfloor.matrix import Companion, Flavour, read_matrix

REPOSITORY = Path(__file__).parents[2]


def mistakes_of(root: Path, matrix: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_matrix(write_project(root, matrix))
    return caught.value.mistakes


def with_lines(**lines: str) -> str:
    """Return the small matrix with some of its lines replaced, added, or (empty) removed."""
    text = MATRIX
    for key, line in lines.items():
        name = key.replace("_", "-")
        text = re.sub(rf"(?m)^    {name}:.*(\n      .*)*\n", "", text)
        if line:
            text += f"    {line}\n"
    return text


def test_the_shipped_matrix_is_valid() -> None:
    matrix = read_matrix(REPOSITORY / "matrix.yaml")
    assert matrix.package == "torch"
    assert list(matrix.flavours) == ["cpu", "cuda"]
    assert matrix.flavours["cuda"].needs == "cuda"
    assert matrix.declared >= Version("2.0")


def test_every_value_is_kept_and_paths_are_resolved(tmp_path: Path) -> None:
    extra = """
    headline: call
    names: [dep.fast, dep.sub.norm]
    canary: https://nightly.invalid/simple
    sample: all
    history: ["0.9", "0.8.1"]
    python: "3.10"
    timeout: 90s
    companions:
      - {when: "<2", install: ["other<2", "more"]}
    """
    matrix = read_matrix(write_project(tmp_path, MATRIX + extra, "dep>=1.0.1"))
    assert matrix.subject == tmp_path / "src/sub"
    assert matrix.probes == tmp_path / "probes"
    assert matrix.declared_in == tmp_path / "pyproject.toml"
    assert matrix.root == tmp_path
    assert matrix.declared == Version("1.0.1")
    assert matrix.versions == SpecifierSet(">=1.0")
    assert (matrix.headline, matrix.sample, matrix.python) == ("call", "all", "3.10")
    assert matrix.history == ("0.9", "0.8.1")
    assert matrix.names == ("dep.fast", "dep.sub.norm")
    assert matrix.canary == "https://nightly.invalid/simple"
    assert matrix.timeout == 90
    assert matrix.flavours == {"cpu": Flavour(indexes=("wheels",))}
    assert matrix.companions == (Companion(install=("other<2", "more"), when="<2"),)


def test_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    matrix = read_matrix(write_project(tmp_path))
    assert (matrix.sample, matrix.history, matrix.python) == ("newest-patch", (), "auto")
    assert (matrix.companions, matrix.timeout, matrix.headline) == ((), 900, "")
    assert (matrix.names, matrix.canary) == ((), "")


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("15m", 900), ("2h", 7200)])
def test_a_duration_is_a_number_and_a_unit(tmp_path: Path, text: str, seconds: int) -> None:
    matrix = read_matrix(write_project(tmp_path, with_lines(timeout=f"timeout: {text}")))
    assert matrix.timeout == seconds


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ({"package": ""}, "package", "missing, but required"),
        ({"package": "package: 'to rch'"}, "package", "regex"),
        ({"package": "package: [torch]"}, "package", "Expected `str`, got `array`"),
        ({"subject": "subject: src/gone"}, "subject", "'src/gone' does not exist"),
        ({"probes": "probes: gone"}, "probes", "'gone' does not exist"),
        ({"declared_in": "declared-in: setup.cfg"}, "declared-in", "'setup.cfg' does not exist"),
        ({"versions": "versions: 2.10"}, "versions", '("2.10")'),
        ({"versions": "versions: 2"}, "versions", "in quotes"),
        ({"versions": "versions: newest"}, "versions", "'newest' is no PEP 440 specifier"),
        ({"sample": "sample: some"}, "sample", "some"),
        ({"sample": "sample: newest"}, "sample", "newest"),
        ({"history": "history: [1.10]"}, "history[0]", "in quotes"),
        ({"history": "history: ['1.9', one]"}, "history[1]", "'one' is no PEP 440 version"),
        ({"history": "history: ['1.9', '1.9']"}, "history", "'1.9' stands twice"),
        ({"history": "history: '1.9'"}, "history", "write a list"),
        ({"python": "python: 3.11"}, "python", "in quotes"),
        ({"python": "python: '3.8'"}, "python", "'3.8' is neither auto nor 3.9 or newer"),
        ({"python": "python: '3.11.2'"}, "python", "neither auto"),
        ({"flavours": "flavours: {}"}, "flavours", "empty"),
        ({"flavours": "flavours: [cpu]"}, "flavours", "array"),
        ({"flavours": "flavours: {CPU: {indexes: [a]}}"}, "flavours", "regex"),
        ({"flavours": "flavours: {cpu: {}}"}, "flavours.cpu", "indexes"),
        ({"flavours": "flavours: {cpu: {indexes: []}}"}, "flavours.cpu.indexes", "length"),
        ({"flavours": "flavours: {cpu: {indexes: default}}"}, "flavours.cpu.indexes", "list"),
        ({"flavours": "flavours: {cpu: {indexes: [a, a]}}"}, "flavours.cpu.indexes", "twice"),
        ({"flavours": "flavours: {cpu: {indexes: [a], need: cuda}}"}, "flavours.cpu", "need"),
        ({"flavours": "flavours: {cpu: {indexes: [a], needs: tpu}}"}, "flavours.cpu.needs", "tpu"),
        ({"flavours": "flavours: {cpu: {indexes: [a], needs: x}}"}, "flavours.cpu", "write cuda"),
        ({"flavours": "flavours: {c-u: {indexes: [a]}}"}, "flavours", "small letter"),
        ({"flavours": "flavours: {cpu: {indexes: ['htp://x']}}"}, "flavours.cpu.indexes[0]", "htp"),
        ({"flavours": "flavours: {cpu: {indexes: ['https://']}}"}, "flavours.cpu", "no index"),
        ({"sample": "sample: newest"}, "sample", "write newest-patch or all"),
        ({"companions": "companions: numpy"}, "companions", "write a list"),
        ({"companions": "companions: [{when: '<2'}]"}, "companions[0]", "install"),
        (
            {"companions": "companions: [{when: x, install: [a]}]"},
            "companions[0].when",
            "'x' is no PEP 440 specifier",
        ),
        (
            {"companions": "companions: [{install: [a, 'b c']}]"},
            "companions[0].install[1]",
            "'b c' is no requirement",
        ),
        (
            {"companions": "companions: [{install: [a, a]}]"},
            "companions[0].install",
            "'a' stands twice",
        ),
        (
            {"companions": "companions: [{install: ['a @ https://me:pw@h.invalid/a.whl']}]"},
            "companions[0].install[0]",
            "holds a login",
        ),
        (
            {"companions": "companions: [{install: ['a @ https://h.invalid/a.whl?token=x']}]"},
            "companions[0].install[0]",
            "a query that may let in",
        ),
        ({"package": "package: tiny-dep"}, "package", "write 'tiny_dep'"),
        ({"subject": "subject: pyproject.toml"}, "subject", "is no import package or module"),
        ({"probes": "probes: pyproject.toml"}, "probes", "is a file; name the folder"),
        ({"names": "names: [dep]"}, "names[0]", "'dep' is no dotted name"),
        ({"names": "names: [dep.a, dep.b()]"}, "names[1]", "'dep.b()' is no dotted name"),
        ({"names": "names: [dep.a, other.b]"}, "names[1]", "would begin with 'dep.'"),
        ({"names": "names: [dep.a, dep.a]"}, "names", "'dep.a' stands twice"),
        ({"canary": "canary: 'htp://x'"}, "canary", "htp:// is no index"),
        ({"timeout": "timeout: 15"}, "timeout", "in quotes"),
        ({"timeout": "timeout: 15 minutes"}, "timeout", "write 90s, 15m or 1h"),
        ({"timeout": "timeout: 0s"}, "timeout", "no duration"),
        ({"timeout": "timeout: -5m"}, "timeout", "no duration"),
        ({"verions": "verions: '>=2'"}, "verions", "did you mean 'versions'?"),
        ({"zzz": "zzz: 1"}, "zzz", "known keys: package, subject"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, lines: dict[str, str], place: str, words: str
) -> None:
    (mistake,) = mistakes_of(tmp_path, with_lines(**lines))
    assert mistake.startswith(f"{place}"), mistake
    assert words in mistake


SECRET = "s3cret"  # noqa: S105 - planted


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (f"https://user:{SECRET}/x@host.invalid/simple/", "percent-encoded: / as %2F, @ as %40"),
        (f"https://user:{SECRET}@x@host.invalid/simple/", "percent-encoded"),
        (f"https://user:{SECRET}?x@host.invalid/simple/", "percent-encoded"),
        (f"https://user:{SECRET}#x@host.invalid/simple/", "percent-encoded"),
        (f"https://user:12/{SECRET}@host.invalid/simple/", "percent-encoded"),
        (f"https://user:{SECRET}\\x@host.invalid/simple/", "percent-encoded"),
        (f"https://user:{SECRET}%x@host.invalid/simple/", "percent-encoded"),
        (f"https://user:{SECRET}[@host.invalid/simple/", "percent-encoded"),
        (f"https://host.invalid/simple/?token={SECRET}", "give a token as the user name"),
        (f"https://host.invalid/simple/#{SECRET}", "give a token as the user name"),
        (f"user:{SECRET}@host.invalid/simple/", "no index; write default, an http(s) address"),
        (f"user:{SECRET}@host://x", "is no index"),
    ],
)
def test_an_index_whose_address_would_show_a_password_is_refused_without_it(
    tmp_path: Path, index: str, words: str
) -> None:
    lines = with_lines(flavours=f"flavours: {{cpu: {{indexes: ['{index}']}}}}")
    (mistake,) = mistakes_of(tmp_path, lines)
    assert mistake.startswith("flavours.cpu.indexes[0]: ")
    assert words in mistake
    assert SECRET not in mistake


@pytest.mark.parametrize(
    "index",
    [
        "https://user:pa%2Fss%40@host.invalid:8080/simple/",
        "http://token@[::1]:80/simple",
        "https://host.invalid/~user/simple+extra,x/",
        "wheels@home",
        "default",
    ],
)
def test_an_index_that_can_be_read_is_taken_as_it_is(tmp_path: Path, index: str) -> None:
    lines = with_lines(flavours=f"flavours: {{cpu: {{indexes: ['{index}']}}}}")
    assert read_matrix(write_project(tmp_path, lines)).flavours["cpu"].indexes == (index,)


@pytest.mark.parametrize("indexes", ["['{0}', '{0}']", "['{0}]", "['{0}', &a x, *a]"])
def test_no_mistake_shows_the_line_it_stands_in(tmp_path: Path, indexes: str) -> None:
    address = f"https://user:{SECRET}@host.invalid/"
    lines = with_lines(flavours=f"flavours: {{cpu: {{indexes: {indexes.format(address)}}}}}")
    told = "; ".join(mistakes_of(tmp_path, lines))
    assert SECRET not in told
    assert "[1] stands twice" in told or "(line " in told


def test_mistakes_of_every_kind_are_told_at_once(tmp_path: Path) -> None:
    matrix = """
    package: dep
    subjct: src/sub
    probes: gone
    declared-in: pyproject.toml
    versions: 2.10
    history: [one, 1.10]
    python: '2.7'
    timeout: soon
    flavours:
      cpu: {indexes: []}
      cuda: {indexes: [a, a], needs: tpu, extra: 1}
    companions:
      - {when: x, install: ['b c']}
      - {install: 3}
    """
    places = [mistake.partition(":")[0] for mistake in mistakes_of(tmp_path, matrix)]
    assert sorted(places) == sorted(
        [
            "subjct",
            "subject",
            "probes",
            "versions",
            "history[1]",
            "history[0]",
            "python",
            "timeout",
            "flavours.cpu.indexes",
            "flavours.cuda.indexes",
            "flavours.cuda.needs",
            "flavours.cuda.extra",
            "companions[0].when",
            "companions[0].install[0]",
            "companions[1].install",
        ]
    )


def test_a_repeated_key_is_told_with_its_line(tmp_path: Path) -> None:
    told = mistakes_of(tmp_path, MATRIX + "    python: auto\n    python: '3.11'\n")
    assert len(told) == 1
    assert "'python' stands twice" in told[0]
    assert told[0].startswith("line 11:")


def test_the_message_counts_the_mistakes_and_names_the_file(tmp_path: Path) -> None:
    file = write_project(tmp_path, with_lines(timeout="timeout: soon", python="python: '2.7'"))
    with pytest.raises(ConfigError, match=r"matrix\.yaml: 2 mistakes\n  python: .*\n  timeout: "):
        read_matrix(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must hold keys and values"),
        (b"- a\n", "must hold keys and values"),
        (b"just words", "must hold keys and values"),
        (b"a: [", "not valid YAML"),
        (b"\xff\xfe\xff", "cannot be read"),
        (b"a: !!python/object:os.system x", "not valid YAML"),
        (b"versions: 2001-99-99", "not valid YAML"),
        (b"? [a, b]\n: c", "not valid YAML"),
        (b"a: " + b"[" * 5000, "not valid YAML"),
        (b"a: &x [*x]", "the alias *x is not allowed here"),
    ],
)
def test_what_is_no_matrix_is_told_in_a_line(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "matrix.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_matrix(file)


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not found: run torchfloor in the folder that holds it"):
        read_matrix(tmp_path / "matrix.yaml")


def test_a_path_longer_than_any_file_name_does_not_exist(tmp_path: Path) -> None:
    (mistake,) = mistakes_of(tmp_path, with_lines(probes=f"probes: {'x' * 300}"))
    assert "does not exist" in mistake


@pytest.mark.parametrize("key", ["subject", "probes", "declared-in"])
def test_an_empty_path_is_a_mistake(tmp_path: Path, key: str) -> None:
    (mistake,) = mistakes_of(tmp_path, with_lines(**{key.replace("-", "_"): f"{key}: ''"}))
    assert mistake.startswith(f"{key}:")


@pytest.mark.parametrize(
    ("release", "companions"),
    [
        ("1.0", ("numpy<2", "always")),
        ("2.2.9", ("numpy<2", "always")),
        ("2.3.0", ("numpy", "always")),
        ("3.0", ("numpy", "always")),
    ],
)
def test_companions_go_by_release_in_the_order_of_the_file(
    tmp_path: Path, release: str, companions: tuple[str, ...]
) -> None:
    said = (
        "companions: [{when: '<2.3', install: [numpy<2]}, {when: '>=2.3', install: [numpy]},"
        " {install: [always]}]"
    )
    matrix = read_matrix(write_project(tmp_path, with_lines(companions=said)))
    assert matrix.companions_of(Version(release)) == companions
