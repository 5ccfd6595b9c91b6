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
from typing import Any, Protocol

import msgspec

from mamimon.logs.clauses.patterns import glob_pieces

# What stands between words in JSON text: escapes written with a letter, and all that is no word byte.
_BETWEEN = rb"(?:\\(?:[nrtbf]|u[0-9a-f]{4})|[^0-9a-z_\n])+"
_ODD = (b"\xc4\xb0", b"\xe2\x84\xaa")
_RUN = re.compile(r"[a-z0-9_]+")
# A piece of these alone may be how a number is shown (1e-05, inf, nan), not how the line spells it.
_NUMERIC = frozenset("0123456789einfa_")

_SAID = frozenset({"true", "false", "null"})

Needle = tuple[bytes, ...]


class Line(msgspec.Struct):
    """Where a line stands in a block's body, whose bytes are also given lowered."""

    body: bytes
    lowered: bytes
    start: int
    end: int
    level: int


class Sure(Protocol):
    """Tells of some lines that they match, without decoding them; others may match all the same."""

    def holds(self, line: Line) -> bool:
        """Whether the line surely matches."""
        ...


class SureLevel:
    """The line's stored level is the wanted one."""

    def __init__(self, level: int) -> None:
        self._level = level

    def holds(self, line: Line) -> bool:
        """See `Sure.holds`."""
        return line.level == self._level


class SureAll:
    """Every part is sure."""

    def __init__(self, parts: Sequence[Sure]) -> None:
        self._parts = parts

    def holds(self, line: Line) -> bool:
        """See `Sure.holds`."""
        return all(part.holds(line) for part in self._parts)


class SureWords:
    """A phrase stands in a value of the line.

    A word that begins with a letter stands in a string, since it is no number; where no backslash comes
    before the string's end, the next quotation mark is that end, and behind a key comes a colon.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._first = words[0].encode()
        self._here = re.compile(_phrase(words) + rb"(?![ \t]*:)")

    def holds(self, line: Line) -> bool:
        """See `Sure.holds`."""
        lowered, at = line.lowered, line.start
        while (at := lowered.find(self._first, at, line.end)) >= 0:
            if lowered[at - 1] not in _WORD_BYTES and self._here.match(lowered, at, line.end):
                return True
            at += 1
        return False


class SureField:
    """A field of the line, which is one flat object, has the phrase or the number."""

    def __init__(self, field: str, words: Sequence[str], number: str) -> None:
        self._key = f'"{field}"'.encode()
        lead = rb"(?<!\\)" + re.escape(self._key.lower()) + rb"[ \t]*:[ \t]*"
        before = rb'"(?:[^"\\\n]*[^0-9a-z_"\\\n\x80-\xff])?'
        text = re.escape(number.encode()) + rb"[ \t]*[,}]" if number else before + _phrase(words)
        self._pattern = re.compile(lead + text)

    def holds(self, line: Line) -> bool:
        """See `Sure.holds`."""
        return (
            line.lowered.count(b"{", line.start, line.end) == 1
            and line.body.find(self._key, line.start, line.end) >= 0
            and self._pattern.search(line.lowered, line.start, line.end) is not None
        )


class SureValue:
    """A field of the line, which is one flat object, is exactly a text that JSON writes as it is."""

    def __init__(self, field: str, text: str) -> None:
        self._pattern = re.compile(rb"(?<!\\)" + re.escape(f'"{field}":"{text}"'.encode()))

    def holds(self, line: Line) -> bool:
        """See `Sure.holds`."""
        return (
            line.body.count(b"{", line.start, line.end) == 1
            and self._pattern.search(line.body, line.start, line.end) is not None
        )


_WORD_BYTES = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz_") | frozenset(range(0x80, 0x100))


def _phrase(words: Sequence[str]) -> bytes:
    text = rb'[^0-9a-z_"\\\n\x80-\xff]+'.join(word.encode() for word in words)
    return text + rb'(?![0-9a-z_\x80-\xff])[^"\\\n]*"'


def sure_of(field: str, words: Sequence[str], number: str) -> Sure | None:
    """What is sure about a phrase, or about a number as JSON writes it; None where nothing is."""
    if not words or not all(word.isascii() for word in words):
        return None
    plain = all(word[0].isalpha() and word not in _SAID for word in words)
    if field not in {"", "*"}:
        return SureField(field, words, number)
    return SureWords(words) if plain and not number else None


def sure_value(field: str, text: str) -> Sure | None:
    """What is sure about a field's whole value; None where nothing is."""
    plain = text.isascii() and text.isprintable() and not {'"', "\\"} & {*text, *field}
    return SureValue(field, text) if plain and "*" not in field and field else None


@lru_cache(256)
def sieve(needles: tuple[Needle, ...], *, odd: bool) -> Any:
    """A google-re2 pattern that finds any of the needles in a body as it is; re2 lets other threads run."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    spelled = _spelled if odd else re.escape
    return re2.compile(
        b"(?i)" + b"|".join(_BETWEEN.join(spelled(word) for word in needle) for needle in needles), options
    )


def first_place(needles: tuple[Needle, ...], body: bytes, start: int = 0) -> int:
    """Where in a body, from a place on, the first of the needles may be; -1 where none is."""
    if not needles:
        return -1
    odd = not body.isascii() and any(byte in body for byte in _ODD)
    found = sieve(needles, odd=odd).search(body, start)
    return -1 if found is None else int(found.start())


def maybe_in(needles: Sequence[Needle], raw: bytes) -> bool:
    """Whether a line may hold one of the needles; tells less than `first_place` and costs less."""
    if not raw.isascii():
        return True
    lowered = raw.lower()
    return any(all(word in lowered for word in needle) for needle in needles)


def needle_of(words: Sequence[str]) -> Needle | None:
    """The needle of a phrase; where a word is not ASCII, the longest one that is."""
    if words and all(word.isascii() for word in words):
        return tuple(word.encode() for word in words)
    plain = [word for word in words if word.isascii()]
    return (max(plain, key=len).encode(),) if plain else None


def glob_needle(pattern: str) -> Needle | None:
    """The longest word or part of one that every text matching a wildcard pattern holds."""
    texts = (text for _, text in glob_pieces(pattern))
    pieces = [run for text in texts for run in _RUN.findall(text) if not _NUMERIC.issuperset(run)]
    return (max(pieces, key=len).encode(),) if pieces else None


def weight(needle: Needle) -> int:
    """Longer needles are rarer."""
    return sum(map(len, needle))


def places(needle: Needle, lowered: bytes, line_end: Any, start: int = 0) -> Iterator[int]:
    """Where the needle is, one place a line from `start` on; `line_end` is the end of a place's line."""
    if len(needle) == 1 and (lowered.isascii() or not any(odd in lowered for odd in _ODD)):
        at = lowered.find(needle[0], start)
        while at >= 0:
            yield at
            at = lowered.find(needle[0], line_end(at))
        return
    pattern = _pattern(needle)
    found = pattern.search(lowered, start)
    while found:
        yield found.start()
        found = pattern.search(lowered, line_end(found.start()))


@lru_cache(256)
def _pattern(needle: Needle) -> re.Pattern[bytes]:
    return re.compile(_BETWEEN.join(map(_spelled, needle)))


def _spelled(word: bytes) -> bytes:
    return re.escape(word).replace(b"i", b"(?:i|\xc4\xb0)").replace(b"k", b"(?:k|\xe2\x84\xaa)")
