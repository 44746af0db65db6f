"""Names in small wheels: what is decided, what is not, and why not."""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from torchfloor.timeline.flow import follow, nothing_exported
from torchfloor.timeline.resolve import Answer, Release
from torchfloor.timeline.signature import write_signature
from torchfloor.timeline.source import Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMPILED = b"\x7fELF"
Files = dict[str, str | bytes]


def release(files: Mapping[str, str | bytes]) -> Release:
    contents = {
        name: textwrap.dedent(body).encode() if isinstance(body, str) else body
        for name, body in files.items()
    }

    def read(names: Iterable[str]) -> dict[str, bytes]:
        return {name: contents[name] for name in names}

    return Release(contents, read)


def look_up(name: str, files: Mapping[str, str | bytes]) -> Answer:
    return release(files).look_up(name)


def look_up_in(text: str, others: Mapping[str, str | bytes], name: str = "dep.f") -> Answer:
    """Look a name up where dep/__init__.py is the text, and other files of dep are given."""
    files = {f"dep/{file}": body for file, body in others.items()}
    return look_up(name, {"dep/__init__.py": text, **files})


FUNCTION = "def f(a, *, b=1): ..."


@pytest.mark.parametrize(
    ("text", "others"),
    [
        (FUNCTION, {}),
        ("from .x import f", {"x.py": FUNCTION}),
        ("from .x import g as f", {"x.py": "def g(a, *, b=1): ..."}),
        ("from dep.x import *", {"x.py": FUNCTION}),
        ("from .x import *", {"x.py": f"__all__ = ['f']\n{FUNCTION}"}),
        ("from .x import *", {"x.py": f"__all__ = []\n__all__ += ['f']\n{FUNCTION}"}),
        ("from .x import *", {"x.py": f"__all__ = []\n__all__.append('f')\n{FUNCTION}"}),
        (
            "from .x import *",
            {
                "x.py": "from . import y\nfrom .y import *\n__all__ = y.__all__ + []",
                "y.py": f"__all__ = ['f']\n{FUNCTION}",
            },
        ),
        ("from . import x\nf = x.f", {"x.py": FUNCTION}),
        (f"{FUNCTION.replace('f(', '_f(')}\nf = _f", {}),
        (f"if True:\n    {FUNCTION}\nelse:\n    pass", {}),
        (f"try:\n    {FUNCTION}\nexcept ImportError:\n    raise", {}),
        (f"import sys\nif sys.x:\n    {FUNCTION}\nelse:\n    {FUNCTION}", {}),
        ("import contextlib\nwith contextlib.suppress(Exception):\n    " + FUNCTION, {}),
        (f"@overload\ndef f(): ...\n@overload\ndef f(a): ...\n{FUNCTION}", {}),
        (f"def f(): ...\n{FUNCTION}", {}),
        (f"from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    {FUNCTION}", {}),
        (f"__SETUP = False\nif __SETUP:\n    pass\nelse:\n    {FUNCTION}", {}),
        ("f = document(_c.f, '''f(a, *, b=1)\n\nDoes it.''')", {}),
        ("from .c import f", {"c.so": COMPILED, "c.pyi": FUNCTION}),
        ("from .c import *", {"c.so": COMPILED, "c.pyi": FUNCTION}),
        (
            "from . import c\nfor n in dir(c):\n    globals()[n] = getattr(c, n)",
            {"c.so": COMPILED, "c.pyi": FUNCTION},
        ),
        (
            "import sys\nsys.modules[__name__] = Other()",
            {"__init__.pyi": FUNCTION},
        ),
        (
            "from . import c\ndef there():\n    return hasattr(c, 'g')\nif there():\n    "
            + FUNCTION,
            {"c.so": COMPILED, "c.pyi": "def g(): ..."},
        ),
    ],
)
def test_a_function_is_found_with_its_signature(text: str, others: Files) -> None:
    answer = look_up_in(text, others)
    assert (answer.status, answer.kind) == ("present", "function"), answer.why
    assert write_signature(answer.signatures[-1]) == "(a, *, b=1)"


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("", {}),
        ("'f'", {}),
        ("def g(f):\n    f = 1", {}),
        ("x = [f for f in y]", {}),
        ("f = 1\ndel f", {}),
        ("if False:\n    f = 1", {}),
        ("if __name__ == '__main__':\n    f = 1", {}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import f", {}),
        ("f: int", {}),
        ("from .x import *", {"x.py": "__all__ = ['g']\nf = g = 1"}),
        ("from .x import *", {"x.py": "from . import y"}),
        ("from ._x import *", {"_x.py": "_f = 1"}),
        ("for n in ('a', 'b'):\n    globals()[f'_{n}'] = 1", {}),
        (
            """
            TABLE = {'g': 1}
            def __getattr__(name):
                if name in TABLE:
                    return TABLE[name]
                raise AttributeError(name)
            """,
            {},
        ),
        (
            """
            def __getattr__(name):
                found = {'g': 1}.get(name)
                if found is not None:
                    return found
                raise AttributeError(name)
            """,
            {},
        ),
    ],
)
def test_what_no_statement_binds_is_absent(text: str, others: Files) -> None:
    answer = look_up_in(text, others)
    assert answer.status == "absent", answer.why
    assert answer.why


@pytest.mark.parametrize(
    ("text", "others", "why"),
    [
        ("if x:\n    f = 1", {}, "defines it only under `if x`"),
        ("try:\n    import f\nexcept ImportError:\n    pass", {}, "only under a `try`"),
        ("globals().update(x)", {}, "binds names that only a run can tell"),
        ("globals()[x()] = 1", {}, "binds names that only a run can tell"),
        ("def g():\n    globals()['f'] = 1\ng()", {}, "binds names that only a run can tell"),
        ("exec(x)", {}, "binds names that only a run can tell"),
        ("def __getattr__(name):\n    return x(name)", {}, "answers for it in __getattr__"),
        (
            "def __getattr__(name):\n    if name in x():\n        return 1\n    raise KeyError",
            {},
            "answers for it in __getattr__",
        ),
        ("from other import *", {}, "from other, which is another package"),
        (
            "from .x import *",
            {"x.py": "f = 1\n__all__ = [n for n in dir() if n]"},
            "is put together when it runs",
        ),
        (
            "from .x import *",
            {"x.py": "f = 1\n__all__ = []\ndef add():\n    __all__.append('f')\nadd()"},
            "is put together when it runs",
        ),
        ("def (", {}, "cannot be parsed by this Python"),
        (
            "from .c import *",
            {"c.so": COMPILED, "c.pyi": "def g(): ..."},
            "does not list it, and may be incomplete",
        ),
    ],
)
def test_what_only_a_run_can_tell_is_undecided(text: str, others: Files, why: str) -> None:
    answer = look_up_in(text, others)
    assert answer.status == "undecided"
    assert why in answer.why


@pytest.mark.parametrize(
    ("text", "others", "name"),
    [
        ("from .x import *", {"x.py": "from . import *\nfrom dep import f"}, "dep.f"),
        ("from . import x\n__all__ = x.__all__", {"x.py": "import dep\n__all__ = dep.__all__"}, ""),
        ("class f:\n    a = b\n    b = a", {}, "dep.f.a"),
        ("class f(f): ...", {}, "dep.f.a"),
        ("f = g\ng = f", {}, "dep.f.a"),
        (
            "from .c0 import *",
            {f"c{n}.py": f"from .c{n + 1} import *" for n in range(300)},
            "dep.f",
        ),
        (
            "from .c0 import *",
            {
                f"c{n}.py": "\n".join(f"from .c{m} import *" for m in range(14) if m != n)
                for n in range(14)
            },
            "dep.f",
        ),
    ],
)
def test_what_refers_to_itself_comes_to_an_end(text: str, others: Files, name: str) -> None:
    files: Files = {"use/__init__.py": "from dep import *", "dep/__init__.py": text}
    files |= {f"dep/{file}": body for file, body in others.items()}
    found = release(files)
    assert found.look_up(name or "use.f").status in {"present", "absent", "undecided"}
    assert found.look_up("use.f").status in {"present", "absent", "undecided"}


@pytest.mark.parametrize("text", ["from .c import *", "from . import c\nfrom dep.c import *"])
def test_a_compiled_module_without_a_stub_is_told(text: str) -> None:
    answer = look_up_in(text, {"c.so": COMPILED})
    assert (answer.status, answer.why) == (
        "no-stub",
        "dep.c is compiled, and the wheel holds no stub of it",
    )
    assert look_up_in(text, {"c.so": COMPILED}, "dep.c.f").status == "no-stub"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("dep", "present"),
        ("dep.sub", "present"),
        ("dep.sub.mod", "present"),
        ("dep.bare.mod", "present"),
        ("dep.sub.nothing", "absent"),
        ("dep.bare.nothing", "absent"),
        ("other", "absent"),
        ("dep.sub.value.deeper", "undecided"),
    ],
)
def test_modules_are_found_where_an_import_finds_them(name: str, status: str) -> None:
    files = {
        "dep/__init__.py": "",
        "dep-1.0.data/purelib/dep/sub/__init__.py": "value = x()",
        "dep-1.0.data/purelib/dep/sub/mod.py": "",
        "dep/bare/mod.py": "",
    }
    assert look_up(name, files).status == status


CLASSES = """
    from .base import Base, Meta

    class Own(Base):
        value: int
        other = 1

        def __init__(self, a, b=2):
            self.given = a

        @property
        def shown(self): ...

        @classmethod
        def made(cls, x): ...

        alias = shown

    class Strange(Unknown): ...

    class Shaped(metaclass=Meta): ...

    Own.late = 1
"""
BASE = """
    class Meta(type):
        def by_meta(cls): ...

    class Base(dict):
        def step(self, closure=None): ...
"""


@pytest.mark.parametrize(
    ("name", "status", "kind", "signature"),
    [
        ("Own", "present", "class", "(a, b=2)"),
        ("Own.step", "present", "method", "(self, closure=None)"),
        ("Own.made", "present", "method", "(x)"),
        ("Own.shown", "present", "attribute", None),
        ("Own.alias", "present", "attribute", None),
        ("Own.other", "present", "attribute", None),
        ("Own.late", "present", "attribute", None),
        ("Own.get", "present", "method", None),
        ("Own.nothing", "absent", None, None),
        ("Own.value", "undecided", None, None),
        ("Own.given", "undecided", None, None),
        ("Strange.nothing", "undecided", None, None),
        ("Shaped.nothing", "absent", None, None),
        ("Shaped.by_meta", "undecided", None, None),
        ("Own.step.deeper", "undecided", None, None),
    ],
)
def test_members_of_classes_follow_their_bases(
    name: str, status: str, kind: str | None, signature: str | None
) -> None:
    answer = look_up(f"dep.{name}", {"dep/__init__.py": CLASSES, "dep/base.py": BASE})
    assert (answer.status, answer.kind) == (status, kind), answer.why
    assert [write_signature(s) for s in answer.signatures] == ([signature] if signature else [])


def test_a_module_that_is_handed_over_keeps_its_names_and_may_get_more() -> None:
    text = "import sys\nf = 1\ninstall(sys.modules[__name__])\nprint(dir(sys.modules[__name__]))"
    assert look_up_in(text, {}).status == "present"
    assert look_up_in(text, {}, "dep.g").status == "undecided"
    assert look_up_in(text.replace("install", "len"), {}, "dep.g").status == "absent"


def test_which_of_two_modules_a_name_is_depends_on_imports() -> None:
    others: Files = {"x.py": "", "inner/x.py": "f = 1"}
    assert look_up_in("from .inner import x", others, "dep.x").kind == "module"
    assert look_up_in("from .inner import x", others, "dep.x.f").status == "undecided"


def test_a_decorator_that_may_change_a_signature_is_named() -> None:
    answer = look_up_in("@wraps(x)\n@overload\ndef f(a): ...", {})
    assert (answer.status, answer.why) == ("present", "decorated with wraps")


def test_a_star_gives_no_private_names_and_a_loop_does() -> None:
    others: Files = {"x.py": "_f = 1"}
    assert look_up_in("from .x import *", others, "dep._f").status == "absent"
    loop = "from . import x\nfor n in dir(x):\n    globals()[n] = getattr(x, n)"
    assert look_up_in(loop, others, "dep._f").status == "present"


def test_all_overloads_of_a_stub_are_kept() -> None:
    stub = "@overload\ndef f(): ...\n@overload\ndef f(a: int) -> int: ...\n"
    answer = look_up_in("from .c import f", {"c.so": COMPILED, "c.pyi": stub})
    assert [write_signature(s) for s in answer.signatures] == ["()", "(a: int) -> int"]


def test_what_a_stub_imports_for_itself_is_not_what_the_module_has() -> None:
    stub = "from typing import Any\nfrom .x import y as y\n"
    files: Files = {
        "dep/__init__.py": "",
        "dep/c.so": COMPILED,
        "dep/c.pyi": stub,
        "dep/x.py": "y = 1",
    }
    assert look_up("dep.c.Any", files).status == "undecided"
    assert look_up("dep.c.y", files).status == "present"


def test_an_import_that_must_hold_makes_a_name_present_though_its_origin_is_unknown() -> None:
    answer = look_up_in("from .c import f", {"c.so": COMPILED})
    assert (answer.status, answer.kind) == ("present", "attribute")
    assert "no stub" in answer.why


def test_operators_of_torch_are_found_and_missed_in_the_generated_stub() -> None:
    loop = """
        from torch import _C
        from torch._C import *
        PRIVATE = ("hidden",)
        for name in dir(_C._VariableFunctions):
            if name.startswith("__") or name in PRIVATE:
                continue
            globals()[name] = getattr(_C._VariableFunctions, name)
    """
    stub = "def _foreach_norm(self, ord=2): ...\ndef hidden(): ...\ndef _functionalize_x(): ...\n"
    files: Files = {
        "torch/__init__.py": loop,
        "torch/_C.so": COMPILED,
        "torch/_C/__init__.pyi": "class TensorBase: ...\n",
        "torch/_C/_VariableFunctions.pyi": stub,
    }
    statuses = {
        "_foreach_norm": "present",
        "_foreach_nothing": "absent",
        "nothing": "absent",
        "hidden": "undecided",  # the loop treats it apart
        "cdist": "undecided",  # the generator leaves it out
        "_functionalize_x": "undecided",  # bound by hand, not always here
        "Capsule": "undecided",  # public in torch._C, and not in its stub
        "FloatTensor": "undecided",  # put there by compiled code
    }
    found = release(files)
    assert {name: found.look_up(f"torch.{name}").status for name in statuses} == statuses


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_file_is_parsed_or_refused(content: str | bytes) -> None:
    body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    files = {"dep/__init__.py": body, "dep/c.so": COMPILED, "dep/c.pyi": body}
    for name in ("dep.f", "dep.c.f", "dep.f.g"):
        assert look_up(name, files).status in {"present", "absent", "undecided", "no-stub"}


STATEMENTS = st.sampled_from(
    [
        "def f(a): ...",
        "@x\ndef f(b):\n    '''\ndef g(): pass\n'''",
        "class f:\n    x = 1\n    def g(self): ...",
        "g = '''\ndef f(): ...\n'''",
        "h = [\n1,\n2]  # def f():",
        "if x:\n    f = 1\nelse:\n    del f",
        "from .y import *",
        "x = 'it\\'s' \"\"",
        "async def f(): ...",
        "del f",
        "(f\n) = 3",
    ]
)


@given(st.lists(STATEMENTS, max_size=8))
def test_a_file_that_is_cut_up_says_what_it_says_as_a_whole(chosen: list[str]) -> None:
    text = "\n".join(chosen) + "\n"
    cut = Source.parse("dep/x.py", "dep.x", text.encode())
    nodes = [*cut.statements, *(n for name in cut.definitions for n in cut.defined(name))]
    nodes.sort(key=lambda node: node.lineno)
    assert [ast.dump(n) for n in nodes] == [ast.dump(n) for n in ast.parse(text).body]
    assert [n.lineno for n in nodes] == [n.lineno for n in ast.parse(text).body]


def test_a_definition_that_this_python_cannot_parse_is_told_when_it_is_needed() -> None:
    source = Source.parse("dep/x.py", "dep.x", b"a = 1\ndef f(:\n    pass\n")
    with pytest.raises(SourceError, match=r"dep/x.py cannot be parsed by this Python"):
        follow(source, "f", nothing_exported)


@pytest.mark.parametrize("alias", ["sys.modules[__name__]", "globals()"])
def test_names_written_through_an_alias_of_the_namespace_are_not_absent(alias: str) -> None:
    write = "setattr(this, name, 1)" if "sys" in alias else "this[name] = 1"
    text = f"import sys\nthis = {alias}\nfor name in ('f', 'g'):\n    {write}"
    assert look_up_in(text, {}).status == "undecided"
    assert look_up_in(text, {}, "dep.h").status == "absent"


def test_the_variable_of_a_loop_that_copies_a_module_stays() -> None:
    text = "from . import c\nfor name in dir(c):\n    globals()[name] = getattr(c, name)"
    assert look_up_in(text, {"c.py": "x = 1"}, "dep.name").status == "undecided"
    assert look_up_in(text, {"c.py": "x = 1"}, "dep.x").status == "present"


def test_what_a_metaclass_for_abstract_classes_gives_is_there() -> None:
    text = "from abc import ABCMeta\nclass A(metaclass=ABCMeta): ...\nclass B(A): ..."
    assert look_up_in(text, {}, "dep.B._abc_impl").status == "present"
    assert look_up_in(text, {}, "dep.B.other").status == "absent"


def test_a_class_of_the_wheel_hides_the_standard_one_of_its_name() -> None:
    text = "from .x import Protocol\nclass A(Protocol): ..."
    own = {"x.py": "class Protocol:\n    def mine(self): ..."}
    assert look_up_in(text, own, "dep.A.mine").status == "present"


def test_enumerations_are_known_but_for_what_depends_on_the_python() -> None:
    text = "from enum import Enum\nclass A(Enum):\n    ONE = 1"
    assert look_up_in(text, {}, "dep.A.ONE").status == "present"
    assert look_up_in(text, {}, "dep.A.TWO").status == "absent"
    assert look_up_in(text, {}, "dep.A._nothing_").status == "undecided"


def test_a_type_variable_of_a_stub_is_for_its_own_use() -> None:
    files: Files = {"c.so": COMPILED, "c.pyi": "from typing import TypeVar\nT = TypeVar('T')"}
    assert look_up_in("", files, "dep.c.T").status == "undecided"


def test_a_lazy_module_is_followed_through_its_imports_for_type_checkers() -> None:
    text = """
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from .x import f
    __all__ = ("f",)
    def __getattr__(name):
        return load(name)
    """
    answer = look_up_in(text, {"x.py": FUNCTION})
    assert (answer.status, answer.kind) == ("present", "function")
    assert look_up_in(text, {"x.py": FUNCTION}, "dep.g").status == "undecided"


def test_a_module_that_may_be_something_else_is_not_looked_into() -> None:
    text = "import os\nif os.name == 'nt':\n    from .f import f"
    others = {"f.py": FUNCTION}
    assert look_up_in(text, others).kind == "attribute"
    assert look_up_in(text, others, "dep.f.g").status == "undecided"


def test_old_stubs_of_torch_prove_less() -> None:
    contents = {
        "torch/__init__.py": b"from torch._C import *",
        "torch/_C.so": COMPILED,
        "torch/_C/__init__.pyi": b"def add(x): ...\nclass IntStorageBase: ...",
    }

    def status(name: str, version: str) -> str:
        old = Release(contents, lambda names: {n: contents[n] for n in names}, Version(version))
        return old.look_up(name).status

    assert status("torch.nothing", "2.0") == "absent"
    assert status("torch.nothing", "1.6") == "undecided"
    assert status("torch._C.IntStorageBase", "2.0") == "undecided"


def test_a_definition_that_cannot_be_parsed_makes_its_name_undecided() -> None:
    answer = look_up_in("a = 1\nclass f\0: ...", {}, "dep.f.two")
    assert answer.status == "undecided"
    assert "dep/__init__.py cannot be parsed" in answer.why
