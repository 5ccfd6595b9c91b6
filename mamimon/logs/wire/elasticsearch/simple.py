"""`simple_query_string`: a language that has no mistakes."""

from __future__ import annotations

import re

from mamimon.logs import clauses as c
from mamimon.logs.lucene import plain
from mamimon.logs.text import tokens
from mamimon.logs.wire.elasticsearch.options import either


def simple(text: str, fields: list[str], every: bool) -> c.Clause:
    """The clause of what a person typed."""
    return _Simple(text, fields, every).read()


class _Simple:
    """`simple_query_string`'s own small language: + | - "phrase" ( ) word*."""

    def __init__(self, text: str, fields: list[str], every: bool) -> None:
        self.parts = re.findall(r'"[^"]*"(?:~\d+)?|[()|+]|-|[^\s()|+"]+', text[:32_768])
        self.fields = fields
        self.every = every
        self.at = 0

    def read(self, depth: int = 0) -> c.Clause:
        groups: list[list[c.Clause]] = [[]]
        sign, joined = False, False
        while self.at < len(self.parts):
            part = self.parts[self.at]
            self.at += 1
            if part == ")" and depth:
                break
            if part == "|":
                groups.append([])
            elif part == "+":
                joined = True
            elif part == "-":
                sign = True
            else:
                if part.startswith("-") and len(part) > 1:
                    sign, part = True, part[1:]
                clause = self.read(depth + 1) if part == "(" and depth < 20 else self.word(part)
                if clause is None:
                    continue
                if sign:
                    clause = c.Not(clause)
                if groups[-1] and not (self.every or joined or sign):
                    groups.append([])
                groups[-1].append(clause)
                sign = joined = False
        known = [group[0] if len(group) == 1 else c.And(group) for group in groups if group]
        return either(known) if known else c.Nothing()

    def word(self, part: str) -> c.Clause | None:
        if part.startswith('"'):
            return either([c.Words(f, part.strip('"')) for f in self.fields])
        if part.endswith("*") and tokens(part):
            return either([c.Words(f, part[:-1], prefix=True) for f in self.fields])
        return either([plain(f, part) for f in self.fields]) if tokens(part) else None
