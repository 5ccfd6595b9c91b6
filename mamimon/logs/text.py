"""Text as the index sees it: folding, tokens, and the values of a field in a document.

A token is a run of letters, digits and underscores. SQLite's `unicode61` with `tokenchars '_'` has
the tables of an old Unicode, in which younger signs (₺, many emoji) and accents that stand alone are
parts of words: `indexed_text` takes them out, so that the block index never misses what a row check
would find. `indexable` says of which words the index knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

TOKENIZER = "unicode61 remove_diacritics 0 tokenchars ''_''"
_TOKEN = re.compile(r"\w+")
_PAIR = re.compile(r"\b([a-z]+)\W+(?=([a-z]+)\b)")
_ESCAPE = re.compile(r"\\(?:[\\ntrbf]|u00[0-9a-fA-F]{2})")
_NO_WORD = re.compile(r"[^\w\x00-\x7f]+")
# Everything outside the blocks whose every character unicode61 and we see alike.
_ODD = re.compile(
    r"[^\x00-\u02af\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03ff\u0400-\u0481\u048a-\u052f\u05d0-\u05ea\u0620-\u064a\u2010-\u2027"
    r"\u2030-\u205e\u20a0-\u20b9\u2190-\u23e6\u2500-\u26ff\u2701-\u27bf\u3000-\u3029\u3041-\u3096\u30a0-\u30ff"
    r"\u4e00-\u9fcc\uac00-\ud7a3]"
)
# Letters to us, separators to unicode61.
_CUT = re.compile("[\u19b0-\u19c0\u19c8\u19c9\u1cf2\u1cf3]")


def fold(text: str) -> str:
    """`text` without the difference of upper and lower case, composed (NFC)."""
    if text.isascii():
        return text.lower()
    # Python lowers İ to i and a combining dot, which would make a token of its own.
    text = text.replace("İ", "i").lower()
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def tokens(text: str) -> list[str]:
    """The tokens of `text`, folded, in order."""
    return _TOKEN.findall(fold(text))


def indexed_text(body: str) -> str:
    """What FTS5 is handed for a block of JSON lines: folded, with JSON's escapes taken out."""
    if "\\" in body:
        body = _ESCAPE.sub("  ", body)
    body = fold(body)
    if body.isascii():
        return body
    return _NO_WORD.sub(" ", body) if _ODD.search(body) else body


PAIRED = "__paired"
"""Stands in the index of each block whose pairs of words are in it too."""


def pair_mark(first: str, second: str) -> str | None:
    """The token for two words that follow one another; only words of plain letters have one."""
    plain = first.isascii() and second.isascii() and first.isalpha() and second.isalpha()
    return f"__{first}__{second}" if plain else None


def pair_marks(text: str) -> str:
    """The tokens of all pairs of words in an indexed text's values, and the mark that they are there."""
    # What stands between quotation marks is mostly said again and again; a digit keeps the pieces apart.
    pieces = set(text.replace('\\"', "  ").split('"'))
    pairs = set(_PAIR.findall(" 0 ".join(pieces)))
    return " ".join([PAIRED, *(f"__{first}__{second}" for first, second in pairs)])


def indexable(word: str) -> bool:
    """Whether the block index holds the token as one word."""
    return word.isascii() or _CUT.search(word) is None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a document with its dotted path; a list's elements share the list's path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None:
        yield path, value


def lookup(document: Any, field: str) -> list[Any]:
    """The scalars of a field, given as a dotted path; a dot may also be part of a key."""
    found: list[Any] = []
    _gather(document, field, found)
    return found


def _gather(node: Any, field: str, found: list[Any]) -> None:
    if isinstance(node, list):
        for one in node:
            _gather(one, field, found)
    elif isinstance(node, dict):
        value = node.get(field)
        if isinstance(value, list):
            _scalars(value, found)
        elif value is not None and not isinstance(value, dict):
            found.append(value)
        start = field.find(".")
        while start >= 0:
            inner = node.get(field[:start])
            if isinstance(inner, (dict, list)):
                _gather(inner, field[start + 1 :], found)
            start = field.find(".", start + 1)


def _scalars(values: list[Any], found: list[Any]) -> None:
    for value in values:
        if isinstance(value, list):
            _scalars(value, found)
        elif value is not None and not isinstance(value, dict):
            found.append(value)


def shown(value: Any) -> str:
    """A scalar as text, as it would be typed in a query."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def number_of(text: str) -> float | None:
    """The finite number that `text` spells, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value - value == 0.0 and "_" not in text else None


def exact_number_of(text: str) -> float | None:
    """`number_of` without loss: a whole number is an `int`, which has no end of its precision at 2^53."""
    value = number_of(text)
    whole = value is not None and len(text) < 400 and text.strip().lstrip("+-").isdecimal()
    return int(text) if whole else value
