"""LogQL, the part of it that docs/loki.md promises: text to a tree, errors in Loki's words.

Source: the LogQL reference; pkg/logql/syntax for the wording of errors.
"""

from __future__ import annotations

import re
from typing import Any

from mamimon.logs.wire.loki.syntax import (
    AGGREGATIONS,
    COMPARISONS,
    RANGES,
    Aggregate,
    Binary,
    Drop,
    LineFilter,
    Log,
    LogQLError,
    Matcher,
    Number,
    Parser,
    Range,
    Stage,
    regex,
    seconds,
    unquoted,
)

_PRECEDENCE = {"^": 4, "*": 3, "/": 3, "%": 3, "+": 2, "-": 2, **dict.fromkeys(COMPARISONS, 1)}
_MAX_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<duration>(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhdwy]))+)"""
    r"""|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_.:]*)"""
    r"""|(?P<op>\|=|\|~|\|>|!>|=~|!~|!=|==|>=|<=|[{}()\[\],|=<>+\-*/%^]))"""
)
_EMPTY = (
    "parse error : queries require at least one regexp or equality matcher that does not have an"
    ' empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
)


def parse(text: str) -> Any:
    """The tree of a query: `Log`, or a metric query's `Range`, `Aggregate`, `Number` or `Binary`."""
    lexer = Lexer(text)
    tree = lexer.expression(0)
    lexer.end()
    return tree


class Lexer:
    """Reads one query from its front to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.kind = self.value = ""
        self._start = 0
        self._next()

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :].lstrip()
            self._start = len(self._text) - len(rest)
            if rest:
                what = "literal not terminated" if rest[0] in '"`' else f"unexpected {rest[0]}"
                self._fail(what)
            self.kind, self.value, self._at = "end", "", len(self._text)
            return
        self.kind = str(found.lastgroup)
        self.value = found[self.kind]
        self._start, self._at = found.start(self.kind), found.end()

    def _fail(self, what: str) -> Any:
        before = self._text[: self._start]
        row = before.count("\n") + 1
        column = self._start - (before.rfind("\n") + 1) + 1
        raise LogQLError(f"parse error at line {row}, col {column}: syntax error: {what}")

    def _unexpected(self, wanted: str = "") -> Any:
        names = {
            "end": "$end",
            "name": "IDENTIFIER",
            "string": "STRING",
            "number": "NUMBER",
            "duration": "DURATION",
        }
        found = names.get(self.kind, self.value)
        return self._fail(f"unexpected {found}" + (f", expecting {wanted}" if wanted else ""))

    def _take(self, op: str) -> bool:
        if self.kind == "op" and self.value == op:
            self._next()
            return True
        return False

    def _need(self, op: str) -> None:
        if not self._take(op):
            self._unexpected(op)

    def _word(self, word: str) -> bool:
        if self.kind == "name" and self.value == word:
            self._next()
            return True
        return False

    def end(self) -> None:
        """Nothing may follow."""
        if self.kind != "end":
            self._unexpected()

    def labels(self) -> dict[str, str]:
        """A whole text of `{a="b", c="d"}`, as a pushed stream names itself."""
        out: dict[str, str] = {}
        self._need("{")
        while not self._take("}"):
            name = self._name()
            self._need("=")
            out[name] = self._string()
            if not self._take(",") and not (self.kind == "op" and self.value == "}"):
                self._unexpected("}")
        self.end()
        return out

    def _name(self) -> str:
        name = self.value
        if self.kind != "name":
            self._unexpected("IDENTIFIER")
        self._next()
        return name

    def _string(self) -> str:
        if self.kind != "string":
            self._unexpected("STRING")
        text = self.value
        if text[0] == "`":
            value = text[1:-1]
        else:
            try:
                value = unquoted(text[1:-1])
            except ValueError:
                self._fail("invalid syntax")
        self._next()
        return value

    def expression(self, least: int) -> Any:
        """A query; operators of at least this precedence belong to it."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail("the query is nested too deep")
        left = self._operand()
        while self.kind == "op" and _PRECEDENCE.get(self.value, 0) > least:
            op = self.value
            if isinstance(left, Log):
                self._unexpected()
            self._next()
            for word in ("bool", "on", "ignoring"):
                if self.kind == "name" and self.value == word:
                    self._fail(f"{word} is not supported by mamimon")
            right = self.expression(_PRECEDENCE[op] - (op == "^"))
            if isinstance(right, Log):
                self._fail(f"unexpected type for right leg of binary operation ({op})")
            left = Binary(op, left, right)
        self._depth -= 1
        return left

    def _operand(self) -> Any:
        if self.kind == "op" and self.value == "{":
            return self.log()
        if self._take("("):
            inner = self.expression(0)
            self._need(")")
            return inner
        negative = self._take("-")
        if self.kind == "number":
            value = float(self.value)
            self._next()
            return Number(-value if negative else value)
        if negative or self.kind != "name":
            self._unexpected()
        name = self.value
        if name == "vector":
            return self._vector()
        if name in RANGES:
            return self._range()
        if name in AGGREGATIONS:
            return self._aggregate()
        if re.match(r"\s*(?:by\b|without\b|\()", self._text[self._at :]):
            self._fail(
                f"{name} is not supported by mamimon; it answers {', '.join((*RANGES, *AGGREGATIONS))}"
            )
        return self._unexpected()

    def _vector(self) -> Number:
        self._next()
        self._need("(")
        if self.kind != "number":
            self._unexpected("NUMBER")
        value = float(self.value)
        self._next()
        self._need(")")
        return Number(value, vector=True)

    def log(self) -> Log:
        """A selector with its pipeline."""
        self._need("{")
        matchers: list[Matcher] = []
        while not self._take("}"):
            name = self._name()
            op = self.value
            if self.kind != "op" or op not in {"=", "!=", "=~", "!~"}:
                self._unexpected("= or !=")
            self._next()
            matchers.append(Matcher(name, op, self._string()))
            if not self._take(",") and not (self.kind == "op" and self.value == "}"):
                self._unexpected("} or ,")
        if not any(_narrows(one) for one in matchers):
            raise LogQLError(_EMPTY)
        return Log(tuple(matchers), tuple(self._stages()))

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = []
        while self.kind == "op":
            if self.value in {"|=", "!=", "|~", "!~"}:
                op = self.value
                self._next()
                values = [self._filter_text()]
                while self._word("or"):
                    values.append(self._filter_text())
                if "~" in op:
                    for value in values:
                        regex(value)
                stages.append(LineFilter(op, tuple(values)))
            elif self.value in {"|>", "!>"}:
                self._fail(f"{self.value} is not supported by mamimon")
            elif self._take("|"):
                stages += self._stage()
            else:
                break
        return stages

    def _filter_text(self) -> str:
        if self.kind == "name" and self.value == "ip":
            self._fail("ip() is not supported by mamimon")
        return self._string()

    def _stage(self) -> list[Stage]:
        name = self._name()
        if name in {"json", "logfmt"}:
            if self.kind in {"name", "string"}:
                self._fail(f"expressions of {name} are not supported by mamimon")
            return [Parser(name)]
        if name == "drop":
            names = [self._name()]
            while self._take(","):
                names.append(self._name())
            return [Drop(tuple(names))]
        stages: list[Stage] = [self._label_filter(name)]
        while self._take(",") or self._word("and"):
            stages.append(self._label_filter(self._name()))
        if self.kind == "name" and self.value == "or":
            self._fail("or between label filters is not supported by mamimon")
        return stages

    def _label_filter(self, name: str) -> Matcher:
        op = self.value
        if self.kind != "op" or op not in {"=", "!=", "=~", "!~", *COMPARISONS}:
            self._fail(f"| {name} is not supported by mamimon")
        self._next()
        if self.kind == "string" and op not in {">", ">=", "<", "<=", "=="}:
            value = self._string()
            if "~" in op:
                regex(value)
            return Matcher(name, op, value)
        negative = self._take("-")
        if self.kind not in {"number", "duration"} or op in {"=~", "!~"}:
            self._unexpected("STRING or NUMBER")
        text = self.value
        number = seconds(text) if self.kind == "duration" else float(text)
        self._next()
        return Matcher(name, "==" if op == "=" else op, text, -number if negative else number)

    def _range(self) -> Range:
        function = self._name()
        self._need("(")
        wrapped = self._take("(")
        log = self.log()
        if wrapped:
            self._need(")")
        self._need("[")
        if self.kind != "duration":
            self._unexpected("DURATION")
        range_s = seconds(self.value)
        self._next()
        self._need("]")
        # The pipeline may also stand behind the range.
        log = Log(log.matchers, (*log.stages, *self._stages()))
        offset_s = 0.0
        if self._word("offset"):
            sign = -1.0 if self._take("-") else 1.0
            if self.kind != "duration":
                self._unexpected("DURATION")
            offset_s = sign * seconds(self.value)
            self._next()
        self._need(")")
        if range_s <= 0:
            raise LogQLError("parse error : the range must be positive")
        return Range(function, log, range_s, offset_s)

    def _aggregate(self) -> Aggregate:
        function = self._name()
        names, without, grouped = self._grouping()
        self._need("(")
        count = 0
        if function in {"topk", "bottomk"}:
            if self.kind != "number":
                self._fail(f"parameter required for operation {function}")
            count = int(min(float(self.value), 1e6))
            self._next()
            self._need(",")
        inner = self.expression(0)
        if isinstance(inner, Log):
            self._unexpected()
        self._need(")")
        if not grouped:
            names, without, grouped = self._grouping()
        return Aggregate(function, inner, names, without, grouped, count)

    def _grouping(self) -> tuple[tuple[str, ...], bool, bool]:
        if self.kind != "name" or self.value not in {"by", "without"}:
            return (), False, False
        without = self.value == "without"
        self._next()
        self._need("(")
        names: list[str] = []
        while not self._take(")"):
            names.append(self._name())
            if not self._take(",") and not (self.kind == "op" and self.value == ")"):
                self._unexpected(")")
        return tuple(names), without, True


def _narrows(matcher: Matcher) -> bool:
    if matcher.op == "=":
        return matcher.value != ""
    if matcher.op == "=~":
        return regex(matcher.value).fullmatch("") is None
    if matcher.op == "!~":
        return regex(matcher.value).fullmatch("") is not None
    return matcher.value == ""
