"""PromQL text to tree, by precedence climbing.

Every expression of Prometheus 3.14's test files is understood, those behind its feature flags included
(duration expressions, fill, anchored, smoothed, experimental functions). Errors carry the texts and
places that Prometheus prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import (
    AGGREGATORS,
    AGGREGATORS_WITH_PARAM,
    Aggregate,
    Binary,
    Call,
    Expr,
    Number,
    Paren,
    Selector,
    String,
    Unary,
    walk,
)
from mamimon.metrics.promql.check import check, matches_empty
from mamimon.metrics.promql.durations import Misfit
from mamimon.metrics.promql.errors import Flaw, ParseError
from mamimon.metrics.promql.functions import FUNCTIONS
from mamimon.metrics.promql.lexer import DURATION_WORDS, Token
from mamimon.metrics.promql.selectors import METRIC_KINDS, SelectorParser
from mamimon.metrics.promql.text import quote, unquote

MAX_TEXT = 100_000
"""Characters of an expression."""
MAX_DEPTH = 200
"""Nested parentheses, calls and unary operators."""

_PRECEDENCE = {
    "or": 1,
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "</", ">/"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_UNARY = 5
_CALL_KINDS = DURATION_WORDS | {"start", "end", "identifier"}


class Parser(SelectorParser):
    """One parse of one text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def expression(self, floor: int = 1) -> Expr:
        """Everything that binds at least as tightly as `floor`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Flaw(f"expression nests deeper than {MAX_DEPTH} levels", self.token.start, self.token.end)
        left = self.postfix(self._prefix())
        while (power := _PRECEDENCE.get(self.token.kind, 0)) >= floor:
            op = self.take().kind
            bool_modifier, matching = self.modifiers()
            right = self.expression(power if op == "^" else power + 1)
            left = Binary(
                op=op, left=left, right=right, matching=matching, bool_modifier=bool_modifier,
                start=left.start, end=right.end,
            )  # fmt: skip
        self._depth -= 1
        return left

    def _prefix(self) -> Expr:
        token = self.token
        if token.kind in ("number", "duration"):
            return self.literal()
        if token.kind == "string":
            self.take()
            return String(value=unquote(token.text), start=token.start, end=token.end)
        if token.kind == "(":
            self.take()
            inner = self.expression()
            closing = self.expect(")")
            return Paren(expr=inner, start=token.start, end=closing.end)
        if token.kind in ("+", "-"):
            self.take()
            inner = self.expression(_UNARY + 1)
            if isinstance(inner, Number):
                inner.value = -inner.value if token.kind == "-" else inner.value
                inner.start = token.start
                return inner
            return Unary(op=token.kind, expr=inner, start=token.start, end=inner.end)
        if token.kind == "{":
            return self.selector("", token.start)
        if token.kind in METRIC_KINDS:
            self.take()
            return self._named(token)
        raise self.unexpected()

    def _named(self, token: Token) -> Expr:
        if token.kind in AGGREGATORS and self.token.kind in ("(", "by", "without"):
            return self._aggregate(token)
        if token.kind in _CALL_KINDS and self.token.kind == "(":
            return self._call(token)
        return self.selector(token.text, token.start)

    def _aggregate(self, token: Token) -> Aggregate:
        grouping: list[str] = []
        without = leading = False
        try:
            if self.token.kind in ("by", "without"):
                leading = True
                without = self.take().kind == "without"
                grouping = self.labels()
            args, end = self._arguments()
            if not leading and self.token.kind in ("by", "without"):
                without = self.take().kind == "without"
                grouping = self.labels()
                end = self.previous_end
        except Misfit as flaw:
            raise Flaw(f"{flaw.text} in aggregation", flaw.start, flaw.end) from None
        except Flaw as flaw:
            if flaw.text.startswith("unclosed"):  # Prometheus' parser says both
                flaw.follow_up = ("no arguments for aggregate expression provided", token.start)
            raise
        return self._checked_aggregate(token, args, end, grouping, without)

    def _checked_aggregate(
        self, token: Token, args: list[Expr], end: int, grouping: list[str], without: bool
    ) -> Aggregate:
        wanted = 2 if token.kind in AGGREGATORS_WITH_PARAM else 1
        if not args:
            self.complain("no arguments for aggregate expression provided", token.start, end)
        elif len(args) != wanted:
            self.complain(
                "wrong number of arguments for aggregate expression provided, "
                f"expected {wanted}, got {len(args)}",
                token.start,
                end,
            )
        return Aggregate(
            op=token.kind,
            expr=args[-1] if args else Number(value=math.nan),
            param=args[0] if wanted == 2 and args else None,
            grouping=grouping,
            without=without,
            start=token.start,
            end=end,
        )

    def _call(self, token: Token) -> Expr:
        args, end = self._arguments()
        function = FUNCTIONS.get(token.text)
        if function is None:
            self.complain(f"unknown function with name {quote(token.text)}", token.start, token.end)
            return Number(value=math.nan, start=token.start, end=end)
        return Call(function=function, args=args, start=token.start, end=end)

    def _arguments(self) -> tuple[list[Expr], int]:
        """`(a, b)`; also where the parenthesis closes."""
        self.expect("(")
        args: list[Expr] = []
        if self.token.kind != ")":
            args.append(self.expression())
            while self.token.kind == ",":
                comma = self.take()
                if self.token.kind in (",", ")"):
                    self.complain("trailing commas not allowed in function call args", comma.start, comma.end)
                    continue
                args.append(self.expression())
        return args, self.expect(")").end


def _run(text: str) -> Expr:
    parser = Parser(text)
    node: Expr | None = None
    try:
        if len(text) > MAX_TEXT:
            raise Flaw(f"expression is longer than {MAX_TEXT} characters", 0, 0)
        parser.start()
        if parser.token.kind == "eof":
            raise Flaw("no expression found in input", 0, 0)
        node = parser.expression()
        if parser.token.kind != "eof":
            raise parser.unexpected()
    except Flaw as flaw:
        parser.flaws.append(flaw)
        if flaw.follow_up is not None:
            parser.complain(flaw.follow_up[0], flaw.follow_up[1], len(text))
    if node is not None and not parser.flaws:
        check(node, text, parser.flaws)
    if node is None or parser.flaws:
        raise ParseError(text, parser.flaws)
    return node


@lru_cache(maxsize=1024)
def _cached(text: str) -> Expr:
    return _run(text)


def parse(text: str) -> Expr:
    """The tree of an expression (shared: do not change it); raises `ParseError`."""
    return _cached(text)


def metric_names(text: str) -> list[str]:
    """The metrics that an expression asks for by name, each once; raises `ParseError`."""
    found = (
        matcher.value
        for node in walk(parse(text))
        if isinstance(node, Selector)
        for matcher in node.matchers
        if matcher.name == "__name__" and matcher.op == "=" and matcher.value
    )
    return list(dict.fromkeys(found))


def matchers_of(text: str) -> list[Matcher]:
    """The matchers of a series selector, as in a `match[]` parameter; raises `ParseError`.

    As in Prometheus they may all accept the empty text; who cannot take that asks `choosy`.
    """
    parser = Parser(text)
    node: Selector | None = None
    try:
        if len(text) > MAX_TEXT:
            raise Flaw(f"selector is longer than {MAX_TEXT} characters", 0, 0)
        parser.start()
        if parser.token.kind == "eof":
            raise Flaw("unexpected end of input", 0, 0)
        if parser.token.kind != "{" and parser.token.kind not in METRIC_KINDS:
            raise parser.unexpected()
        name = parser.take() if parser.token.kind != "{" else None
        node = parser.selector(name.text if name else "", 0)
        if parser.token.kind != "eof":
            raise parser.unexpected()
    except Flaw as flaw:
        parser.flaws.append(flaw)
    if node is None or parser.flaws:
        raise ParseError(text, parser.flaws)
    return list(node.matchers)


def choosy(matchers: Iterable[Matcher]) -> bool:
    """Whether a series must have some label to fit."""
    return not all(matches_empty(one) for one in matchers)
