"""The forms that options of queries come in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mamimon.logs import clauses as c
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing


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


def name_of(body: Any) -> str | None:
    """The `_name` of a query, which stands in it or beside what is asked of its field."""
    if not isinstance(body, dict):
        return None
    for holder in (body, *body.values()):
        if isinstance(holder, dict) and isinstance(holder.get("_name"), str):
            return str(holder["_name"])
    return None


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
    """`minimum_should_match`: a number or share, negative for how many may miss, `3<75%` for more than 3."""
    if value is None:
        return default
    text = re.sub(r"\s*<\s*", "<", str(value).strip())
    if "<" not in text:
        return _least(text, count)
    least = count
    for part in text.split():
        above, _, spec = part.partition("<")
        if count <= _whole(above):
            break
        least = _least(spec, count)
    return least


def least_of(body: dict[str, Any]) -> Callable[[int], int] | None:
    """How many of some alternatives are needed, where the query says so."""
    spec = body.get("minimum_should_match")
    return None if spec is None else lambda count: minimum(spec, count, 1)


def _least(text: str, count: int) -> int:
    number = _whole(text.removesuffix("%"))
    if text.endswith("%"):
        share = int(count * abs(number) / 100)
        number = -share if number < 0 else share
    return max(0, count + number if number < 0 or text.startswith("-") else number)


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise EsError(
            400, "query_shard_exception", f'failed to create query: For input string: "{text[:40]}"'
        )
    return int(text)
