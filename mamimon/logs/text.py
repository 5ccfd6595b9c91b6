"""Text as the index sees it: folding, tokens, and the values of a field in a document.

A token is a run of letters, digits and underscores; SQLite's `unicode61` with `tokenchars '_'`
cuts folded text at the same places, so the block index never misses what a row check would find.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

TOKENIZER = "unicode61 remove_diacritics 0 tokenchars ''_''"
_TOKEN = re.compile(r"\w+")
_UNICODE_ESCAPE = re.compile(r"\\u00[0-9a-fA-F]{2}")


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
        body = body.replace("\\\\", "  ")
        for escape in ("\\n", "\\t", "\\r", "\\b", "\\f"):
            body = body.replace(escape, "  ")
        if "\\u" in body:
            body = _UNICODE_ESCAPE.sub(" ", body)
    return fold(body)


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
    if not isinstance(document, dict):
        return []
    if field in document:
        value = document[field]
        if isinstance(value, (dict, list)):
            return [scalar for _, scalar in leaves(value)] if isinstance(value, list) else []
        return [] if value is None else [value]
    found: list[Any] = []
    start = field.find(".")
    while start > 0:
        inner = document.get(field[:start])
        if isinstance(inner, dict):
            found += lookup(inner, field[start + 1 :])
        elif isinstance(inner, list):
            for one in inner:
                found += lookup(one, field[start + 1 :])
        start = field.find(".", start + 1)
    return found


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
