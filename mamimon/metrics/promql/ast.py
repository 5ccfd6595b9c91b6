"""The tree of a PromQL expression; `start` and `end` are character offsets in the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from mamimon.metrics.model import Matcher

ValueType = Literal["scalar", "string", "vector", "matrix"]


class Function(msgspec.Struct, frozen=True):
    """A function of the language: its signature and the line that completion shows."""

    name: str
    arguments: tuple[ValueType, ...]
    returns: ValueType
    variadic: int = 0
    """How many arguments beyond the last required one may follow; -1 = any number."""
    experimental: bool = False
    help: str = ""

    @property
    def signature(self) -> str:
        """`name(argument types) type` as a person reads it."""
        names = {"vector": "instant-vector", "matrix": "range-vector"}
        parts = [names.get(kind, kind) for kind in self.arguments]
        if self.variadic:
            parts[-1] = f"[{parts[-1]}{', …' if self.variadic != 1 else ''}]"
        return f"{self.name}({', '.join(parts)}) {names.get(self.returns, self.returns)}"


class Node(msgspec.Struct, kw_only=True):
    """What every node has."""

    start: int = 0
    end: int = 0


class Number(Node, kw_only=True):
    """A literal; `duration` says that it was written as one (`5m`), the value is in seconds."""

    value: float
    duration: bool = False


class String(Node, kw_only=True):
    """A quoted text."""

    value: str


class DurationExpr(Node, kw_only=True):
    """Arithmetic on durations (`[2*step()]`); known only when start, end and step are."""

    op: str
    left: Number | DurationExpr | None = None
    right: Number | DurationExpr | None = None
    wrapped: bool = False


class Timed(Node, kw_only=True):
    """What `offset` and `@` can follow."""

    offset_ms: int = 0
    offset_expr: DurationExpr | None = None
    at_ms: int | None = None
    at_edge: Literal["", "start", "end"] = ""


class Selector(Timed, kw_only=True):
    """`name{matchers}`; `matchers` include the name written before the braces, last."""

    name: str
    matchers: list[Matcher]
    mode: Literal["", "anchored", "smoothed"] = ""
    may_match_all: bool = False


class Range(Node, kw_only=True):
    """`selector[range]`; offset and @ live in the selector."""

    selector: Selector
    range_ms: int
    range_expr: DurationExpr | None = None


class Subquery(Timed, kw_only=True):
    """`expr[range:step]`; a step of 0 is the default one."""

    expr: Expr
    range_ms: int
    range_expr: DurationExpr | None = None
    step_ms: int = 0
    step_expr: DurationExpr | None = None


class Paren(Node, kw_only=True):
    """`(expr)`."""

    expr: Expr


class Unary(Node, kw_only=True):
    """`-expr` or `+expr`."""

    op: str
    expr: Expr


class Matching(msgspec.Struct, kw_only=True):
    """How the series of two vectors find each other."""

    card: Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"] = "one-to-one"
    labels: list[str] = []
    on: bool = False
    include: list[str] = []
    fill_left: float | None = None
    fill_right: float | None = None


class Binary(Node, kw_only=True):
    """`left op right`; `matching` is None unless both sides are vectors."""

    op: str
    left: Expr
    right: Expr
    matching: Matching | None = None
    bool_modifier: bool = False


class Aggregate(Node, kw_only=True):
    """`op by (grouping) (param, expr)`."""

    op: str
    expr: Expr
    param: Expr | None = None
    grouping: list[str] = []
    without: bool = False


class Call(Node, kw_only=True):
    """`function(args)`."""

    function: Function
    args: list[Expr]


Expr: TypeAlias = (
    Number | String | Selector | Range | Subquery | Paren | Unary | Binary | Aggregate | Call | DurationExpr
)

COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))
SET_OPERATORS = frozenset(("and", "or", "unless"))
AGGREGATORS = frozenset(
    (
        "avg", "bottomk", "count", "count_values", "group", "limit_ratio", "limitk",
        "max", "min", "quantile", "stddev", "stdvar", "sum", "topk",
    )
)  # fmt: skip
AGGREGATORS_WITH_PARAM = frozenset(("topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"))

TYPE_NAMES = {"vector": "instant vector", "matrix": "range vector", "scalar": "scalar", "string": "string"}


def type_of(node: Expr) -> ValueType:
    """What the expression evaluates to."""
    if isinstance(node, Number | DurationExpr):
        return "scalar"
    if isinstance(node, String):
        return "string"
    if isinstance(node, Range | Subquery):
        return "matrix"
    if isinstance(node, Paren | Unary):
        return type_of(node.expr)
    if isinstance(node, Binary):
        both = type_of(node.left) == "scalar" and type_of(node.right) == "scalar"
        return "scalar" if both else "vector"
    if isinstance(node, Call):
        return node.function.returns
    return "vector"


def children(node: Expr) -> list[Expr]:
    """The expressions directly below."""
    if isinstance(node, Paren | Unary | Subquery):
        return [node.expr]
    if isinstance(node, Range):
        return [node.selector]
    if isinstance(node, Binary):
        return [node.left, node.right]
    if isinstance(node, Aggregate):
        return [node.expr] if node.param is None else [node.param, node.expr]
    if isinstance(node, Call):
        return list(node.args)
    return []


def walk(node: Expr) -> Iterator[Expr]:
    """The node and all below, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


def unwrap(node: Expr) -> Expr:
    """What stands inside the parentheses."""
    while isinstance(node, Paren):
        node = node.expr
    return node
