"""Bytes that a matching line must hold, looked for in a block's body before any line is decoded.

A needle is one or several ASCII words that follow one another with nothing between them but what
separates words. It is looked for in the JSON text lowered byte by byte, so it must also find what
folding makes ASCII of: İ is an i, and the Kelvin sign is a k. A needle may find too much, never
too little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mamimon.logs.clauses.patterns import glob_pieces

# What stands between words in JSON text: escapes written with a letter, and all that is no word byte.
_BETWEEN = rb"(?:\\(?:[nrtbf]|u[0-9a-f]{4})|[^0-9a-z_\n])+"
_ODD = (b"\xc4\xb0", b"\xe2\x84\xaa")
_RUN = re.compile(r"[a-z0-9_]+")
# A piece of these alone may be how a number is shown (1e-05, inf, nan), not how the line spells it.
_NUMERIC = frozenset("0123456789einfa_")
# Numbers that may be shown otherwise than they are spelled: with an exponent, tiny, or of many digits.
_RESPELLED = rb"[:\[,][ \t\r\n]*-?(?:[0-9.]+e|0\.0000|[0-9.]{17})"

Needle = tuple[bytes, ...]
RESPELLED: Needle = (b"\x00",)
"""Not a word but a number that may be shown otherwise than it is spelled."""
_respelled = re.compile(_RESPELLED, re.IGNORECASE)


def respelled(body: bytes, start: int, end: int) -> bool:
    """Whether a line may have a number that is shown otherwise than it is spelled."""
    return _respelled.search(body, start, end) is not None


_FOLDED = bytes(byte | 0x20 for byte in range(256))


def fold_bytes(text: bytes) -> bytes:
    """Bytes as they are searched for words of any case: each with the bit set that tells `a` from `A`.

    Other bytes that become the same (`_` and DEL, digits and controls) do not stand in JSON both.
    """
    return text.translate(_FOLDED)


@lru_cache(256)
def sieve(needles: tuple[Needle, ...], *, odd: bool) -> Any:
    """A google-re2 pattern that finds any of the needles in a body as it is; re2 lets other threads run."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    spelled = _spelled if odd else re.escape
    texts = (
        _RESPELLED if needle == RESPELLED else _BETWEEN.join(spelled(word) for word in needle)
        for needle in needles
    )
    return re2.compile(b"(?i)" + b"|".join(texts), options)


def first_place(needles: tuple[Needle, ...], body: bytes, start: int = 0, *, odd: bool) -> int:
    """Where in a body, from a place on, the first of the needles may be; -1 where none is."""
    if not needles:
        return -1
    found = sieve(needles, odd=odd).search(body, start)
    return -1 if found is None else int(found.start())


def maybe_in(needles: Sequence[Needle], raw: bytes) -> bool:
    """Whether a line may hold one of the needles; tells less than `first_place` and costs less."""
    if not raw.isascii():
        return True
    lowered = raw.lower()
    return any(
        respelled(raw, 0, len(raw)) if needle == RESPELLED else all(word in lowered for word in needle)
        for needle in needles
    )


def needle_of(words: Sequence[str]) -> Needle | None:
    """The needle of a phrase; where a word is not ASCII, the longest one that is."""
    if words and all(word.isascii() for word in words):
        return tuple(word.encode() for word in words)
    plain = [word for word in words if word.isascii()]
    return (max(plain, key=len).encode(),) if plain else None


def glob_needle(pattern: str) -> tuple[Needle, ...] | None:
    """The longest word or part of one that every text matching a wildcard pattern holds.

    Where digits are all there is, the text may also be how a number is shown.
    """
    texts = (text for _, text in glob_pieces(pattern))
    runs = [run for text in texts for run in _RUN.findall(text)]
    if pieces := [run for run in runs if not _NUMERIC.issuperset(run)]:
        return ((max(pieces, key=len).encode(),),)
    digits = [run for run in runs if run.isdecimal() and len(run) > 1]
    return ((max(digits, key=len).encode(),), RESPELLED) if digits else None


def weight(needle: Needle) -> int:
    """Longer needles are rarer."""
    return sum(map(len, needle))


def is_odd(body: bytes) -> bool:
    """Whether a body has characters that are no ASCII but fold to it."""
    return not body.isascii() and any(byte in body for byte in _ODD)


def _spelled(word: bytes) -> bytes:
    return re.escape(word).replace(b"i", b"(?:i|\xc4\xb0)").replace(b"k", b"(?:k|\xe2\x84\xaa)")
