"""Bytes that a matching line must hold, looked for in a block's body before any line is decoded.

A needle is one or several ASCII words that follow one another with nothing between them but what
separates words. It is looked for in the JSON text lowered byte by byte, so it must also find what
folding makes ASCII of: İ is an i, and the Kelvin sign is a k. A needle may find too much, never
too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from mamimon.logs.text import fold

# What stands between words in JSON text: escapes written with a letter, and all that is no word byte.
_BETWEEN = rb"(?:\\(?:[nrtbf]|u[0-9a-f]{4})|[^0-9a-z_\n])+"
_ODD = (b"\xc4\xb0", b"\xe2\x84\xaa")
_RUN = re.compile(r"[a-z0-9_]+")
# A piece of these alone may be how a number is shown (1e-05, inf, nan), not how the line spells it.
_NUMERIC = frozenset("0123456789einfa_")

Needle = tuple[bytes, ...]


def needle_of(words: Sequence[str]) -> Needle | None:
    """The needle of a phrase; where a word is not ASCII, the longest one that is."""
    if words and all(word.isascii() for word in words):
        return tuple(word.encode() for word in words)
    plain = [word for word in words if word.isascii()]
    return (max(plain, key=len).encode(),) if plain else None


def glob_needle(pattern: str) -> Needle | None:
    """The longest word or part of one that every text matching a wildcard pattern holds."""
    pieces = [piece for piece in _RUN.findall(fold(pattern)) if not _NUMERIC.issuperset(piece)]
    return (max(pieces, key=len).encode(),) if pieces else None


def weight(needle: Needle) -> int:
    """Longer needles are rarer."""
    return sum(map(len, needle))


def places(needle: Needle, lowered: bytes, line_end: Any) -> Iterator[int]:
    """Where the needle is, one place a line; `line_end` gives the end of the line of a place."""
    if len(needle) == 1 and not any(odd in lowered for odd in _ODD):
        at = lowered.find(needle[0])
        while at >= 0:
            yield at
            at = lowered.find(needle[0], line_end(at))
        return
    pattern = _pattern(needle)
    found = pattern.search(lowered)
    while found:
        yield found.start()
        found = pattern.search(lowered, line_end(found.start()))


@lru_cache(256)
def _pattern(needle: Needle) -> re.Pattern[bytes]:
    return re.compile(_BETWEEN.join(map(_spelled, needle)))


def _spelled(word: bytes) -> bytes:
    return re.escape(word).replace(b"i", b"(?:i|\xc4\xb0)").replace(b"k", b"(?:k|\xe2\x84\xaa)")
