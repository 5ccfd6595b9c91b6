"""Which keys a search body may have: what is not known, or would change the answer unseen, is refused."""

from __future__ import annotations

from typing import Any

from mamimon.logs.wire.elasticsearch.errors import illegal, parsing

_USED = {
    "query", "post_filter", "from", "size", "sort", "search_after", "pit", "slice", "aggs", "aggregations",
    "_source", "fields", "docvalue_fields", "stored_fields", "highlight", "track_total_hits", "version",
    "seq_no_primary_term", "timeout",
}  # fmt: skip
# These ask how something was found, or to stop early: the answer is right without them.
_HARMLESS = {
    "explain", "profile", "track_scores", "stats", "ext", "terminate_after", "indices_boost",
}  # fmt: skip
_REFUSED = {
    "script_fields", "runtime_mappings", "collapse", "suggest", "rescore", "min_score", "knn", "rank",
    "retriever", "sub_searches", "derived",
}  # fmt: skip


def check_body(body: dict[str, Any]) -> None:
    """Refuse unknown keys in Elasticsearch's words, and those that a log store does not do."""
    for key, value in body.items():
        if key in _USED or key in _HARMLESS:
            continue
        if key in _REFUSED:
            if value in (None, {}, []):
                continue
            raise illegal(f"[{key}] is not supported by a log store")
        raise parsing(f"Unknown key for a {token(value)} in [{key[:80]}].")


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
