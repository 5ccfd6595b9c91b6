"""Any value as plain data: what JSON can hold, bounded, without running the application's code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 16_384
MAX_MESSAGE = 65_536
MAX_ITEMS = 100
MAX_DEPTH = 6

_SCALARS = frozenset((str, int, float, bool, type(None)))


def plain(value: Any, depth: int = 0) -> Any:
    """Copy a value into JSON types: containers up to six levels and 100 items, text up to 16 KiB.

    Other objects are shown by `str()`, as logging itself would; an object whose `str()` raises by its type.
    """
    kind = type(value)
    if kind in _SCALARS:
        if kind is str and len(value) > MAX_TEXT:
            return value[:MAX_TEXT] + "…"
        if kind is float and not math.isfinite(value):
            return str(value)
        return value
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return "…"
        return {_key(key): plain(item, depth + 1) for key, item in _first(value.items())}
    if isinstance(value, (list, tuple, set, frozenset)):
        return "…" if depth >= MAX_DEPTH else [plain(item, depth + 1) for item in _first(value)]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:MAX_TEXT]).decode("utf-8", "replace")
    try:
        return str(value)[:MAX_TEXT]
    except Exception:
        return f"<{kind.__module__}.{kind.__qualname__}>"


def _key(key: Any) -> str:
    return key if type(key) is str else str(plain(key))


def _first(items: Any) -> list[Any]:
    if len(items) <= MAX_ITEMS:
        return list(items)
    return [item for item, _ in zip(items, range(MAX_ITEMS))]


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=str, check_circular=False
).encode


def dump(document: Mapping[str, Any]) -> bytes:
    """One line of JSON in UTF-8; lone surrogates become question marks."""
    return _encode(document).encode("utf-8", "replace")
