"""What a code base uses: each way to name something, each scope, each guard."""

from __future__ import annotations

import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.torchfloor.system import LINKS

from torchfloor.errors import ConfigError
from torchfloor.usage import Sight, Usage, World, is_possible, read_usage
from torchfloor.usage.sources import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchfloor.usage import Use


def read(tmp_path: Path, code: str, others: Mapping[str, str] | None = None) -> Usage:
    """Read a module, which may import others beside it."""
    for name, text in {"code.py": code, **(others or {})}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), "utf-8")
    return read_usage([tmp_path], "dep", "dep")


def exposed(usage: Usage) -> set[str]:
    """Name what is used without a guard of any kind; what is in doubt has a question mark."""
    return {
        f"{use.name}{'?' if use.doubt else ''}"
        for use in usage.uses
        if not (use.caught or use.typing or use.conditions)
        and (use.kind in {"attribute", "import"} or use.doubt)
    }


class Release(World):
    """A release whose names are known."""

    def __init__(self, usage: Usage, version: str, names: Mapping[str, Sight] | None) -> None:
        super().__init__(usage.project, "dep", version=version)
        self._names = names or {}

    def look(self, name: str) -> Sight:
        return self._names.get(name, Sight.ABSENT)


def needed(usage: Usage, version: str = "1.0", *names: str) -> set[str]:
    """Name what a release must have, if it has these names."""
    world = Release(usage, version, dict.fromkeys(names, Sight.SOLID))
    return {use.name for use in usage.uses if _is_needed(use, world)}


def _is_needed(use: Use, world: World) -> bool:
    free = use.caught or use.typing or use.kind not in {"attribute", "import"}
    return not free and is_possible(use.conditions, world)


NAMING = {
    "import": ("import dep\ndep.a.b", {"dep", "dep.a.b"}),
    "import as": ("import dep as d\nd.a", {"dep", "dep.a"}),
    "import of a module": ("import dep.x.y\ndep.z", {"dep.x.y", "dep.z"}),
    "import of a module as": ("import dep.x.y as m\nm.z", {"dep.x.y", "dep.x.y.z"}),
    "from": ("from dep.x import y, z as w\nw.v(y)", {"dep.x.y", "dep.x.z", "dep.x.z.v"}),
    "relative imports are the project's own": ("from .dep import a\nfrom . import dep", set()),
    "another package of a longer name": ("import deputy\ndeputy.a", set()),
    "call": ("import dep\ndep.f(dep.g).h", {"dep", "dep.f", "dep.g"}),
    "alias": ("import dep\nx = dep.a\nx.b", {"dep", "dep.a", "dep.a.b"}),
    "aliases in a tuple": (
        "import dep\nx, y = dep.a, dep.b\ny.c",
        {"dep", "dep.a", "dep.b", "dep.b.c"},
    ),
    "walrus": ("import dep\n(x := dep.a).b\nx.c", {"dep", "dep.a", "dep.a.c"}),
    "an alias bound twice": (
        "import dep\nx = dep.a\nx = other()\nx.b",
        {"dep", "dep.a", "dep.a.b?"},
    ),
    "an alias of itself": (
        "import dep\nx = dep.a\nx = x.b\nx = x.c\nx",
        {"dep", "dep.a", "dep.a.b?", "dep.a.c?"},
    ),
    "getattr": ("import dep\ngetattr(dep, 'a').b", {"dep", "dep.a", "dep.a.b"}),
    "getattr by a constant": ("import dep\nN = 'a'\ngetattr(dep, N)", {"dep", "dep.a"}),
    "getattr by a computed name": ("import dep\ngetattr(dep, f'a{1}')", {"dep", "dep.…?"}),
    "import_module": ("import importlib\nimportlib.import_module('dep.x').y", {"dep.x", "dep.x.y"}),
    "import_module by name": (
        "from importlib import import_module\nimport_module('dep.x')",
        {"dep.x"},
    ),
    "__import__": ("d = __import__('dep')\nd.a", {"dep", "dep.a"}),
    "decorator": ("import dep\n@dep.a\ndef f(): pass", {"dep", "dep.a"}),
    "default": ("import dep\ndef f(x=dep.a, *, y=dep.b): pass", {"dep", "dep.a", "dep.b"}),
    "base class": ("import dep\nclass A(dep.a, metaclass=dep.b): pass", {"dep", "dep.a", "dep.b"}),
    "f-string": ("import dep\nf'{dep.a:{dep.b}}'", {"dep", "dep.a", "dep.b"}),
    "match": (
        "import dep\nmatch dep.a:\n  case dep.b: dep.c\n  case dep.D(x=1): pass",
        {"dep", "dep.a", "dep.b", "dep.c", "dep.D"},
    ),
    "write": ("import dep\ndep.a.b = dep.c", {"dep", "dep.a", "dep.c"}),
    "write by setattr": ("import dep\nsetattr(dep.a, 'b', 1)", {"dep", "dep.a"}),
    "write in place": ("import dep\ndep.a += 1", {"dep", "dep.a"}),
    "delete": ("import dep\ndel dep.a", {"dep", "dep.a"}),
    "what every object has": (
        "import dep\ndep.a.__name__.upper\ndep.__version__",
        {"dep", "dep.a"},
    ),
    "a method of a value": ("import dep\ndep.f().g\nx = dep.f()\nx.h", {"dep", "dep.f"}),
    "star": ("from dep.x import *\ny\nlen", {"dep.x", "dep.x.y?"}),
    "annotation": (
        "import dep\ndef f(x: dep.a) -> dep.b: pass\ny: dep.c",
        {"dep", "dep.a", "dep.b", "dep.c"},
    ),
    "annotation of a local name": ("import dep\ndef f():\n  x: dep.a = dep.b", {"dep", "dep.b"}),
    "annotation that is quoted": (
        "import dep\ndef f(x: 'dep.a | None', y: list['dep.b']): pass",
        {"dep"},
    ),
    "annotations from the future": (
        "from __future__ import annotations\nimport dep\ndef f(x: dep.a = dep.b): pass",
        {"dep", "dep.b"},
    ),
    "for type checkers": (
        "import typing as t\nif t.TYPE_CHECKING: from dep import a\nelse: from dep import b as a",
        {"dep.b"},
    ),
    "an encoding cookie": ("# coding: latin-1\nimport dep\ndep.a", {"dep", "dep.a"}),
}


@pytest.mark.parametrize(("code", "names"), NAMING.values(), ids=NAMING)
def test_names_are_found_however_they_are_named(tmp_path: Path, code: str, names: set[str]) -> None:
    assert exposed(read(tmp_path, code)) == names


SCOPES = {
    "parameter": ("def f(dep): dep.a", set()),
    "lambda": ("lambda dep: dep.a\nlambda: dep.b", {"dep.b"}),
    "local name": ("def f():\n  dep = 1\n  dep.a", set()),
    "local import": ("def f():\n  import other as dep\n  dep.a\ndep.b", {"dep.b"}),
    "loop": ("def f():\n  for dep in x: dep.a", set()),
    "with": ("def f():\n  with x as dep: dep.a", set()),
    "except": ("def f():\n  try: pass\n  except E as dep: dep.a", set()),
    "match": ("def f():\n  match x:\n    case [dep, *_]: dep.a", set()),
    "comprehension": ("[dep.a for dep in dep.b]", {"dep.b"}),
    "generator": ("sum(dep.a for x in dep.b for y in dep.c)", {"dep.a", "dep.b", "dep.c"}),
    "enclosing function": ("def f():\n  d = dep.a\n  def g(): return d.b", {"dep.a", "dep.a.b"}),
    "class names stay in the class": (
        "class A:\n  x = dep.a\n  x.b\n  def f(self): x.c",
        {"dep.a", "dep.a.b"},
    ),
    "class that hides it": ("class A:\n  dep = 1\n  dep.a\n  def f(self): dep.b", {"dep.b"}),
    "global": ("def f():\n  global d\n  d = dep.a\ndef g(): d.b", {"dep.a", "dep.a.b"}),
    "nonlocal": (
        "def f():\n  d = dep.a\n  def g():\n    nonlocal d\n    d = 1\n  d.b",
        {"dep.a", "dep.a.b?"},
    ),
    "None for want of it": ("d = dep.a\nif x: d = None\nd.b", {"dep.a", "dep.a.b"}),
}


@pytest.mark.parametrize(("code", "names"), SCOPES.values(), ids=SCOPES)
def test_a_name_belongs_to_its_scope(tmp_path: Path, code: str, names: set[str]) -> None:
    assert exposed(read(tmp_path, f"import dep\n{code}")) - {"dep"} == names


def test_aliases_are_followed_through_the_code_base(tmp_path: Path) -> None:
    usage = read(
        tmp_path,
        "from pkg import d\nfrom pkg.low import *\nd.a\ne.b",
        {
            "pkg/__init__.py": "from .low import dep as d",
            "pkg/low.py": "import dep\ne = dep.sub",
        },
    )
    assert exposed(usage) == {"dep", "dep.sub", "dep.a", "dep.sub.b"}


TRIES = {
    "AttributeError": ("try: dep.a\nexcept AttributeError: dep.b", {"dep.b"}),
    "Exception": ("try: dep.a()\nexcept Exception: pass", set()),
    "everything": ("try: dep.a\nexcept: pass", set()),
    "among others": ("try: dep.a\nexcept (ValueError, AttributeError): pass", set()),
    "another error": ("try: dep.a\nexcept ValueError: pass", {"dep.a"}),
    "ImportError does not take attributes": ("try: dep.a\nexcept ImportError: pass", {"dep.a"}),
    "import": ("try: from dep import a\nexcept ImportError: a = None", set()),
    "AttributeError does not take imports": (
        "try: from dep import a\nexcept AttributeError: pass",
        {"dep.a"},
    ),
    "a handler that raises": ("try: dep.a\nexcept AttributeError: raise E from None", {"dep.a"}),
    "a handler that exits": (
        "import sys\ntry: from dep import a\nexcept ImportError:\n  sys.exit(1)",
        {"dep.a"},
    ),
    "the first handler counts": (
        "try: dep.a\nexcept AttributeError: raise\nexcept Exception: pass",
        {"dep.a"},
    ),
    "finally": ("try: pass\nexcept Exception: pass\nfinally: dep.a", {"dep.a"}),
    "a function within runs later": ("try:\n  def f(): dep.a\nexcept Exception: pass", {"dep.a"}),
    "a class within runs at once": (
        "try:\n  class A(dep.a): x = dep.b\nexcept Exception: pass",
        set(),
    ),
    "suppress": (
        "import contextlib\nwith contextlib.suppress(AttributeError): dep.a\ndep.b",
        {"dep.b"},
    ),
    "suppress of another": (
        "from contextlib import suppress\nwith suppress(KeyError): dep.a",
        {"dep.a"},
    ),
    "getattr with a default": ("getattr(dep, 'a', None)\ngetattr(dep, 'b', dep.c)", {"dep.c"}),
    "getattr of getattr": ("getattr(getattr(dep, 'a', None), 'b', None)", set()),
    "None has no attributes": ("getattr(dep, 'a', None).b", {"dep.a.b"}),
    "hasattr is no use": ("hasattr(dep, 'a')", set()),
}


@pytest.mark.parametrize(("code", "names"), TRIES.values(), ids=TRIES)
def test_an_attempt_guards_what_it_survives(tmp_path: Path, code: str, names: set[str]) -> None:
    usage = read(tmp_path, f"import dep\n{code}")
    assert needed(usage, "1.0") - {"dep"} == names


HAS = "hasattr(dep, 'a')"
TESTS = {
    "if": (f"if {HAS}: dep.a\nelse: dep.b", {"dep.b"}, {"dep.a"}),
    "not": (f"if not {HAS}: dep.b\nelse: dep.a", {"dep.b"}, {"dep.a"}),
    "children": (f"if {HAS}: dep.a.c", set(), {"dep.a.c"}),
    "and": (f"{HAS} and dep.a", set(), {"dep.a"}),
    "or": (f"not {HAS} or dep.a", set(), {"dep.a"}),
    "and something unknown": (f"if x and {HAS}: dep.a", set(), {"dep.a"}),
    "or something unknown": (f"if x or {HAS}: dep.a", {"dep.a"}, {"dep.a"}),
    "else of something unknown": (f"if x or {HAS}: pass\nelse: dep.b", {"dep.b"}, set()),
    "conditional expression": (f"dep.a if {HAS} else dep.b", {"dep.b"}, {"dep.a"}),
    "comprehension": (f"[dep.a for x in y if {HAS}]", set(), {"dep.a"}),
    "early return": (f"def f():\n  if not {HAS}: return\n  dep.a", set(), {"dep.a"}),
    "early raise": (f"def f():\n  if not {HAS}:\n    raise E\n  dep.a", set(), {"dep.a"}),
    "early return of else": (
        f"def f():\n  if {HAS}: pass\n  else: return\n  dep.a",
        set(),
        {"dep.a"},
    ),
    "no return": (f"def f():\n  if not {HAS}: pass\n  dep.a", {"dep.a"}, {"dep.a"}),
    "assert": (f"def f():\n  assert {HAS}\n  dep.a", set(), {"dep.a"}),
    "while": (f"while {HAS}: dep.a", set(), {"dep.a"}),
    "functions within": (f"if {HAS}:\n  def f(): dep.a", set(), {"dep.a"}),
    "flag": (f"FLAG = {HAS}\ndef f():\n  if FLAG: dep.a", set(), {"dep.a"}),
    "flag set twice": (f"FLAG = {HAS}\nFLAG = x()\nif FLAG: dep.a", {"dep.a"}, {"dep.a"}),
    "flag of an attempt": (
        (
            "try:\n  from dep import a\n  FLAG = True\nexcept ImportError:\n  FLAG = False\n"
            "if FLAG: dep.a.b"
        ),
        set(),
        {"dep.a.b"},
    ),
    "default flag": (
        (
            "FLAG = False\ntry:\n  from dep import a\n  FLAG = True\nexcept ImportError: pass\n"
            "if FLAG: dep.c"
        ),
        set(),
        {"dep.c"},
    ),
    "else of an attempt": (
        "try: dep.a\nexcept AttributeError: pass\nelse: dep.a.b",
        set(),
        {"dep.a.b"},
    ),
    "the fallback of an attempt": (
        "try: from dep import a\nexcept ImportError: from dep import b as a",
        {"dep.b"},
        set(),
    ),
    "a fallback that other reasons may lead to": (
        "try:\n  import other\n  from dep import a\nexcept ImportError: from dep import b",
        {"dep.b"},
        {"dep.b"},
    ),
    "after an attempt that leaves": (
        "def f():\n  try: dep.a\n  except AttributeError: return\n  dep.a.b",
        set(),
        {"dep.a.b"},
    ),
    "variable of getattr": (
        "x = getattr(dep, 'a', None)\nif x is not None: x.b",
        set(),
        {"dep.a.b"},
    ),
    "of a module": ("if hasattr(dep.m, 'a'): dep.m.a", set(), {"dep.m.a"}),
    "getattr of a module": ("if getattr(dep.m, 'a', 0): dep.m.a", set(), {"dep.m.a"}),
    "its truth": ("x = getattr(dep, 'a', None)\nif x: dep.c", set(), {"dep.c"}),
    "optional import": (
        "try: from dep import a\nexcept ImportError: a = None\na.b",
        set(),
        {"dep.a.b"},
    ),
    "dir": ("if 'a' in dir(dep): dep.a", set(), {"dep.a"}),
    "find_spec": (
        "import importlib.util\nif importlib.util.find_spec('dep.a'): import dep.a",
        set(),
        {"dep.a"},
    ),
    "helper function": (
        (
            "def has():\n  try: import dep.a\n  except ImportError: return False\n  return True\n"
            "if has(): dep.a"
        ),
        set(),
        {"dep.a"},
    ),
    "skipif": (
        f"import pytest\n@pytest.mark.skipif(not {HAS}, reason='')\ndef f(): dep.a",
        set(),
        {"dep.a"},
    ),
    "unless skipped": (
        f"import unittest\n@unittest.skipUnless({HAS}, '')\nclass A:\n  dep.a",
        set(),
        {"dep.a"},
    ),
    "a list that is filled later": (
        f"x = []\nx.append(1)\nif x or {HAS}: dep.a",
        {"dep.a"},
        {"dep.a"},
    ),
    "a list that a helper fills": (
        f"def f():\n  x = []\n  fill(x)\n  return x or {HAS}\nif f(): dep.a",
        {"dep.a"},
        {"dep.a"},
    ),
    "a list that a helper empties": (
        f"def f():\n  x = [1]\n  x.pop()\n  return not x or {HAS}\nif f(): dep.a",
        {"dep.a"},
        {"dep.a"},
    ),
    "a helper that loops": (
        f"def f():\n  for x in y: return True\n  return {HAS}\nif f(): dep.a",
        {"dep.a"},
        {"dep.a"},
    ),
    "a helper with an unknown branch": (
        f"def f(x):\n  if x: return False\n  return {HAS}\nif f(y): dep.a",
        set(),
        {"dep.a"},
    ),
    "a test nobody knows": ("if x: dep.a", {"dep.a"}, {"dep.a"}),
}


@pytest.mark.parametrize(("code", "without", "having"), TESTS.values(), ids=TESTS)
def test_a_test_guards_where_it_fails(
    tmp_path: Path, code: str, without: set[str], having: set[str]
) -> None:
    usage = read(tmp_path, f"import dep\n{code}")
    assert needed(usage, "1.0", "dep.m") - {"dep", "dep.m"} == without
    assert needed(usage, "1.0", "dep.m", "dep.a", "dep.m.a") - {"dep", "dep.m"} == having


IMPORTS = """
import importlib.metadata
import operator
from distutils.version import LooseVersion
from functools import lru_cache

from lightning_utilities.core.imports import RequirementCache, compare_version
from packaging import version
from packaging.version import Version as V
from packaging.version import parse

import dep
"""
VERSIONS = {
    "Version": "if V(dep.__version__) >= V('2.1'): dep.a",
    "parse": "if version.parse(dep.__version__) >= version.parse('2.1'): dep.a",
    "else": "if parse(dep.__version__) < parse('2.1'): pass\nelse: dep.a",
    "chained": "if V('2.1') <= V(dep.__version__) < V('9'): dep.a",
    "release": "if V(dep.__version__).release >= (2, 1): dep.a",
    "numbers": "if [int(x) for x in dep.__version__.split('+')[0].split('.')] >= [2, 1]: dep.a",
    "distutils": "if LooseVersion(dep.__version__) >= LooseVersion('2.1'): dep.a",
    "metadata": "if V(importlib.metadata.version('dep')) >= V('2.1'): dep.a",
    "flag": "FLAG = V(dep.__version__) >= V('2.1')\ndef f(): return dep.a if FLAG else None",
    "compare_version": "if compare_version('dep', operator.ge, '2.1'): dep.a",
    "requirement": "FLAG = RequirementCache('dep>=2.1')\nif FLAG: dep.a",
    "helper": """
        OPERATIONS = {">=": operator.ge}
        INSTALLED = parse(dep.__version__)
        def compare(this, operation, other):
            if operation not in OPERATIONS.keys():
                raise ValueError(operation)
            operation = OPERATIONS[operation]
            if isinstance(this, str):
                this = parse(this)
            return operation(this, parse(other))
        @lru_cache()
        def is_version(operation, version):
            return compare(INSTALLED, operation, version)
        if is_version(">=", "2.1"):
            dep.a
        """,
}


@pytest.mark.parametrize("code", VERSIONS.values(), ids=VERSIONS)
def test_a_version_check_guards_below_its_bound(tmp_path: Path, code: str) -> None:
    usage = read(tmp_path, IMPORTS + textwrap.dedent(code))
    assert needed(usage, "2.0") == {"dep"}
    assert needed(usage, "2.1") - {"dep"} == {"dep.a"}
    assert needed(usage, "2.10") - {"dep"} == {"dep.a"}


@pytest.mark.parametrize(("version", "names"), [("1.9", set()), ("1.13", {"torch.a"})])
@pytest.mark.parametrize("bound", ["'1.10'", "(1, 10)"])
def test_the_version_of_torch_compares_as_a_version(
    tmp_path: Path, version: str, names: set[str], bound: str
) -> None:
    code = f"import torch\nif torch.__version__ >= {bound}: torch.a"
    (tmp_path / "code.py").write_text(code, "utf-8")
    usage = read_usage([tmp_path], "torch", "torch")
    assert needed(usage, version) - {"torch"} == names


def test_a_flag_of_another_module_is_followed(tmp_path: Path) -> None:
    flags = (
        "import dep\nimport packaging.version as v\nGE = v.parse(dep.__version__) >= v.parse('2')"
    )
    usage = read(
        tmp_path,
        "import dep\nfrom pkg.flags import GE\nif GE: dep.a",
        {"pkg/__init__.py": "", "pkg/flags.py": flags},
    )
    assert needed(usage, "1.0") == {"dep"}
    assert needed(usage, "2.0") == {"dep", "dep.a"}


def test_places_count_lines_and_columns_from_one(tmp_path: Path) -> None:
    use = read(tmp_path, "from dep import (\n  a,\n)\n").uses[0]
    assert (use.name, use.line, use.column) == ("dep.a", 2, 3)


@LINKS
@LINKS
def test_a_damaged_file_that_says_the_name_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import dep\nprint dep.a\n", "utf-8")
    (tmp_path / "stranger.py").write_text("print 'hello'\n", "utf-8")
    (tmp_path / "nul.py").write_bytes(b"import dep\0")
    (tmp_path / "cookie.py").write_bytes(b"# coding: nonesuch\nimport dep\n")
    (tmp_path / "deep.py").write_text("import dep\nx = " + "+".join(["dep.a"] * 5000), "utf-8")
    (tmp_path / "large.py").write_bytes(b"import dep #" + b"x" * LARGEST)
    (tmp_path / "loose.py").symlink_to("nowhere.py")
    usage = read(tmp_path, "import dep\ndep.a")
    assert exposed(usage) == {"dep", "dep.a"}
    told = {Path(line.partition(": ")[0]).name: line for line in usage.unread}
    assert set(told) == {"old.py", "nul.py", "cookie.py", "deep.py", "large.py", "loose.py"}
    assert "line 2" in told["old.py"]


def test_other_peoples_folders_are_skipped_unless_they_are_named(tmp_path: Path) -> None:
    for name in (".git", "node_modules", "site-packages", "env", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("import dep\ndep.a", "utf-8")
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "mine/loop").symlink_to(tmp_path)
    assert read_usage([tmp_path], "dep", "dep").files == 1
    assert read_usage([tmp_path, tmp_path / "env", tmp_path / "mine"], "dep", "dep").files == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere", "does not exist"), ("empty", "holds no Python file"), ("a.ipynb", "notebooks")],
)
def test_a_path_without_python_is_a_mistake(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.ipynb").touch()
    with pytest.raises(ConfigError, match=words):
        read_usage([tmp_path / path], "dep", "dep")


@pytest.mark.parametrize("package", ["asyncio", "unittest", "importlib", "logging"])
def test_real_code_is_read_without_an_error(package: str) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    for root in ("sys", "os"):
        usage = read_usage([library / package], root, root)
        assert not usage.unread
        assert usage.uses
        assert all(use.name.startswith(root) for use in usage.uses)


TOKENS = st.sampled_from(
    [
        *("import dep", "from dep import a", "dep.a", "x = dep", "x = x.a", "x", "x = f", "f()"),
        *("if x:", "else:", "try:", "except ImportError:", "while dep.a:", "def f(x=dep):"),
        *("class A(dep.b):", "  ", "    ", "pass", "return x", "global x", "nonlocal x"),
        *("assert hasattr(dep, 'a')", "getattr(x, 'a', None)", "lambda x: dep", "raise x"),
        *("[x for x in dep.a]", "(x := dep.a)", "x: 'dep.a'", "del dep.a", "x += dep.a"),
        *("match x:", "case dep.a:", "with x as dep:"),
    ]
)


@settings(deadline=None)
@given(st.lists(st.lists(TOKENS, max_size=3).map("".join), max_size=12).map("\n".join))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    (folder / "code.py").write_text(f"import dep\n{text}", "utf-8")
    usage = read_usage([folder], "dep", "dep")
    assert usage.unread or usage.uses
    needed(usage, "1.0")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="its syntax")
def test_type_parameters_and_aliases_are_not_evaluated(tmp_path: Path) -> None:
    code = "import dep\ntype X = dep.a\ndef f[T: dep.b](x: T): dep.c\nclass A[dep]: dep.d"
    assert exposed(read(tmp_path, code)) == {"dep", "dep.c"}
