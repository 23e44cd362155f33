"""No private name of a dependency is touched, nor of another file of ours: what may change without notice is not used.

An approximation that errs towards reporting: a private name is ours where it is defined in the same file, or, on
``self`` and ``cls``, in a file of the same room or of one below it, from which a class may inherit. Whatever else
begins with one underscore belongs to somebody else, also where it stands in a string, as for `getattr` or `exec`.
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from inspect import getmembers, isclass
from pathlib import Path

import pytest

import echo

ROOT = Path(echo.__file__).parent.parent
# Each sees the private names of those before it, for inheritance.
ROOMS = [
    "wire",
    "transport",
    "rpc",
    "evidence",
    "scripting",
    "telemetry",
    "services",
    "settings",
    "workers",
    "gateway",
    "probe",
    "health",
    "cli",
]

_BETTERPROTO = "the state of betterproto's messages, which it has no public way to set; its version is pinned exactly"
_HYPERCORN = "; Hypercorn has no public name for it, its version is pinned exactly, and `install` looks at it"

ALLOWED: dict[tuple[str, str], str] = {
    **{
        (f"echo/gateway/hypercorn_compat/{file}.py", name): reason + _HYPERCORN
        for file, name, reason in (
            ("http1", "_check_protocol", "where an upgrade to HTTP/2 is decided on"),
            ("http1", "_create_stream", "where a request becomes a stream, of a class of ours if it is a WebSocket"),
            ("http2", "_create_stream", "the same for HTTP/2"),
            ("http1", "_send_h11_event", "where the head of an answer leaves, which lacks its reason phrase"),
            ("http2", "_close_stream", "where a stream ends, whoever ends it: its inbox has to as well"),
            ("http2", "_send_data", "where a stream's data leaves, or is dropped because the stream was reset"),
            ("http2", "_handle_events", "where data and priorities come, which upstream takes amiss"),
        )
    },
    ("echo/rpc/grpcio_style/generic.py", "_method_handlers"): (
        "where grpcio keeps the methods that older generated code registers, so that the server knows their names; "
        "without it they are asked for at each call"
    ),
    **{
        (
            "echo/rpc/grpcio_style/credentials.py",
            name,
        ): "where grpcio keeps the plugin of credentials, which cannot be asked otherwise; without it they are refused"
        for name in ("_credentials", "_metadata_plugin", "_call_credentialses")
    },
    ("echo/telemetry/web.py", "_OTHER"): "OpenTelemetry's value of an attribute",
    ("echo/rpc/dispatch.py", "_call_rpc_handler_server_stream"): "protected: see `_close_generators_of` for why",
    **{
        (f"echo/rpc/specialise/{file}.py", name): _BETTERPROTO
        for file, names in (
            (
                "betterproto",
                (
                    *("_betterproto", "_betterproto_meta", "_Message__raw_get"),
                    *("_group_current", "_serialized_on_wire", "_unknown_fields"),
                ),
            ),
            ("betterproto2", ("_betterproto", "_unknown_fields")),
        )
        for name in names
    },
    (
        "echo/rpc/unbound.py",
        "_stream_stream",
    ): "recognised, not used: betterproto's method that hangs on trio",
    **{
        (f"echo/telemetry/tracing/{file}.py", "_OTHER"): "no name, but OpenTelemetry's word for what is not known"
        for file in ("methods", "requests")
    },
    ("echo/wire/hpack.py", "_hazmat"): "jh2's codec has no other name",
}

PRIVATE = re.compile(r"(?<![\w`])_(?!_)[A-Za-z]\w*")
# Public methods of every `collections.namedtuple`: the underscore keeps them apart from its fields.
OF_NAMED_TUPLES = {"_make", "_replace", "_asdict", "_fields"}


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and name not in OF_NAMED_TUPLES


@dataclass
class Source:
    """The private names of one file: those it defines, and those it uses."""

    path: str
    defined: set[str] = field(default_factory=set)
    inherited: list[tuple[int, str]] = field(default_factory=list)  # On ``self`` or ``cls``.
    foreign: list[tuple[int, str]] = field(default_factory=list)  # Wherever they are defined: not this file's to use.
    used: list[tuple[int, str]] = field(default_factory=list)

    def violations(self, inheritable: set[str]) -> Iterator[tuple[int, str]]:
        """Line and name of what is neither this file's nor, on ``self``, one of the inheritable."""
        yield from self.foreign
        yield from ((line, name) for line, name in self.used if name not in self.defined)
        yield from ((line, name) for line, name in self.inherited if name not in self.defined | inheritable)


class _Reader(ast.NodeVisitor):
    def __init__(self, source: Source) -> None:
        self.source = source

    def define(self, name: str) -> None:
        if is_private(name):
            self.source.defined.add(name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.define(node.name)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            self.define(argument.arg)
        self.visit_body(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.define(node.name)
        for statement in node.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
                for name in ast.literal_eval(statement.value):
                    self.define(name)
        self.visit_body(node)

    def visit_Module(self, node: ast.Module) -> None:
        self.visit_body(node)

    def visit_body(self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.define(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if is_private(node.attr):
            if own and isinstance(node.ctx, ast.Store):
                self.define(node.attr)
            (self.source.inherited if own else self.source.used).append((node.lineno, node.attr))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.import_of(node.lineno, alias.name)
            self.define(alias.asname or "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.import_of(node.lineno, node.module or "")
        for alias in node.names:
            self.import_of(node.lineno, alias.name)
            self.define(alias.asname or "")

    def import_of(self, line: int, module: str) -> None:
        self.source.foreign += [(line, part) for part in module.split(".") if is_private(part)]

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg is not None and is_private(node.arg):
            self.source.used.append((node.value.lineno, node.arg))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        whole = "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
        self.source.used += [(node.lineno, name) for name in PRIVATE.findall(whole)]
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.source.used += [(node.lineno, name) for name in PRIVATE.findall(node.value)]


def read(text: str, path: str) -> Source:
    source = Source(path)
    _Reader(source).visit(ast.parse(text))
    return source


def sources(room: str) -> list[Source]:
    files = sorted((ROOT / "echo" / room).rglob("*.py")) or [ROOT / "echo" / f"{room}.py"]
    return [read(file.read_text(), str(file.relative_to(ROOT))) for file in files]


def found(rooms: Sequence[str]) -> list[tuple[str, int, str]]:
    """Path, line and name of every private name that is somebody else's."""
    inheritable: set[str] = set()
    result = []
    for room in rooms:
        files = sources(room)
        inheritable |= {name for source in files for name in source.defined}
        result += [(source.path, line, name) for source in files for line, name in source.violations(inheritable)]
    return result


def overridden(rooms: Sequence[str]) -> list[tuple[str, str]]:
    """Path and name of what a class defines of the private names of a dependency's class it inherits from."""
    result = []
    for source in (source for room in rooms for source in sources(room)):
        module = importlib.import_module(source.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for _, cls in getmembers(module, isclass):
            if cls.__module__ == module.__name__:
                theirs = {name for base in cls.__mro__ if is_foreign(base) for name in dir(base)}
                result += [(source.path, name) for name in source.defined & theirs & set(vars(cls))]
    return result


def is_foreign(cls: type) -> bool:
    top = cls.__module__.partition(".")[0]
    return top != "echo" and top not in sys.stdlib_module_names


def test_private_names_are_used_by_their_own_file_alone() -> None:
    wrong = [f"{path}:{line}: {name}" for path, line, name in found(ROOMS) if (path, name) not in ALLOWED]
    assert wrong == []


def test_every_exception_is_still_needed() -> None:
    assert set(ALLOWED) - {(path, name) for path, _, name in found(ROOMS)} - set(overridden(ROOMS)) == set()
    assert all(ALLOWED.values())


def test_no_class_of_ours_overrides_a_private_name_of_a_dependency_s() -> None:
    assert [(path, name) for path, name in overridden(ROOMS) if (path, name) not in ALLOWED] == []


@pytest.mark.parametrize(
    "text",
    [
        "from lib import _name",
        "from lib._inner import name",
        "import lib._inner",
        "lib.name._attribute",
        "self.name._attribute",
        "self._nowhere_defined",
        "lib.call(_argument=1)",
        "getattr(lib, '_attribute')",
        "exec(\"values['_attribute'] = 1\")",
        "def f(x):\n    'About `_it`.'\n    return x()._it",
    ],
)
def test_each_way_to_reach_a_private_name_is_seen(text: str) -> None:
    assert list(read(text, "x.py").violations(set()))


@pytest.mark.parametrize(
    "text",
    [
        "def f(self):\n    self._mine = 1\n    other._mine",
        "class A:\n    __slots__ = ('_mine',)\ndef f(a):\n    return a._mine",
        "def f(self):\n    return self._inherited",
        "'''What `_it` is.'''",
        "a.__dunder__, a.b_c, a._",
        "import lib as _lib\n_lib.name",
    ],
)
def test_what_is_one_s_own_is_not(text: str) -> None:
    assert list(read(text, "x.py").violations({"_inherited"})) == []
