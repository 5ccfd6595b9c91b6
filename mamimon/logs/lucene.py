"""The Lucene query string: text to clauses.

Fields, phrases, wildcards, ranges, groups, `_exists_`, regular expressions, fuzzy terms, `+ - !`,
`AND OR NOT && ||`. Operators mean what they mean in Elasticsearch, whose parser is Lucene's classic
one: there is no precedence, each clause ends up required, forbidden or wanted (`a AND b OR c` is
`+a +b c`). A word of several tokens (`req-8f31`) is a phrase, and a slash inside a word is a slash,
which is what people mean. Measured against luqum: the same speed, but luqum has no `&&`, `!` or
place of an error, and cannot be told the default operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from mamimon.logs.clauses import All, And, Clause, Exists, Fuzzy, Not, Or, Pattern, literal_start
from mamimon.logs.lucene_terms import (
    Style,
    all_in,
    between,
    compare,
    moment,
    phrase,
    plain,
    unescape,
    wildcard,
)
from mamimon.logs.regexes import lucene_regex, outline
from mamimon.problems import Problem, bad_input

__all__ = ["Style", "parse"]

_LONGEST = 32_768
_DEEPEST = 60
_MOST = 1024
_PHRASES = {"phrase", "phrase_prefix"}
_GO_ON = {"phrase_prefix", "bool_prefix"}
_SPACE = " \t\n\r\u3000"
_ENDS = _SPACE + '()[]{}"^~'
_FIELD = re.compile(r"((?:[\w.@*\-]|\\.)+)\s*:")
_COMPARE = re.compile(r"(>=|<=|>|<)\s*")
_RANGE = re.compile(r'([\[{])\s*("(?:[^"\\]|\\.)*"|[^\s\]}]+)\s+TO\s+("(?:[^"\\]|\\.)*"|[^\s\]}]+)\s*([\]}])')
# A word that Lucene reads as one text with the plain words beside it.
_PLAIN = re.compile(
    r'(?![+\-!/<>]|(?:AND|OR|NOT)(?=[\s()]|$)|&&|\|\|)((?:[^\s()\[\]{}"^~*?:\\]|\\.)+)(?=[\s()\[\]{}"]|$)'
    r'(?!\s*(?::|\*(?=[\s)]|$)|(?:AND|OR)(?=[\s()"+\-!]|$)|&&|\|\|))\s*'
)
_OPERATOR = re.compile(r"(AND|OR|NOT)(?=[\s()\"+\-!]|$)|&&|\|\||!")


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
            if not by and not sign and (words := self.run()):
                made = self.together(fields, words)
                clauses += made
                signs += ["+" if self.style.every else ""] * len(made)
                self.bound(clauses)
                continue
            clauses.append(self.fielded(fields))
            self.bound(clauses)
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

    def bound(self, clauses: list[Clause]) -> None:
        if len(clauses) > _MOST:
            raise self.error(f"more than {_MOST} clauses")

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

    def run(self) -> list[str]:
        """Step over plain words that stand beside each other; none where it does not matter that they do."""
        if self.style.kind == "cross_fields":
            return []
        start = self.at
        words: list[str] = []
        while len(words) < _MOST and (found := self.take(_PLAIN)):
            words.append(unescape(found[1]))
        if len(words) < 2:
            self.at, words = start, []
        return words

    def together(self, fields: Sequence[str], words: list[str]) -> list[Clause]:
        """Clauses of words beside each other: they are one phrase, or all of them are wanted in one field."""
        kind = self.style.kind
        if kind in _PHRASES:
            text, slop = " ".join(words), min(self.style.slop, 100)
            return [_each(fields, lambda f: phrase(f, text, slop, prefix=kind == "phrase_prefix"))]
        begins = [""] * (len(words) - 1) + [kind]
        if self.style.every and (len(fields) > 1 or not fields[0] or "*" in fields[0]):
            return [_each(fields, lambda f: all_in(f, list(map(partial(self.plain, f), words, begins))))]
        return [
            _each(fields, partial(self.plain, text=word, kind=last))
            for word, last in zip(words, begins, strict=True)
        ]

    def plain(self, field: str, text: str, kind: str) -> Clause:
        """A word on a field; `kind` says whether it may go on."""
        dated = moment(field, text, self.style)
        if dated is not None and kind == "phrase_prefix":
            raise self.error(f"phrase prefix queries are for text, and [{field}] is a date")
        return dated or (phrase(field, text, prefix=True) if kind in _GO_ON else plain(field, text))

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
        return _each(fields, lambda f: self.plain(f, text, self.style.kind))


def style_fields(style: Style) -> tuple[str, ...]:
    """Where a word without a field looks; one empty name is every field."""
    return style.fields or ("",)


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
