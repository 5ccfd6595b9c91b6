"""What the grammar cannot say: argument counts, types, and modifiers that do not go together."""

from __future__ import annotations

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import (
    COMPARISONS,
    SET_OPERATORS,
    TYPE_NAMES,
    Aggregate,
    Binary,
    Call,
    Expr,
    Paren,
    Range,
    Selector,
    Subquery,
    Unary,
    ValueType,
    type_of,
)
from mamimon.metrics.promql.errors import Flaw
from mamimon.metrics.promql.text import quote
from mamimon.metrics.regexes import compile_regex


class _Checker:
    def __init__(self, text: str, flaws: list[Flaw]) -> None:
        self._text = text
        self._flaws = flaws

    def _complain(self, node: Expr, text: str) -> None:
        self._flaws.append(Flaw(text, node.start, node.end))

    def visit(self, node: Expr) -> ValueType:
        """Check a node and all below; returns its type."""
        if isinstance(node, Aggregate):
            self._aggregate(node)
        elif isinstance(node, Binary):
            self._binary(node)
        elif isinstance(node, Call):
            self._call(node)
        elif isinstance(node, Paren):
            self.visit(node.expr)
        elif isinstance(node, Unary):
            kind = self.visit(node.expr)
            if kind not in ("scalar", "vector"):
                self._complain(
                    node,
                    "unary expression only allowed on expressions of type scalar or instant vector, "
                    f"got {quote(TYPE_NAMES[kind])}",
                )
        elif isinstance(node, Subquery):
            kind = self.visit(node.expr)
            if kind != "vector":
                self._complain(node, f"subquery is only allowed on instant vector, got {kind} instead")
        elif isinstance(node, Range):
            self.visit(node.selector)
        elif isinstance(node, Selector):
            self._selector(node)
        return type_of(node)

    def _expect(self, node: Expr, wanted: ValueType, context: str) -> None:
        kind = self.visit(node)
        if kind != wanted:
            self._complain(node, f"expected type {TYPE_NAMES[wanted]} in {context}, got {TYPE_NAMES[kind]}")

    def _aggregate(self, node: Aggregate) -> None:
        self._expect(node.expr, "vector", "aggregation expression")
        if node.param is not None:
            wanted: ValueType = "string" if node.op == "count_values" else "scalar"
            self._expect(node.param, wanted, "aggregation parameter")

    def _binary(self, node: Binary) -> None:
        left, right = self.visit(node.left), self.visit(node.right)
        matching = node.matching
        assert matching is not None
        comparison = node.op in COMPARISONS
        set_operator = node.op in SET_OPERATORS
        if node.bool_modifier and not comparison:
            self._at_operator(node, "bool modifier can only be used on comparison operators")
        if comparison and not node.bool_modifier and left == right == "scalar":
            self._at_operator(node, "comparisons between scalars must use BOOL modifier")
        if set_operator and matching.card == "one-to-one":
            matching.card = "many-to-many"
        for name in matching.labels:
            if matching.on and name in matching.include:
                self._at_operator(node, f"label {quote(name)} must not occur in ON and GROUP clause at once")
        for side, kind in ((node.left, left), (node.right, right)):
            if kind not in ("scalar", "vector"):
                self._complain(side, "binary expression must contain only scalar and instant vector types")
        filled = matching.fill_left is not None or matching.fill_right is not None
        if left != "vector" or right != "vector":
            if matching.labels:
                self._complain(node, "vector matching only allowed between instant vectors")
            if filled:
                self._complain(node, "filling in missing series only allowed between instant vectors")
            node.matching = None
        elif set_operator:
            if matching.card in ("one-to-many", "many-to-one"):
                self._complain(node, f"no grouping allowed for {quote(node.op)} operation")
            if matching.card != "many-to-many":
                self._complain(node, "set operations must always be many-to-many")
            if filled:
                self._complain(node, "filling in missing series not allowed for set operators")
        if set_operator and "scalar" in (left, right):
            self._complain(node, f"set operator {quote(node.op)} not allowed in binary scalar expression")

    def _at_operator(self, node: Binary, text: str) -> None:
        """Complain about the operator, which stands between the two sides."""
        start, end = node.left.end, node.right.start
        while start < len(self._text) and self._text[start].isspace():
            start += 1
        self._flaws.append(Flaw(text, start, max(start, end - 1)))

    def _call(self, node: Call) -> None:
        function = node.function
        wanted, got = len(function.arguments), len(node.args)
        name = quote(function.name)
        if not function.variadic:
            if wanted != got:
                self._complain(node, f"expected {wanted} argument(s) in call to {name}, got {got}")
        elif got < wanted - 1:
            self._complain(node, f"expected at least {wanted - 1} argument(s) in call to {name}, got {got}")
        elif 0 < function.variadic < got - wanted + 1:
            most = wanted - 1 + function.variadic
            self._complain(node, f"expected at most {most} argument(s) in call to {name}, got {got}")
        if function.name == "info" and got > 1:
            self._info(node)
        for position, argument in enumerate(node.args):
            if position >= wanted:
                if not function.variadic:
                    break
                position = wanted - 1  # noqa: PLW2901 - the last type repeats
            kind = self.visit(argument)
            if kind != function.arguments[position]:
                self._complain(
                    argument,
                    f"expected type {TYPE_NAMES[function.arguments[position]]} in call to function {name}, "
                    f"got {TYPE_NAMES[kind]}",
                )

    def _info(self, node: Call) -> None:
        data = node.args[1]
        if isinstance(data, Selector) and not data.name:
            data.may_match_all = True
        elif isinstance(data, Selector):
            self._complain(data, "expected label selectors only, got vector selector instead")
        else:
            self._complain(data, "expected label selectors only")

    def _selector(self, node: Selector) -> None:
        if node.name:
            for matcher in node.matchers[:-1]:
                if matcher.name == "__name__":
                    self._complain(
                        node,
                        f"metric name must not be set twice: {quote(node.name)} or {quote(matcher.value)}",
                    )
        elif not node.may_match_all and all(matches_empty(matcher) for matcher in node.matchers):
            self._complain(node, "vector selector must contain at least one non-empty matcher")


def matches_empty(matcher: Matcher) -> bool:
    """Whether a series without the label fits."""
    if matcher.op in ("=", "!="):
        return (matcher.value == "") == (matcher.op == "=")
    return (compile_regex(matcher.value).fullmatch("") is not None) == (matcher.op == "=~")


def check(node: Expr, text: str, flaws: list[Flaw]) -> None:
    """Append what is wrong with the tree of `text` to `flaws`."""
    _Checker(text, flaws).visit(node)
