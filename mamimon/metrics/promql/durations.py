"""Durations: literals and the arithmetic on them in brackets and behind `offset`."""

from __future__ import annotations

import math

from mamimon.metrics.promql.ast import DurationExpr, Number
from mamimon.metrics.promql.errors import Flaw, PromQLError
from mamimon.metrics.promql.lexer import Lexer, Token
from mamimon.metrics.promql.text import duration_ms, number, to_ms

_LIMIT_S = 2**63 / 1e9
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}


class Misfit(Flaw):
    """A token that fits nowhere; the rule around it may say where it stood."""


class DurationParser:
    """The token cursor, and the rules for durations; `Parser` adds the rest of the language."""

    def __init__(self, text: str) -> None:
        self.flaws: list[Flaw] = []
        self._lexer = Lexer(text)
        self.token = Token("eof", "", 0)
        self.previous_end = 0

    def start(self) -> None:
        """Read the first token."""
        self.token = self._lexer.next()

    def take(self) -> Token:
        """The token at hand; the next one takes its place."""
        token = self.token
        self.previous_end = token.end
        self.token = self._lexer.next()
        return token

    def expect(self, kind: str) -> Token:
        """Take a token that must be of `kind`."""
        if self.token.kind != kind:
            raise self.unexpected()
        return self.take()

    def complain(self, text: str, start: int, end: int) -> None:
        """Note an error and go on."""
        self.flaws.append(Flaw(text, start, end))

    def unexpected(self, context: str = "", expected: str = "") -> Flaw:
        """The error that the token at hand does not fit."""
        text = f"unexpected {self.token.describe()}"
        text += f" in {context}" if context else ""
        text += f", expected {expected}" if expected else ""
        kind = Flaw if context else Misfit
        return kind(text, self.token.start, self.token.end)

    # -- expressions -------------------------------------------------------------------------------

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

    def seconds(self, token: Token) -> float:
        """The value of a duration token."""
        try:
            return duration_ms(token.text) / 1000
        except ValueError as error:
            self.complain(str(error), token.start, token.end)
            return 0.0

    @staticmethod
    def split(duration: Number | DurationExpr) -> tuple[int, DurationExpr | None]:
        """Milliseconds, or the expression that will give them."""
        if isinstance(duration, Number):
            return to_ms(duration.value), None
        return 0, duration

    def positive_duration(self) -> Number | DurationExpr:
        """The length or step of a window."""
        duration = self._duration()
        if isinstance(duration, Number) and duration.value <= 0:
            self.complain("duration must be greater than 0", duration.start, duration.end)
            return Number(value=0)
        return duration

    def offset_duration(self) -> Number | DurationExpr:
        """Behind `offset`: one operand, so that `foo offset 5s - 8` subtracts 8 from foo."""
        if self.token.kind not in ("+", "-"):
            return self._operand()
        sign = self.take()
        return self._signed(sign, self._operand())

    def _duration(self, floor: int = 1) -> Number | DurationExpr:
        left: Number | DurationExpr
        if self.token.kind in ("+", "-"):
            sign = self.take()
            left = self._signed(sign, self._duration(_PRECEDENCE["*"] + 1))
        else:
            left = self._operand()
        while (power := _PRECEDENCE.get(self.token.kind, 0)) >= floor:
            op = self.take()
            right = self._duration(power if op.kind == "^" else power + 1)
            if op.kind in ("/", "%") and isinstance(right, Number) and right.value == 0:
                word = "division" if op.kind == "/" else "modulo"
                self.complain(f"{word} by zero", op.start, op.end)
                left = Number(value=0)
                continue
            left = DurationExpr(op=op.kind, left=left, right=right, start=left.start, end=right.end)
        return left

    def _operand(self) -> Number | DurationExpr:
        token = self.token
        if token.kind in ("number", "duration"):
            value = self.literal()
            return self._bounded(value, value.start)
        if token.kind in ("step", "range"):
            self.take()
            self.expect("(")
            end = self.expect(")").end
            return DurationExpr(op=token.kind, start=token.start, end=end)
        if token.kind in ("min_of", "max_of"):
            self.take()
            self.expect("(")
            left = self._duration()
            self.expect(",")
            right = self._duration()
            end = self.expect(")").end
            return DurationExpr(op=token.kind, left=left, right=right, start=token.start, end=end)
        if token.kind == "(":
            self.take()
            inner = self._duration()
            end = self.expect(")").end
            if isinstance(inner, DurationExpr):
                inner.wrapped = True
                return inner
            return DurationExpr(op="+", right=inner, wrapped=True, start=token.start, end=end)
        raise self.unexpected()

    def _signed(self, sign: Token, operand: Number | DurationExpr) -> Number | DurationExpr:
        if isinstance(operand, Number):
            if sign.kind == "-":
                operand.value = -operand.value
            operand.start = sign.start
            return self._bounded(operand, sign.start)
        if sign.kind == "-":
            return DurationExpr(op="-", right=operand, start=sign.start, end=operand.end)
        return operand

    def _bounded(self, value: Number, start: int) -> Number:
        if abs(value.value) > _LIMIT_S:
            self.complain("duration out of range", start, value.end)
            return Number(value=0)
        return value


def duration_value(node: Number | DurationExpr, step_s: float, range_s: float) -> float:
    """Seconds, once the query's step and range are known; raises PromQLError for a division by zero."""
    if isinstance(node, Number):
        return node.value
    left = duration_value(node.left, step_s, range_s) if node.left is not None else 0.0
    right = duration_value(node.right, step_s, range_s) if node.right is not None else 0.0
    if node.op in ("/", "%") and right == 0:
        word = "division" if node.op == "/" else "modulo"
        raise PromQLError("execution", f"{node.start}:{node.end}: {word} by zero")
    if node.op == "^":
        try:
            power = left**right
        except (OverflowError, ZeroDivisionError):
            return math.inf
        return power if isinstance(power, float) else math.nan
    results = {
        "step": lambda: step_s,
        "range": lambda: range_s,
        "min_of": lambda: min(left, right),
        "max_of": lambda: max(left, right),
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
        "%": lambda: math.fmod(left, right),
    }
    return results[node.op]()


def resolve_duration(node: DurationExpr, step_ms: int, range_ms: int, *, may_be_negative: bool) -> int:
    """Milliseconds of a duration expression; raises PromQLError where a window would be empty."""
    seconds = duration_value(node, step_ms / 1000, range_ms / 1000)
    at = f"{node.start}:{node.end}"
    if not math.isfinite(seconds):
        raise PromQLError("execution", f"{at}: duration is NaN or infinite")
    if seconds <= 0 and not may_be_negative:
        raise PromQLError("execution", f"{at}: duration must be greater than 0")
    if abs(seconds) > _LIMIT_S:
        raise PromQLError("execution", f"{at}: duration is out of range")
    return math.trunc(seconds * 1000)
