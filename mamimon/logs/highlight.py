"""Where a query's words are in a text: for `highlight` answers and for the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mamimon.logs import clauses as c
from mamimon.logs.text import fold

_TOKEN = re.compile(r"\w+")


def wanted(clause: c.Clause) -> Iterator[tuple[str, list[str], bool]]:
    """The words that the clauses look for: field, words, and whether the last is a prefix."""
    if isinstance(clause, (c.And, c.Or)):
        for inner in clause.clauses:
            yield from wanted(inner)
    elif isinstance(clause, c.Words) and not clause.slop:
        yield clause.field, clause.words, clause.prefix
    elif isinstance(clause, c.Words):
        # Words that may have moved are found one by one.
        for n, word in enumerate(clause.words, 1):
            yield clause.field, [word], clause.prefix and n == len(clause.words)
    elif isinstance(clause, c.Exact):
        yield clause.field, clause.spelled.words, False
    elif isinstance(clause, c.Pattern) and clause.starts:
        yield clause.field, [clause.starts], True


def spans(clause: c.Clause, field: str, text: str, *, anywhere: bool = False) -> list[tuple[int, int]]:
    """Start and end of each marked place in a field's text, in order and not overlapping.

    `anywhere`: of words that are looked for in other fields, too.
    """
    have = [(fold(found.group()), *found.span()) for found in _TOKEN.finditer(text)]
    places: set[tuple[int, int]] = set()
    for name, words, prefix in wanted(clause):
        if not words or not (
            anywhere
            or name in {"", "*", field}
            or ("*" in name and c.glob(name, fold_case=False).fullmatch(field))
        ):
            continue
        for i in range(len(have) - len(words) + 1):
            if all(
                have[i + j][0] == word or (prefix and j == len(words) - 1 and have[i + j][0].startswith(word))
                for j, word in enumerate(words)
            ):
                places.add((have[i][1], have[i + len(words) - 1][2]))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def marked(
    clause: c.Clause, field: str, text: str, before: str, after: str, *, anywhere: bool = False
) -> str | None:
    """The text with tags around what was looked for, or None where nothing of it is there."""
    found = spans(clause, field, text, anywhere=anywhere)
    if not found:
        return None
    parts: list[str] = []
    at = 0
    for start, end in found:
        parts += [text[at:start], before, text[start:end], after]
        at = end
    return "".join([*parts, text[at:]])
