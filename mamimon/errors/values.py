"""Bounded texts, numbers and tables of whatever a client sent; nothing here raises for a strange value."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Iterator
from itertools import islice
from typing import Any

MAX_TEXT = 8192
MAX_ITEMS = 200
MAX_DEPTH = 8
WIDE = 2**63
_ID = re.compile(r"^[0-9a-fA-F]{32}$")


def event_id(value: Any) -> str:
    """A client's event id as 32 hex digits, or a new one where it sent none that can be used."""
    found = str(value or "").replace("-", "").lower()
    return found if _ID.match(found) else uuid.uuid4().hex


def instant(value: Any) -> float | None:
    """Epoch seconds from a number or an ISO 8601 text; None where it is neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        number = float(value)
    else:
        try:
            number = float(value)
        except (TypeError, ValueError):
            try:
                parsed = dt.datetime.fromisoformat(str(value)[:40])
            except ValueError:
                return None
            # Clients of old send UTC without saying so.
            number = (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()
        except OverflowError:
            return None
    return number if math.isfinite(number) and 0 < number < 1e11 else None


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """A bounded text of any scalar without NUL and lone surrogates; empty for none."""
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value  # nearly all of them
    if value is None or isinstance(value, dict | list):
        return ""
    words: str = str(value).replace("\x00", "␀")
    if not words.isascii():
        words = words.encode("utf-8", "replace").decode("utf-8")
    return words if len(words) <= limit else words[: limit - 1] + "…"


def clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Any JSON value with bounded depth, length and texts; non-finite numbers become texts."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_TEXT and value.isascii() and "\x00" not in value else text(value)
    if kind is int:
        return value if -WIDE < value < WIDE else str(value)
    if value is None or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) and abs(value) < WIDE else str(value)
    if depth <= 0:
        return "…"
    if isinstance(value, list):
        kept = [clean(item, depth - 1) for item in value[:MAX_ITEMS]]
        return kept if len(value) <= MAX_ITEMS else [*kept, "…"]
    if isinstance(value, dict):
        return {key: clean(item, depth - 1) for key, item in pairs(value)}
    return text(value)


def pairs(value: Any, limit: int = MAX_ITEMS) -> Iterator[tuple[str, Any]]:
    """Names and values of a table, or of a list of pairs; at most `limit`."""
    if isinstance(value, dict):
        for key, item in value.items() if len(value) <= limit else islice(value.items(), limit):
            yield text(key, 200), item
    elif isinstance(value, list):
        for item in value[:limit]:
            if isinstance(item, list) and len(item) == 2:
                yield text(item[0], 200), item[1]


def table(value: Any) -> dict[str, Any]:
    """`value`, or an empty table where it is none."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> list[Any]:
    """`value`, or an empty list where it is none."""
    return value if isinstance(value, list) else []


def values(value: Any) -> list[Any]:
    """Sentry's `{"values": […]}` or a bare list, or one bare object."""
    if isinstance(value, dict):
        return entries(value["values"]) if "values" in value else [value]
    return entries(value)
