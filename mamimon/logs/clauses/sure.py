"""What the bytes of a line say about a clause for sure, so that most lines need not be decoded.

Three answers: True and False are those that `match` would give, None is "read the line". Bounds of
time are not looked at: whoever reads the line keeps to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mamimon.logs.clauses.needles import fold_bytes, respelled
from mamimon.logs.model import LEVELS
from mamimon.logs.text import shown

_BACKSLASH, _BRACE = ord("\\"), ord("{")
_WORD_BYTES = frozenset(byte for byte in range(256) if byte >= 0x80 or chr(byte).isalnum() or byte == 0x5F)
_SAID = frozenset({"true", "false", "null"})
_LITERALS = {b"true": True, b"false": False, b"null": None}
# Behind a key: a text that is written as it is, a number that is read without loss, or a literal.
_SCALAR = re.compile(
    rb'[ \t\r\n]*:[ \t\r\n]*(?:"([^"\\\n\x80-\xff]*)"'
    rb"|(-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?)(?=[ \t\r\n]*[,}])|(true|false|null))"
)


class Sure(Protocol):
    """See the module."""

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """Whether the line at `[start, end)` of a body, also given as `fold_bytes` makes it, matches."""
        ...


class SureLevel:
    """The line's stored level is the wanted one; one of another known level is not."""

    def __init__(self, level: int) -> None:
        self._level = level

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        return True if level == self._level else False if level else None


class SureAll:
    """Every part is sure; of parts that are not known (`whole` is False) nothing is."""

    def __init__(self, parts: Sequence[Sure], whole: bool) -> None:
        self._parts = parts
        self._whole = whole

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        answer: bool | None = True if self._whole else None
        for part in self._parts:
            found = part.holds(body, folded, start, end, level)
            if found is False:
                return False
            if found is None:
                answer = None
        return answer


class SureNot:
    """The opposite."""

    def __init__(self, part: Sure) -> None:
        self._part = part

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        found = self._part.holds(body, folded, start, end, level)
        return None if found is None else not found


class SureWords:
    """A phrase stands in a value of the line.

    A word that begins with a letter stands in a string, since it is no number; where no backslash comes
    before the string's end, the next quotation mark is that end, and behind a key comes a colon.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._first = fold_bytes(words[0].encode())
        text = rb'[^0-9A-Za-z_"\\\n\x80-\xff]+'.join(word.encode() for word in words)
        self._here = re.compile(text + rb'(?![0-9A-Za-z_\x80-\xff])[^"\\\n]*"(?![ \t\r\n]*:)', re.IGNORECASE)

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        at = folded.find(self._first, start, end)
        while at >= 0:
            before = body[at - 1]
            # Behind a backslash the letter is an escape's, not a word's.
            if before not in _WORD_BYTES and before != _BACKSLASH and self._here.match(body, at, end):
                return True
            at = folded.find(self._first, at + 1, end)
        return False if _plain(body, start, end) else None


class SureNumber:
    """A number is not in the line, because its first digits stand only inside of words."""

    def __init__(self, digits: str) -> None:
        self._digits = digits.encode()

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        at, size = body.find(self._digits, start, end), len(self._digits)
        while at >= 0:
            if body[at - 1] not in _WORD_BYTES and body[at + size] not in _WORD_BYTES:
                return None
            at = body.find(self._digits, at + 1, end)
        return False if _plain(body, start, end) and not respelled(body, start, end) else None


def _plain(body: bytes, start: int, end: int) -> bool:
    """Whether a line has neither escapes nor letters beyond ASCII, which could be, or be beside, a word."""
    return body.find(b"\\", start, end) < 0 and body[start:end].isascii()


class SureField:
    """The one value that a field has in a line that is a flat object."""

    def __init__(self, field: str, test: Callable[[Any], bool]) -> None:
        self._field = field
        self._test = test
        self._key = f'"{field}"'.encode()
        self._keyword = f'"{field}.keyword"'.encode()

    def holds(self, body: bytes, folded: bytes, start: int, end: int, level: int) -> bool | None:
        """See `Sure.holds`."""
        if body[start] != _BRACE or body.count(b"{", start, end) != 1:
            return None
        # Of a key that is written twice the last counts, as when the line is decoded.
        at = body.rfind(self._key, start, end)
        while at >= 0:
            if body[at - 1] == _BACKSLASH:
                return None
            found = _SCALAR.match(body, at + len(self._key), end)
            if found is not None:
                return self._judge(_scalar(found), level)
            if body[at + len(self._key) :][:1] in b" \t\r\n:[":
                return None
            at = body.rfind(self._key, start, at)
        if body.find(b"\\", start, end) >= 0 or body.find(self._keyword, start, end) >= 0:
            return None
        return self._judge(None, level)

    def _judge(self, value: Any, level: int) -> bool:
        if value is not None and self._test(value):
            return True
        # See `Row.values`.
        name = LEVELS[level] if self._field == "level" else ""
        return bool(name) and (value is None or shown(value).upper() != name) and self._test(name)


def _scalar(found: re.Match[bytes]) -> Any:
    text, number, literal = found.groups()
    if text is not None:
        return text.decode("ascii")
    if number is not None:
        return float(number) if b"." in number else int(number)
    return _LITERALS[literal]


def sure_words(words: Sequence[str], number: bool) -> Sure | None:
    """What is sure about a phrase, or about what may be a number, in any field; None where nothing is."""
    if number:
        return SureNumber(words[0]) if words else None
    plain = words and all(word.isascii() and word[0].isalpha() and word not in _SAID for word in words)
    return SureWords(words) if plain else None


def sure_field(field: str, test: Callable[[Any], bool]) -> Sure | None:
    """What is sure about a field's values, each of which is tested; None where nothing is.

    `field` is a name without `.keyword`, and none that mamimon fills in itself.
    """
    plain = field and field.isascii() and field.isprintable() and not {'"', "\\", "*"} & {*field}
    return SureField(field, test) if plain and not field.endswith(".keyword") else None
