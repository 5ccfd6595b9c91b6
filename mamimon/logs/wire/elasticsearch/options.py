"""The forms that options of queries come in."""

from __future__ import annotations

import re
from typing import Any

from mamimon.logs import clauses as c
from mamimon.logs.wire.elasticsearch.errors import illegal, parsing


def fielded(name: str, body: Any, short: str) -> tuple[str, dict[str, Any]]:
    """`{"field": {...}}`, or with a value in place of the object where the query allows it."""
    check_object(name, body)
    fields = {k: v for k, v in body.items() if k not in {"boost", "_name"}}
    if len(fields) != 1:
        if not fields:
            if name.startswith("match"):
                raise parsing("No text specified for text query")
            raise illegal(f"[{name}] query requires a field")
        raise parsing(f"[{name}] query doesn't support multiple fields, found {list(fields)[:2]}")
    field, options = next(iter(fields.items()))
    if isinstance(options, dict):
        return field, options
    if not short or isinstance(options, list):
        raise parsing(f"[{name}] query does not support [{field}]")
    return field, {short: options}


def check_object(name: str, body: Any) -> None:
    """Refuse a query's body that is not an object."""
    if not isinstance(body, dict):
        raise parsing(f"[{name}] query malformed, no start_object after query name")


def check_analyzer(options: dict[str, Any]) -> None:
    """Refuse an analyzer other than the one that lines are read with."""
    for key in ("analyzer", "quote_analyzer", "search_analyzer"):
        name = options.get(key, "standard")
        if name not in {"standard", "default"}:
            raise illegal(f"analyzer [{str(name)[:60]}] not found")


def texts(value: Any) -> list[str]:
    """One text or a list of them."""
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def unboosted(field: str) -> str:
    """A field without its `^boost`; `*` is every field."""
    return "" if field == "*" else field.partition("^")[0]


def either(parts: list[c.Clause]) -> c.Clause:
    """Any of the clauses."""
    return parts[0] if len(parts) == 1 else c.Or(parts)


def none_or_all(options: dict[str, Any]) -> c.Clause:
    """What a text without a token matches."""
    return c.All() if str(options.get("zero_terms_query", "none")).lower() == "all" else c.Nothing()


def minimum(value: Any, count: int, default: int) -> int:
    """`minimum_should_match`: a number, a percentage, negative for how many may miss."""
    if value is None:
        return default
    text = str(value).strip()
    found = re.fullmatch(r"(-?\d+)(%)?", text)
    if not found:
        return default
    number = int(found[1])
    if found[2]:
        share = int(count * abs(number) / 100)
        number = count - share if number < 0 else share
    elif number < 0:
        number = count + number
    return max(0, number) if number <= count or default == 0 else number
