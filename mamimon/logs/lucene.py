"""The Lucene query string: text to clauses.

Fields, phrases, wildcards, ranges, groups, `_exists_`, regular expressions, fuzzy terms, `+ - !`,
`AND OR NOT && ||`. Operators mean what they mean in Elasticsearch, whose parser is Lucene's classic
one: there is no precedence, each clause ends up required, forbidden or wanted (`a AND b OR c` is
`+a +b c`). A word of several tokens (`req-8f31`) is a phrase, and a slash inside a word is a slash,
which is what people mean. Measured against luqum: the same speed, but luqum has no `&&`, `!` or
place of an error, and cannot be told the default operator.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence

import msgspec

from mamimon.logs.clauses import (
    All,
    And,
    Bound,
    Clause,
    Exact,
    Exists,
    Fuzzy,
    Mined,
    Not,
    Or,
    Pattern,
    Range,
    Words,
    glob,
    literal_start,
)
from mamimon.logs.dates import parse_bound
from mamimon.logs.model import pattern_number
from mamimon.logs.regexes import lucene_regex, outline
from mamimon.logs.text import fold
from mamimon.problems import Problem, bad_input

_LONGEST = 32_768
_DEEPEST = 60
_MOST = 1024
_SPACE = " \t\n\r\u3000"
_ENDS = _SPACE + '()[]{}"^~'
_FIELD = re.compile(r"((?:[\w.@*\-]|\\.)+)\s*:")
_COMPARE = re.compile(r"(>=|<=|>|<)\s*")
_RANGE = re.compile(r'([\[{])\s*("(?:[^"\\]|\\.)*"|[^\s\]}]+)\s+TO\s+("(?:[^"\\]|\\.)*"|[^\s\]}]+)\s*([\]}])')
_OPERATOR = re.compile(r"(AND|OR|NOT)(?=[\s()\"+\-!]|$)|&&|\|\||!")


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How a query string is read: where words without a field look, and how neighbours combine."""

    fields: tuple[str, ...] = ()
    every: bool = False
    """Neighbours combine by AND instead of OR."""
    now: float = 0.0
    tz: dt.tzinfo = dt.UTC
    """The zone of dates that name none."""
    slop: int = 0
    """How far the words of a phrase that does not say so may have moved."""
    least: Callable[[int], int] | None = None
    """How many of the alternatives at the top are needed; none: one."""
    lenient_wildcard: bool = True


def parse(text: str, style: Style) -> Clause:
    """The clauses of a query string; a mistake raises `BAD_INPUT` with its column."""
    if len(text) > _LONGEST:
        raise bad_input(f"query is longer than {_LONGEST} characters")
    if not text.strip():
        return All()
    return _Parser(text, style).whole()


class _Parser:
    def __init__(self, text: str, style: Style) -> None:
        self.text = text
        self.style = style
        self.at = 0
        self.depth = 0

    def whole(self) -> Clause:
        clause = self.either(style_fields(self.style))
        self.space()
        if self.at < len(self.text):
            raise self.error(f"unexpected {self.text[self.at]!r}")
        return clause

    def error(self, why: str) -> Problem:
        return bad_input(f"Failed to parse query [{self.text[:200]}]: {why} at column {self.at + 1}")

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def ended(self) -> bool:
        self.space()
        return self.at >= len(self.text) or self.text[self.at] == ")"

    def operator(self, *names: str) -> bool:
        """Step over one of the operators if it is next."""
        self.space()
        found = _OPERATOR.match(self.text, self.at)
        if found and found.group() in names:
            self.at = found.end()
            return True
        return False

    def either(self, fields: Sequence[str]) -> Clause:
        """Clauses up to a bracket's or the text's end, each with the sign that it ends up with."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error("the query is nested too deep")
        signs: list[str] = []
        clauses: list[Clause] = []
        while not self.ended():
            by = self.conjunction()
            if by and not clauses:
                raise self.error("an operator has nothing on its left")
            sign = self.modifier()
            if (by or sign) and (self.ended() or _OPERATOR.match(self.text, self.at)):
                raise self.error("an operator has nothing on its right")
            clauses.append(self.fielded(fields))
            if len(clauses) > _MOST:
                raise self.error(f"more than {_MOST} clauses")
            # As Lucene: an operator speaks about the clause before it and the one after it, no more.
            if signs and signs[-1] != "-":
                if by == "AND":
                    signs[-1] = "+"
                elif by == "OR" and self.style.every:
                    signs[-1] = ""
            if not sign and (by == "AND" or (self.style.every and by != "OR")):
                sign = "+"
            signs.append("" if self.style.every and sign == "+" and by == "OR" else sign)
        self.depth -= 1
        if not clauses:
            raise self.error("an empty group")
        return _joined(signs, clauses, None if self.depth else self.style.least)

    def conjunction(self) -> str:
        """Step over AND or OR; empty where neighbours just stand beside each other."""
        if self.operator("AND", "&&"):
            return "AND"
        return "OR" if self.operator("OR", "||") else ""

    def modifier(self) -> str:
        """Step over the one sign that a clause may have: `+`, `-` or none; NOT and ! are `-`."""
        if self.operator("NOT", "!"):
            return "-"
        self.space()
        if self.text[self.at : self.at + 1] in ("+", "-"):
            sign = self.text[self.at]
            self.at += 1
            return sign
        return ""

    def fielded(self, fields: Sequence[str]) -> Clause:
        found = _FIELD.match(self.text, self.at)
        if found and not self.text.startswith("//", found.end()):
            self.at = found.end()
            self.space()
            name = unescape(found[1])
            if self.at >= len(self.text):
                raise self.error(f"field {name} has no value")
            if name == "_exists_":
                clause: Clause = Exists(unescape(self.word()))
                self.boost()
                return clause
            fields = ("",) if name == "*" else (name,)
        return self.value(fields)

    def value(self, fields: Sequence[str]) -> Clause:
        char = self.text[self.at]
        if char == "(":
            self.at += 1
            clause = self.either(fields)
            if self.at >= len(self.text):
                raise self.error("a bracket is not closed")
            self.at += 1
        elif char == '"':
            clause = self.phrase(fields)
        elif char in "[{":
            clause = self.range(fields)
        elif char == "/" and (end := self.regex_end()):
            clause = self.regex(fields, end)
        elif found := self.take(_COMPARE):
            text = self.quoted() if self.text[self.at : self.at + 1] == '"' else unescape(self.word())
            clause = _each(fields, lambda f: compare(f, found[1], text, self.style))
        else:
            clause = self.term(fields)
        self.boost()
        return clause

    def boost(self) -> None:
        self.take(re.compile(r"\^\d*\.?\d+"))

    def word(self) -> str:
        """The raw text up to the end of a word, escapes kept."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _ENDS:
            self.at += 2 if self.text[self.at] == "\\" else 1
        self.at = min(self.at, len(self.text))
        if self.at == start:
            raise self.error(
                f"unexpected {self.text[start : start + 1]!r}"
                if start < len(self.text)
                else "a word is missing"
            )
        return self.text[start : self.at]

    def quoted(self) -> str:
        end = self.at + 1
        while end < len(self.text) and self.text[end] != '"':
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise self.error("a quotation mark is not closed")
        text = self.text[self.at + 1 : end]
        self.at = end + 1
        return unescape(text)

    def phrase(self, fields: Sequence[str]) -> Clause:
        text = self.quoted()
        found = self.take(re.compile(r"~(\d+)?"))
        slop = min(int(found[1] or 0), 100) if found else min(self.style.slop, 100)
        return _each(fields, lambda f: moment(f, text, self.style) or phrase(f, text, slop))

    def range(self, fields: Sequence[str]) -> Clause:
        found = self.take(_RANGE)
        if not found:
            raise self.error("a range is written [low TO high] or {low TO high}")
        low, high = (unescape(part[1:-1] if part[0] == '"' else part) for part in found.group(2, 3))
        ends = (found[1] == "[", found[4] == "]")
        return _each(fields, lambda f: between(f, low, high, ends[0], ends[1], self.style))

    def regex_end(self) -> int:
        end = self.at + 1
        while end < len(self.text) and self.text[end] != "/":
            end += 2 if self.text[end] == "\\" else 1
        closed = end < len(self.text) and end > self.at + 1
        return end if closed and self.text[end + 1 : end + 2] in ("", *_SPACE, ")", "^") else 0

    def regex(self, fields: Sequence[str], end: int) -> Clause:
        text = self.text[self.at + 1 : end].replace("\\/", "/")
        self.at = end + 1
        pattern, wildcard = lucene_regex(text), outline(text)
        start = literal_start(wildcard)
        return _each(fields, lambda f: Pattern(f, pattern, starts=start, fold_case=False, wildcard=wildcard))

    def term(self, fields: Sequence[str]) -> Clause:
        raw = self.word()
        text = unescape(raw)
        fuzzy = self.take(re.compile(r"~(\d*\.?\d+)?"))
        if fuzzy:
            distance = int(float(fuzzy[1])) if fuzzy[1] else None
            return _each(fields, lambda f: Fuzzy(f, text, distance))
        if raw == "*":
            return All() if not any(fields) else _each(fields, Exists)
        if re.search(r"(?:^|[^\\])(?:\\\\)*[*?]", raw):
            return _each(fields, lambda f: wildcard(f, raw))
        return _each(fields, lambda f: moment(f, text, self.style) or plain(f, text))


def style_fields(style: Style) -> tuple[str, ...]:
    """Where a word without a field looks; one empty name is every field."""
    return style.fields or ("",)


def plain(field: str, text: str) -> Clause:
    """A word on a field; one without letters or digits must be the whole value."""
    if field == "pattern" and pattern_number(text):
        return Mined(text)
    return phrase(field, text)


def phrase(field: str, text: str, slop: int = 0) -> Clause:
    """Words that follow one another; on a `.keyword` field, or without a word, the whole value."""
    words = Words(field, text, slop=slop)
    return words if words.words and not field.endswith(".keyword") else Exact(field, text)


def wildcard(field: str, raw: str) -> Clause:
    """A pattern of `*` and `?`; only on a `.keyword` field does case matter."""
    folded = not field.endswith(".keyword")
    pattern = glob(raw, fold_case=folded)
    return Pattern(field, pattern, starts=fold(literal_start(raw)), fold_case=folded, wildcard=raw)


def compare(field: str, sign: str, text: str, style: Style) -> Clause:
    """`field:>=text`."""
    included = sign.endswith("=")
    if sign[0] == ">":
        return Range(field, bound(field, text, included, style.now, up=not included, tz=style.tz), None)
    return Range(field, None, bound(field, text, included, style.now, up=included, tz=style.tz))


def between(field: str, low: str, high: str, low_in: bool, high_in: bool, style: Style) -> Clause:
    """`field:[low TO high]`; `*` leaves an end open."""
    return Range(
        field,
        None if low == "*" else bound(field, low, low_in, style.now, up=not low_in, tz=style.tz),
        None if high == "*" else bound(field, high, high_in, style.now, up=high_in, tz=style.tz),
    )


def bound(
    field: str,
    text: str,
    included: bool,
    now: float,
    *,
    up: bool,
    first_day: bool = False,
    tz: dt.tzinfo = dt.UTC,
) -> Bound:
    """One end of a range; on `@timestamp` it must be a date."""
    dated = field == "@timestamp"
    seconds = None
    if dated or re.match(r"now|\d{4}[-/.]\d\d?", text):
        seconds = parse_bound(text, now, up=up, first_day=first_day, tz=tz)
    if dated and seconds is None:
        raise bad_input(
            f"failed to parse date field [{text[:80]}] with format [strict_date_optional_time||epoch_millis]"
        )
    return Bound(text, included, seconds)


def moment(field: str, text: str, style: Style) -> Clause | None:
    """A date on `@timestamp` means the whole unit that it names; other fields are None."""
    if field != "@timestamp":
        return None
    return between(field, text, text, True, True, style)


def unescape(text: str) -> str:
    """`text` without the backslashes that took away a character's meaning."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def _joined(
    signs: Sequence[str], clauses: Sequence[Clause], least: Callable[[int], int] | None = None
) -> Clause:
    """Lucene's boolean query; where all clauses are forbidden, everything but what they match."""
    by_sign: dict[str, list[Clause]] = {"+": [], "-": [], "": []}
    for sign, clause in zip(signs, clauses, strict=True):
        by_sign[sign].append(clause)
    must, may = by_sign["+"], by_sign[""]
    if may and least is not None and len(clauses) > 1:
        needed = max(least(len(may)), 0 if must else 1)
        must = [*must, Or(may, needed)] if needed else must
    elif may and not must:
        must = [may[0] if len(may) == 1 else Or(may)]
    parts = [*must, *map(Not, by_sign["-"])]
    return parts[0] if len(parts) == 1 else And(parts)


def _each(fields: Sequence[str], make: Callable[[str], Clause]) -> Clause:
    parts = [make(field) for field in fields]
    return parts[0] if len(parts) == 1 else Or(parts)
