"""`simple_query_string`: a language that has no mistakes.

`+` and `|` combine what stands before them with what follows, strictly from left to right; a `-`
makes the next part mean everything but itself. What cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mamimon.logs import clauses as c
from mamimon.logs.lucene_terms import phrase, plain, unescape
from mamimon.logs.text import tokens
from mamimon.logs.wire.elasticsearch.options import either

_LONGEST = 32_768
_DEEPEST = 20
_PART = re.compile(
    r'"(?P<phrase>(?:[^"\\]|\\.)*)"(?:~(?P<slop>\d+))?|(?P<sign>[()|+]|-)|'
    r'(?P<word>(?:\\.|[^\s()|+"\\])+)',
    re.DOTALL,
)


def simple(text: str, fields: list[str], every: bool, least: Callable[[int], int] | None = None) -> c.Clause:
    """The clause of what a person typed; `every`: parts without an operator must all be there.

    `least` says how many of the alternatives at the top are needed.
    """
    if text.strip() == "*":
        return c.All()
    found = _Simple(text[:_LONGEST], fields, every).read(0) or c.Nothing()
    parts = _alternatives(found)
    return found if least is None or len(parts) == 1 else c.Or(parts, max(1, least(len(parts))))


def _alternatives(clause: c.Clause) -> list[c.Clause]:
    """What was joined by OR, one part after the other."""
    if not isinstance(clause, _Joined):
        return [clause]
    return [*_alternatives(clause.clauses[0]), *clause.clauses[1:]]


class _Joined(c.Or):
    """Parts of the text, not one part on several fields."""


class _Simple:
    def __init__(self, text: str, fields: list[str], every: bool) -> None:
        self.parts = list(_PART.finditer(text))
        self.fields = fields
        self.every = every
        self.at = 0

    def read(self, depth: int) -> c.Clause | None:
        """Everything up to the bracket that closes this one."""
        found: c.Clause | None = None
        operator = ""
        negative = False
        while self.at < len(self.parts):
            part = self.parts[self.at]
            self.at += 1
            sign = part["sign"]
            if sign == ")":
                if depth:
                    break
                continue
            if sign in {"+", "|"}:
                operator = operator or (sign if found is not None else "")
                continue
            if sign == "-":
                negative = not negative
                continue
            one = self.read(depth + 1) if sign == "(" and depth < _DEEPEST else self.leaf(part)
            if one is None:
                continue
            one = c.Not(one) if negative else one
            if found is None:
                found = one
            elif operator == "+" or (not operator and self.every):
                found = c.And([found, one])
            else:
                found = _Joined([found, one])
            operator, negative = "", False
        return found

    def leaf(self, part: re.Match[str]) -> c.Clause | None:
        """A phrase, or a word with what its last signs make of it."""
        if part["phrase"] is not None:
            text = unescape(part["phrase"])
            return (
                either([phrase(f, text, min(int(part["slop"] or 0), 100)) for f in self.fields])
                if tokens(text) or any(f.endswith(".keyword") for f in self.fields)
                else None
            )
        word = part["word"]
        if word is None:
            return None
        if fuzzy := re.fullmatch(r"(.+)~(\d?)", word, re.DOTALL):
            distance = int(fuzzy[2]) if fuzzy[2] else None
            return either([c.Fuzzy(f, unescape(fuzzy[1]), distance) for f in self.fields])
        if word.endswith("*") and not word.endswith("\\*") and tokens(word):
            return either([c.Words(f, unescape(word[:-1]), prefix=True) for f in self.fields])
        text = unescape(word)
        return either([plain(f, text) for f in self.fields]) if tokens(text) else None
