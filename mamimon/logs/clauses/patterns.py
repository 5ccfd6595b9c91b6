"""Wildcards, edit distances, and the texts of index expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mamimon.logs.text import PAIRED, fold, indexable, pair_mark

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,300})(\.[0-9]{1,300})?")


def glob(pattern: str, *, fold_case: bool = True) -> Any:
    """A compiled `*`/`?` pattern (google-re2, so linear); a backslash takes a character as it is."""
    import re2

    wild = {"*": "(?s:.*)", "?": "(?s:.)"}
    return re2.compile(
        "".join(wild[w] if w else re2.escape(t) for w, t in glob_pieces(pattern, fold_case=fold_case))
    )


def glob_pieces(pattern: str, *, fold_case: bool = True) -> list[tuple[str, str]]:
    """A pattern in order: ("*" or "?", "") and ("", a text that stands for itself, folded if asked for)."""
    pieces: list[tuple[str, str]] = []
    text = ""
    for found in re.finditer(r"\\(.)|([*?])|([^\\])|\\$", pattern, re.DOTALL):
        if found[2]:
            pieces += [("", text)] * bool(text) + [(found[2], "")]
            text = ""
        else:
            text += found[1] or found[3] or "\\"
    pieces += [("", text)] * bool(text)
    # Folded whole, because a character and the accent behind it become one.
    return [(w, fold(t)) for w, t in pieces] if fold_case else pieces


def literal_start(pattern: str) -> str:
    """What every text that fits a wildcard pattern begins with, folded."""
    pieces = glob_pieces(pattern)
    return "" if not pieces or pieces[0][0] else pieces[0][1]


def edits(left: str, right: str, limit: int) -> int:
    """Optimal string alignment distance, or more than `limit` as soon as that is certain."""
    if abs(len(left) - len(right)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return last[-1]


def plain_number(text: str) -> float | None:
    """The number that `text` spells the way JSON does, without an exponent; else None.

    `007` and `8e12` are text: as numbers they could be spelled in many ways, which an index of
    words cannot find. A whole number is an `int`: a float would be equal to its neighbours beyond 2^53.
    """
    found = _NUMBER.fullmatch(text)
    return None if not found else float(text) if found[2] else int(text)


def word_index(words: Sequence[str], *, prefix: bool = False, phrase: bool = False) -> str | None:
    """An FTS5 expression true of blocks that hold all the words; with `prefix` the last may go on.

    With `phrase` the words follow one another: blocks that know their pairs of words hold those, too.
    """
    parts = [f'"{word}"' for word in words if indexable(word)]
    if prefix and words and indexable(words[-1]):
        parts[-1] += " *"
    found = join(" AND ", list(dict.fromkeys(parts)))
    whole = words[:-1] if prefix else words
    marks = [mark for one in pairwise(whole) if (mark := pair_mark(*one))] if phrase else []
    if found is None or not marks:
        return found
    pairs = join(" AND ", [f'"{mark}"' for mark in dict.fromkeys(marks)])
    return f'({found} NOT ("{PAIRED}" NOT {pairs}))'


def join(word: str, parts: list[str]) -> str | None:
    """An FTS5 expression of several parts; None where there is none."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
