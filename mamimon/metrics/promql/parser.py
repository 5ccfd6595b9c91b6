"""PromQL text to tree, by precedence climbing.

Every expression of Prometheus 3.14's test files is understood, those behind its feature flags included
(duration expressions, fill, anchored, smoothed, experimental functions). Errors carry the texts and
places that Prometheus prints.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import re2

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import (
    AGGREGATORS,
    AGGREGATORS_WITH_PARAM,
    Aggregate,
    Binary,
    Call,
    Expr,
    Matching,
    Number,
    Paren,
    Range,
    Selector,
    String,
    Subquery,
    Unary,
)
from mamimon.metrics.promql.check import check
from mamimon.metrics.promql.durations import DurationParser
from mamimon.metrics.promql.errors import Flaw, ParseError
from mamimon.metrics.promql.functions import FUNCTIONS
from mamimon.metrics.promql.lexer import DURATION_WORDS, KEYWORDS, WORD_OPERATORS, Token
from mamimon.metrics.promql.text import number, quote, to_ms, unquote

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
_NOT_METRIC = frozenset(("bool", "on", "ignoring", "group_left", "group_right"))
_METRIC_KINDS = (
    (KEYWORDS - _NOT_METRIC)
    | AGGREGATORS
    | (WORD_OPERATORS - {"atan2"})
    | DURATION_WORDS
    | {"start", "end", "identifier", "metric"}
)
_CALL_KINDS = DURATION_WORDS | {"start", "end", "identifier"}
_LABEL_KINDS = (_METRIC_KINDS | _NOT_METRIC | {"atan2"}) - {"without"}
_MATCH_OPS = frozenset(("=", "!=", "=~", "!~"))


class _Syntax(Flaw):
    """A token that fits nowhere; the rule around it may say where it stood."""


class Parser(DurationParser):
    """One parse of one text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.flaws: list[Flaw] = []
        self._depth = 0

    def complain(self, text: str, start: int, end: int) -> None:
        """Note an error and go on."""
        self.flaws.append(Flaw(text, start, end))

    def unexpected(self, context: str = "", expected: str = "") -> Flaw:
        """The error that the token at hand does not fit."""
        text = f"unexpected {self.token.describe()}"
        text += f" in {context}" if context else ""
        text += f", expected {expected}" if expected else ""
        kind = Flaw if context else _Syntax
        return kind(text, self.token.start, self.token.end)

    # -- expressions -------------------------------------------------------------------------------

    def expression(self, floor: int = 1) -> Expr:
        """Everything that binds at least as tightly as `floor`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Flaw(f"expression nests deeper than {MAX_DEPTH} levels", self.token.start, self.token.end)
        left = self._postfix(self._prefix())
        while (power := _PRECEDENCE.get(self.token.kind, 0)) >= floor:
            op = self.take().kind
            bool_modifier, matching = self._modifiers()
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
            return self._selector("", token.start)
        if token.kind in _METRIC_KINDS:
            self.take()
            return self._named(token)
        raise self.unexpected()

    def _named(self, token: Token) -> Expr:
        if token.kind in AGGREGATORS and self.token.kind in ("(", "by", "without"):
            return self._aggregate(token)
        if token.kind in _CALL_KINDS and self.token.kind == "(":
            return self._call(token)
        return self._selector(token.text, token.start)

    def _aggregate(self, token: Token) -> Aggregate:
        grouping: list[str] = []
        without = leading = False
        try:
            if self.token.kind in ("by", "without"):
                leading = True
                without = self.take().kind == "without"
                grouping = self._labels()
            args, end = self._arguments()
            if not leading and self.token.kind in ("by", "without"):
                without = self.take().kind == "without"
                grouping = self._labels()
                end = self.previous_end
        except _Syntax as flaw:
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

    def _labels(self) -> list[str]:
        """`(a, b)` behind by, without, on, ignoring, group_left, group_right."""
        if self.token.kind != "(":
            raise self.unexpected("grouping opts", '"("')
        self.take()
        out: list[str] = []
        while self.token.kind != ")" or not out:
            if self.token.kind == ")":
                break
            if self.token.kind not in _LABEL_KINDS and self.token.kind != "string":
                raise self.unexpected("grouping opts", "label")
            token = self.take()
            name = unquote(token.text) if token.kind == "string" else token.text
            if not name:
                self.complain(f"invalid label name for grouping: {quote(name)}", token.start, token.end)
            out.append(name)
            if self.token.kind not in (",", ")"):
                raise self.unexpected("grouping opts", '"," or ")"')
            if self.token.kind == ",":
                self.take()
                if self.token.kind == ")":
                    break
        self.expect(")")
        return out

    # -- binary modifiers --------------------------------------------------------------------------

    def _modifiers(self) -> tuple[bool, Matching]:
        matching = Matching()
        bool_modifier = self.token.kind == "bool"
        if bool_modifier:
            self.take()
        if self.token.kind in ("on", "ignoring"):
            matching.on = self.take().kind == "on"
            matching.labels = self._labels()
            if self.token.kind in ("group_left", "group_right"):
                matching.card = "many-to-one" if self.take().kind == "group_left" else "one-to-many"
                if self.token.kind == "(":
                    matching.include = self._labels()
        if self.token.kind == "fill":
            self.take()
            matching.fill_left = matching.fill_right = self._fill()
        elif self.token.kind in ("fill_left", "fill_right"):
            first = self.take().kind
            value = self._fill()
            second = value if first == "fill_left" else None
            matching.fill_left, matching.fill_right = (value, None) if second is not None else (None, value)
            if self.token.kind in ("fill_left", "fill_right") and self.token.kind != first:
                self.take()
                if first == "fill_left":
                    matching.fill_right = self._fill()
                else:
                    matching.fill_left = self._fill()
        return bool_modifier, matching

    def _fill(self) -> float:
        self.expect("(")
        sign = -1.0 if self.token.kind == "-" else 1.0
        if self.token.kind in ("+", "-"):
            self.take()
        if self.token.kind not in ("number", "duration"):
            raise self.unexpected()
        value = sign * self.literal().value
        self.expect(")")
        return value

    # -- selectors ---------------------------------------------------------------------------------

    def _selector(self, name: str, start: int) -> Selector:
        matchers: list[Matcher] = []
        if self.token.kind == "{":
            self.take()
            matchers = self._matchers()
        end = self.previous_end
        if name:
            matchers.append(Matcher("__name__", "=", name))
        return Selector(name=name, matchers=matchers, start=start, end=end)

    def _matchers(self) -> list[Matcher]:
        out: list[Matcher] = []
        while self.token.kind != "}":
            if self.token.kind not in ("identifier", "string"):
                raise self.unexpected("label matching", 'identifier or "}"')
            label = self.take()
            name = unquote(label.text) if label.kind == "string" else label.text
            if self.token.kind in _MATCH_OPS:
                op = self.take().kind
                if self.token.kind != "string":
                    raise self.unexpected("label matching", "string")
                value = self.take()
                out.append(self._matcher(name, op, unquote(value.text), label.start, value.end))
            elif label.kind == "string" and self.token.kind in (",", "}"):
                out.append(Matcher("__name__", "=", name))
            elif label.kind == "string":
                raise self.unexpected("label matching", '"," or "}"')
            else:
                raise self.unexpected("label matching", "label matching operator")
            if self.token.kind not in (",", "}"):
                raise self.unexpected("label matching", '"," or "}"')
            if self.token.kind == ",":
                self.take()
        self.take()
        return out

    def _matcher(self, name: str, op: str, value: str, start: int, end: int) -> Matcher:
        if op in ("=~", "!~"):
            try:
                compile_regex(value)
            except re2.error as error:
                said = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                self.complain(f"error parsing regexp: {said}", start, end)
        return Matcher(name, op, value)  # type: ignore[arg-type]

    # -- what may follow a selector ----------------------------------------------------------------

    def _postfix(self, node: Expr) -> Expr:
        while True:
            kind = self.token.kind
            if kind == "[":
                node = self._range(node)
            elif kind == "offset":
                self.take()
                self._offset(node)
            elif kind == "@":
                self.take()
                self._at(node)
            elif kind in ("anchored", "smoothed"):
                self.take()
                self._extend(node, "anchored" if kind == "anchored" else "smoothed")
            else:
                return node

    def _range(self, node: Expr) -> Expr:
        opening = self.take()
        try:
            length = self.positive_duration()
        except _Syntax:
            raise self.unexpected(
                "subquery or range selector", "number, duration, step(), or range()"
            ) from None
        length_ms, length_expr = self.split(length)
        if self.token.kind == "]":
            closing = self.take()
            selector = self._ranged(node, opening, closing)
            return Range(
                selector=selector,
                range_ms=length_ms,
                range_expr=length_expr,
                start=node.start,
                end=closing.end,
            )
        if self.token.kind != ":":
            raise self.unexpected("subquery or range", '":" or "]"')
        self.take()
        step_ms, step_expr = 0, None
        if self.token.kind != "]":
            try:
                step_ms, step_expr = self.split(self.positive_duration())
            except _Syntax:
                raise self.unexpected(
                    "subquery selector", 'number, duration, step(), range(), or "]"'
                ) from None
            if self.token.kind != "]":
                raise self.unexpected("subquery selector", '"]"')
        closing = self.take()
        return Subquery(
            expr=node, range_ms=length_ms, range_expr=length_expr, step_ms=step_ms, step_expr=step_expr,
            start=node.start, end=closing.end,
        )  # fmt: skip

    def _ranged(self, node: Expr, opening: Token, closing: Token) -> Selector:
        problem = ""
        if not isinstance(node, Selector):
            problem = "ranges only allowed for vector selectors"
        elif node.offset_ms or node.offset_expr is not None:
            problem = "no offset modifiers allowed before range"
        elif node.at_ms is not None or node.at_edge:
            problem = "no @ modifiers allowed before range"
        if problem:
            self.complain(problem, opening.start, closing.end)
        if isinstance(node, Selector):
            return node
        return Selector(name="", matchers=[], start=node.start, end=node.end, may_match_all=True)

    def _timed(self, node: Expr, what: str) -> Selector | Subquery | None:
        """What carries the offset or @ of `node`; None (and a complaint) if nothing can."""
        if isinstance(node, Range):
            if node.selector.may_match_all:
                self.complain("ranges only allowed for vector selectors", node.start, node.end)
                return None
            return node.selector
        if isinstance(node, Selector | Subquery):
            return node
        self.complain(
            f"{what} modifier must be preceded by an instant vector selector or range vector selector "
            "or a subquery",
            node.start,
            node.end,
        )
        return None

    def _offset(self, node: Expr) -> None:
        try:
            duration = self.offset_duration()
        except _Syntax:
            raise self.unexpected("offset", "number, duration, step(), or range()") from None
        target = self._timed(node, "offset")
        if target is None:
            return
        if target.offset_ms or target.offset_expr is not None:
            self.complain("offset may not be set multiple times", node.start, node.end)
        elif isinstance(duration, Number):
            target.offset_ms = to_ms(duration.value)
        else:
            target.offset_expr = duration
        node.end = self.previous_end

    def _at(self, node: Expr) -> None:
        edge: Literal["", "start", "end"] = ""
        value = 0.0
        if self.token.kind in ("start", "end"):
            edge = "start" if self.take().kind == "start" else "end"
            self.expect("(")
            self.expect(")")
        else:
            sign = -1.0 if self.token.kind == "-" else 1.0
            if self.token.kind in ("+", "-"):
                self.take()
            if self.token.kind not in ("number", "duration"):
                raise self.unexpected("@", "timestamp")
            value = sign * self.literal().value
            if not math.isfinite(value) or abs(value) >= 2**63:
                shown = (
                    {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
                    if not math.isfinite(value)
                    else f"{value:f}"
                )
                self.complain(f"timestamp out of bounds for @ modifier: {shown}", node.start, node.end)
                value = 0.0
        target = self._timed(node, "@")
        if target is None:
            return
        if target.at_ms is not None or target.at_edge:
            self.complain("@ <timestamp> may not be set multiple times", node.start, node.end)
        elif edge:
            target.at_edge = edge
        else:
            target.at_ms = math.floor(abs(value) * 1000 + 0.5) * (-1 if value < 0 else 1)
        node.end = self.previous_end

    def _extend(self, node: Expr, mode: Literal["anchored", "smoothed"]) -> None:
        target = node.selector if isinstance(node, Range) else node
        if isinstance(target, Selector):
            if target.may_match_all:
                return
            if target.mode and target.mode != mode:
                self.complain("anchored and smoothed modifiers cannot be used together", node.start, node.end)
            target.mode = mode
        elif isinstance(target, Subquery):
            self.complain(f"{mode} modifier is not supported for subqueries", node.start, node.end)
        else:
            self.complain(f"{mode} modifier not implemented", node.start, node.end)

    def literal(self) -> Number:
        """A number or a duration."""
        token = self.take()
        if token.kind == "number":
            try:
                value = number(token.text, token.start)
            except Flaw as flaw:
                self.flaws.append(flaw)
                value = 0.0
            return Number(value=value, start=token.start, end=token.end)
        return Number(value=self.seconds(token), duration=True, start=token.start, end=token.end)


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> re2._Regexp[str]:
    """A label regex: RE2, anchored at both ends by the caller's `fullmatch`, dot matches newlines."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)


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


def matchers_of(text: str) -> list[Matcher]:
    """The matchers of a series selector, as in a `match[]` parameter; raises `ParseError`."""
    node = parse(text)
    if (
        not isinstance(node, Selector)
        or node.offset_ms
        or node.at_ms is not None
        or node.at_edge
        or node.mode
    ):
        raise ParseError(text, [Flaw('a series selector was expected, like up{job="api"}', 0, len(text))])
    return list(node.matchers)
