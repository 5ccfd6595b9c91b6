"""Which keys a search body may have, and of what shape; what would change the answer unseen is refused."""

from __future__ import annotations

from typing import Any

from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_field

# As in Elasticsearch's parser: `O` an object, `A` an array, `I` a whole number, `F` a number, `B` a truth,
# `T` a text, `S` any value.
_USED = {
    "query": "O", "post_filter": "O", "from": "I", "size": "I", "sort": "SOA", "search_after": "A",
    "pit": "O", "slice": "O", "aggs": "O", "aggregations": "O", "_source": "SOA", "fields": "A",
    "docvalue_fields": "A", "stored_fields": "TA", "highlight": "O", "track_total_hits": "S",
    "version": "B", "explain": "B", "seq_no_primary_term": "B", "timeout": "S", "track_scores": "B",
}  # fmt: skip
# Without scores, shards that end early and groups of statistics these change nothing.
_HARMLESS = {"ext": "O", "min_score": "F", "stats": "A", "terminate_after": "I", "indices_boost": "OA"}
_REFUSED = {
    "profile": "B", "script_fields": "O", "runtime_mappings": "O", "collapse": "O", "suggest": "O",
    "rescore": "OA", "knn": "OA", "rank": "O", "retriever": "O", "sub_searches": "A",
    "derived": "O",
}  # fmt: skip
# Grafana and Kibana send them empty.
_MAY_BE_EMPTY = {"script_fields", "runtime_mappings", "derived", "profile"}
_SHAPES = {**_USED, **_HARMLESS, **_REFUSED}


def check_body(body: dict[str, Any]) -> None:
    """Refuse unknown keys and shapes in Elasticsearch's words, and keys that a log store does not do."""
    for key, value in body.items():
        check_shape(key, value)
        asked = truth(value) if _SHAPES[key] == "B" else value
        if key in _REFUSED and (asked or key not in _MAY_BE_EMPTY):
            raise illegal(f"[{key}] is not supported by a log store")
    for item in body.get("stats", ()):
        if not isinstance(item, str):
            raise parsing(f"Expected [VALUE_STRING] in [stats] but found [{token(item)}]")
    if "min_score" in body:
        check_score(body["min_score"])
    for name in body.get("ext", {}):
        raise unknown_field("ext", name)


def check_score(least: Any) -> None:
    """Refuse a least score above the one that every line has."""
    if float(least) > 1:
        raise illegal(f"[min_score] of [{least}] is not supported by a log store: every line scores 1")


def boosted(body: dict[str, Any]) -> list[str]:
    """The indices of `indices_boost`, which must be there although no line is scored."""
    boosts = body.get("indices_boost", {})
    for one in boosts if isinstance(boosts, list) else [boosts]:
        if not isinstance(one, dict) or (one is not boosts and len(one) != 1):
            raise parsing(f"Expected [START_OBJECT] in [indices_boost] but found [{token(one)}]")
        for boost in one.values():
            if isinstance(boost, bool) or not isinstance(boost, (int, float)):
                raise parsing(f"Expected [VALUE_NUMBER] in [indices_boost] but found [{token(boost)}]")
    return [name for one in (boosts if isinstance(boosts, list) else [boosts]) for name in one]


def check_shape(key: str, value: Any) -> None:
    """Refuse a key that there is not, and a value that it cannot have."""
    kinds = _SHAPES.get(key, "")
    plain = value is not None and not isinstance(value, (dict, list))
    fits = "O" in kinds if isinstance(value, dict) else "A" in kinds if isinstance(value, list) else plain
    if not fits or (plain and not set(kinds) & set("IFBS" if not isinstance(value, str) else "IFBST")):
        raise parsing(f"Unknown key for a {token(value)} in [{key[:80]}].")
    if "B" in kinds and plain:
        _check_truth(key, value)
    elif {"I", "F"} & set(kinds) and plain:
        _check_number(value, whole="I" in kinds)


def truth(value: Any) -> bool:
    """A truth of a body, which may be spelled."""
    return value in {True, "true"}


def _check_truth(key: str, value: Any) -> None:
    if isinstance(value, bool) or value in ("true", "false", ""):
        return
    if isinstance(value, str):
        raise illegal(f"Failed to parse value [{value[:40]}] as only [true] or [false] are allowed.")
    raise _unread(f"Current token ({token(value)}) not of boolean type: [{key}]")


def _check_number(value: Any, *, whole: bool) -> None:
    if isinstance(value, bool):
        raise _unread(f"Current token ({token(value)}) not numeric, can not use numeric value accessors")
    try:
        number = float(value)
    except ValueError:
        raise EsError(400, "number_format_exception", f'For input string: "{str(value)[:40]}"') from None
    if whole and not -(2**31) <= number < 2**31:
        raise EsError(
            400, "input_coercion_exception", f"Numeric value ({str(value)[:40]}) out of range of int"
        )


def _unread(why: str) -> EsError:
    return EsError(400, "x_content_parse_exception", why)


def token(value: Any) -> str:
    """What Elasticsearch's JSON parser calls a value."""
    if isinstance(value, bool):
        return "VALUE_BOOLEAN"
    if isinstance(value, (int, float)):
        return "VALUE_NUMBER"
    if value is None:
        return "VALUE_NULL"
    if isinstance(value, str):
        return "VALUE_STRING"
    return "START_ARRAY" if isinstance(value, list) else "START_OBJECT"
