"""Selectors and what may follow them: matchers, ranges, `offset`, `@`; and the modifiers of operators."""

import math
from typing import Literal

import re2

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import (
    AGGREGATORS,
    Expr,
    Matching,
    Number,
    Range,
    Selector,
    Subquery,
)
from mamimon.metrics.promql.durations import DurationParser, Misfit
from mamimon.metrics.promql.lexer import DURATION_WORDS, KEYWORDS, WORD_OPERATORS, Token
from mamimon.metrics.promql.text import quote, to_ms, unquote
from mamimon.metrics.regexes import compile_regex, refusal

_NOT_METRIC = frozenset(("bool", "on", "ignoring", "group_left", "group_right"))
METRIC_KINDS = (
    (KEYWORDS - _NOT_METRIC)
    | AGGREGATORS
    | (WORD_OPERATORS - {"atan2"})
    | DURATION_WORDS
    | {"start", "end", "identifier", "metric"}
)
_LABEL_KINDS = (METRIC_KINDS | _NOT_METRIC | {"atan2"}) - {"without"}
_MATCH_OPS = frozenset(("=", "!=", "=~", "!~"))


class SelectorParser(DurationParser):
    """The rules for selectors; `Parser` adds expressions."""

    def labels(self) -> list[str]:
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

    def modifiers(self) -> tuple[bool, Matching]:
        """What may stand behind a binary operator: bool, on, ignoring, group_left, fill, …"""
        matching = Matching()
        bool_modifier = self.token.kind == "bool"
        if bool_modifier:
            self.take()
        if self.token.kind in ("on", "ignoring"):
            matching.on = self.take().kind == "on"
            matching.labels = self.labels()
            if self.token.kind in ("group_left", "group_right"):
                matching.card = "many-to-one" if self.take().kind == "group_left" else "one-to-many"
                if self.token.kind == "(":
                    matching.include = self.labels()
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

    def selector(self, name: str, start: int) -> Selector:
        """The matchers behind a metric's name, or alone."""
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
                self.complain(refusal(error), start, end)
        return Matcher(name, op, value)  # type: ignore[arg-type]

    # -- what may follow a selector ----------------------------------------------------------------

    def postfix(self, node: Expr) -> Expr:
        """A range, `offset`, `@` and the like behind an expression."""
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
        except Misfit:
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
            except Misfit:
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
        except Misfit:
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
