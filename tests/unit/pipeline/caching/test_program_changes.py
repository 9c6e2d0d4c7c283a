"""A change of the program is noticed wherever it is made: in a helper, a class, a model, an annotation, a module."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tagent.pipeline.caching.entries import kept_in
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.making import made_of
from tagent.ports.documents import Document

MODELS = "from typing import Annotated\nfrom pydantic import AfterValidator, BaseModel, Field, TypeAdapter\n"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Give what makes a program of a source, and returns its function `f`."""

    def made(source: str, name: str = "a_changing_program") -> Any:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, f"{name}.py", "exec"), vars(module))  # noqa: S102
        return vars(module).get("f", module)

    return made


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("def best(): return [2]\ndef f(): return best().pop()", "[2]", "[3]"),
        ("class A:\n def add(s, n): return n * 2\ndef f(): return A().add(5)", "* 2", "* 3"),
        ("class A:\n k = 2\ndef f():\n A().x = 1\n return A.k", "k = 2", "k = 3"),
        ("from functools import lru_cache\n@lru_cache\ndef g(): return 2\ndef f(): return g()", "return 2", "return 3"),
        ("import functools\n@functools.cache\ndef g(): return 2\ndef f(): return g()", "return 2", "return 3"),
        ("def f(x: int): return x", ": int", ": str"),
        (f"{MODELS}class M(BaseModel):\n a: int = 2\ndef f(): return M().a", "= 2", "= 3"),
        (f"{MODELS}class M(BaseModel):\n a: int = 2\ndef f(x: M): return x.a", "= 2", "= 3"),
        (f"{MODELS}class M(BaseModel):\n a: int = Field(default_factory=lambda: 2)\ndef f(): return M()", ": 2", ": 3"),
        (f"{MODELS}class M(BaseModel):\n a: int = Field(2, ge=0)\ndef f(): return M()", "ge=0", "ge=1"),
        (f"{MODELS}class M(BaseModel):\n a: str = Field('', pattern='a')\ndef f(): return M()", "='a'", "='b'"),
        (f"{MODELS}class M(BaseModel):\n a: int = Field(2, alias='b')\ndef f(): return M()", "'b'", "'c'"),
        (
            f"{MODELS}class N(BaseModel):\n a: int = 2\nclass M(BaseModel):\n n: list[N]\ndef f(): return M",
            "= 2",
            "= 3",
        ),
        (f"{MODELS}T = Annotated[int, AfterValidator(lambda v: v + 1)]\ndef f(x: T): return x", "+ 1", "+ 2"),
        (f"{MODELS}T = TypeAdapter(list[int])\ndef f(): return T", "[int]", "[str]"),
        (
            "from dataclasses import dataclass, field\n@dataclass\nclass M:\n"
            " a: list = field(default_factory=lambda: [2])\ndef f(): return M().a",
            "[2]",
            "[3]",
        ),
        (
            "from functools import cached_property\nclass A:\n @cached_property\n def g(self): return 2\n"
            "def f(): return A().g",
            "return 2",
            "return 3",
        ),
        (
            "from functools import partialmethod\nclass A:\n def h(s, x): return x\n g = partialmethod(h, 2)\n"
            "def f(): return A().g()",
            "(h, 2)",
            "(h, 3)",
        ),
        ("import re\nR = re.compile('a' * 300 + 'b')\ndef f(): return R", "+ 'b'", "+ 'c'"),
        ("from collections import deque\nQ = deque([2])\ndef f(): return Q[0]", "[2]", "[3]"),
        ("from types import SimpleNamespace as N\nQ = N(a=2)\ndef f(): return Q.a", "a=2", "a=3"),
        ("Q = bytearray(b'2')\ndef f(): return Q[0]", "b'2'", "b'3'"),
        ("from array import array\nQ = array('i', [2])\ndef f(): return Q[0]", "[2]", "[3]"),
        ("from ipaddress import ip_address\nQ = ip_address('::2')\ndef f(): return Q", "::2", "::3"),
        ("class D(list):\n def one(s): return 2\nQ = D()\ndef f(): return Q.one()", "return 2", "return 3"),
        ("class D(int): pass\nQ = D(2)\ndef f(): return Q + 1", "D(2)", "D(3)"),
        ("class A:\n __slots__ = ('k',)\nQ = A()\nQ.k = 2\ndef f(): return Q.k", "= 2", "= 3"),
        ("def g(): pass\ng.k = 2\ndef f(): return g.k", "= 2", "= 3"),
        (
            "import socket\nclass A:\n def __init__(s): s.c = socket\n def g(s): return 2\n"
            "Q = A()\ndef f(): return Q.g()",
            "return 2",
            "return 3",
        ),
    ],
)
def test_a_change_of_the_program_is_noticed(program: Callable[..., Any], source: str, before: str, after: str) -> None:
    """An output of code or data that were mended since is wrong."""
    assert source.count(before) == 1
    assert made_of(program(source)) == made_of(program(source))
    assert made_of(program(source)) != made_of(program(source.replace(before, after)))


def test_modules_of_the_program_are_followed(program: Callable[..., Any]) -> None:
    """Whoever writes `import prices` and calls `prices.rates.rate()` reads code in another file."""

    def made(source: str, rate: int) -> object:
        package = program("calls = []", "a_package")
        package.rates = program(f"RATE, calls = {rate}, []\ndef rate(): return {rate}", "a_package.rates")
        return made_of(program(source))

    for source in (
        "import a_package.rates\ndef f(): return a_package.rates.rate()",
        "def f():\n from a_package.rates import rate\n return rate()",
        "import a_package\ndef f():\n a_package.calls.append(1)\n return a_package.rates.RATE",
        "from a_package import rates\ndef f():\n rates.calls.append(1)\n return rates.RATE",
    ):
        assert made(source, 2) == made(source, 2)
        assert made(source, 2) != made(source, 3)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n import a_package.rates\n return a_package.rates.rate()",
        "def f():\n from a_package_not_there import rate\n return rate()",
        "import a_package\ndef f(): return getattr(a_package, 'rate')()",
        "K = 1\ndef f(): return eval('K')",
        "Q = [memoryview(b'2')]\ndef f(): return Q[0]",
        "import struct\nQ = struct.Struct('i')\ndef f(): return Q.size",
    ],
)
def test_what_cannot_be_looked_at_is_not_used_again(program: Callable[..., Any], source: str) -> None:
    """Nobody can tell whether it is still the same, and a wrong output is worse than the work."""
    program("def rate(): return 2", "a_package.rates")
    program("", "a_package")
    with pytest.raises(UnkeyableError):
        made_of(program(source))


def test_an_entry_that_holds_no_number_is_none() -> None:
    """It was never kept so: somebody has damaged it, and nothing else checks it where the step has no type."""
    payload = b'{"v":1,"data":{"output":NaN,"facts":{},"memories":{}}}'
    assert kept_in(Document("cache", "1f", 1, payload, at=0.0)) is None
