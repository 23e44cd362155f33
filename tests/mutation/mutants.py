"""Small faults put into a source file, one at a time: which a good test suite notices.

Annotations, decorators, docstrings and other text, assertions and log messages are left alone: they do nothing.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_COMPOUND: Final = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        line: Where, counted from 1.
        column: Where in the line, in bytes.
        text: The whole line as it is, without its indentation.
        before, after: What is replaced by what.
        source: The whole file with the change made.
        run: The lines of which a test must run one to notice; empty for what is run when the module is imported.
    """

    line: int
    column: int
    text: str
    before: str
    after: str
    source: str
    run: tuple[int, ...]

    @property
    def change(self) -> str:
        """For people, and to know it again when lines have moved."""
        return f"{self.before} -> {self.after}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every change that can be made to a file, from its top to its bottom."""
    lines = source.splitlines(keepends=True)
    octets = [line.encode() for line in lines]
    starts = [0]
    for line in octets:
        starts.append(starts[-1] + len(line))
    whole = source.encode()
    for node, after, run in _changes(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        yield Mutant(
            node.lineno,
            node.col_offset,
            lines[node.lineno - 1].strip(),
            " ".join(whole[start:end].decode().split()),
            after,
            (whole[:start] + after.encode() + whole[end:]).decode(),
            run,
        )


_Change: TypeAlias = tuple[ast.expr | ast.stmt, str, tuple[int, ...]]


def _changes(node: ast.AST, statement: ast.stmt | None = None, *, in_function: bool = False) -> Iterator[_Change]:
    """What to replace, by what, and the lines that run it."""
    run: tuple[int, ...] = ()
    if isinstance(node, ast.stmt):
        statement = node
    if in_function and statement is not None and isinstance(node, (ast.stmt, ast.expr)):
        last = node.lineno if isinstance(node, _COMPOUND) else node.end_lineno or node.lineno
        run = tuple(range(statement.lineno, last + 1))
    if isinstance(node, ast.stmt):
        for changed in _statements(node):
            yield node, changed, run
    elif isinstance(node, ast.expr):
        for changed in _expressions(node):
            # In parentheses, as it may take part in a greater expression.
            yield node, changed if isinstance(node, ast.Constant) else f"({changed})", run
    test = getattr(node, "test", None)
    if isinstance(node, (ast.If, ast.While)) and isinstance(test, (ast.Name, ast.Attribute, ast.Call)):
        yield test, f"(not {ast.unparse(test)})", run
    for part in _parts(node):
        is_body = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and part in node.body
        yield from _changes(part, statement, in_function=in_function or is_body or isinstance(node, ast.Lambda))


def _parts(node: ast.AST) -> list[ast.AST]:
    """Where to look for more."""
    if isinstance(node, (ast.JoinedStr, ast.Assert)) or _only_says(node):
        return []
    left_out: list[ast.AST | None] = []
    match node:
        case ast.AnnAssign():
            left_out = [node.annotation, node.target]
        case ast.arg():
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            left_out = [*node.decorator_list, node.returns]
        case ast.ClassDef():
            left_out = [*node.decorator_list, *node.bases]
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return []
        case ast.Subscript(value=ast.Name(id=name)) if name[:1].isupper():  # A generic type: Signal[int].
            return []
        case _:
            pass
    return [part for part in ast.iter_child_nodes(node) if part not in left_out]


def _only_says(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            return True
        case _:
            return False


def _statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) if not _only_says(node):
            yield "pass"
        case ast.AugAssign(op=operator) if type(operator) in _OPERATORS:
            yield ast.unparse(ast.AugAssign(node.target, _OPERATORS[type(operator)](), node.value))
            yield "pass"
        case (
            ast.Assign(targets=[ast.Attribute()], value=ast.expr() as value)
            | ast.AnnAssign(target=ast.Attribute(), value=ast.expr() as value)
        ) if not isinstance(value, ast.Constant):
            yield "pass"
        case ast.Return(value=value) if value is not None and not _is_nothing(value):
            yield "return None"
        case ast.Continue():
            yield "break"
        case ast.Break():
            yield "continue"
        case ast.Delete() | ast.Raise(exc=None):
            yield "pass"
        case _:
            pass


def _expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=comparators):
            for other in _COMPARISONS.get(type(operator), ()):
                yield ast.unparse(ast.Compare(left, [other()], comparators))
        case ast.Compare(left=left, ops=operators, comparators=comparators):
            for index, operator in enumerate(operators):
                for other in _COMPARISONS.get(type(operator), ()):
                    changed = [*operators[:index], other(), *operators[index + 1 :]]
                    yield ast.unparse(ast.Compare(left, changed, comparators))
        case ast.BoolOp(op=operator, values=values):
            yield ast.unparse(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield ast.unparse(rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield ast.unparse(operand)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.unparse(ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            if not any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in (left, right)):
                yield ast.unparse(ast.BinOp(left, _OPERATORS[type(operator)](), right))
        case ast.Constant(value=bool(value)):
            yield repr(not value)
        case ast.Constant(value=int(number) | float(number)):
            yield repr(number + 1)
            yield repr(number - 1) if number > 0 else f"({number - 1!r})"
        case _:
            pass


def _is_nothing(node: ast.expr) -> bool:
    """Whether None would hardly be another answer."""
    return isinstance(node, ast.Constant) and not node.value
