"""Every key of a search body and every parameter of the searching calls, with values of every shape."""

# ruff: noqa: E501 (tables of names)
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.conformance.elasticsearch.opensearch.requests import Request

_SEARCH = "/logs-*,audit/_search"
_KEYS = [
    "query",
    "post_filter",
    "from",
    "size",
    "search_after",
    "pit",
    "slice",
    "aggs",
    "aggregations",
    "_source",
    "fields",
    "docvalue_fields",
    "stored_fields",
    "highlight",
    "track_total_hits",
    "version",
    "seq_no_primary_term",
    "timeout",
    "explain",
    "profile",
    "track_scores",
    "stats",
    "ext",
    "terminate_after",
    "indices_boost",
    "script_fields",
    "collapse",
    "suggest",
    "rescore",
    "min_score",
    "derived",
    "odd",
]
_VALUES: tuple[Any, ...] = (
    0, 1, -1, 2.5, 10**12, "x", "1", "1s", "true", "", "seq", True, False, None, {}, {"x": 1}, {"x": {}}, [], ["x"],
    [1], [{}], [None], [{"x": 1}], [["x"]],
)  # fmt: skip
_TEXTS = ("true", "false", "", "odd", "1", "-1", "2.5", "1s", "seq,took", "x*")
_INDICES = "ignore_unavailable allow_no_indices expand_wildcards preference "
_PARAMETERS = {
    _SEARCH: _INDICES
    + "filter_path df analyzer analyze_wildcard default_operator lenient _source _source_includes _source_excludes"
    " size from track_total_hits track_scores rest_total_hits_as_int typed_keys timeout search_type version"
    " seq_no_primary_term stored_fields docvalue_fields explain stats request_cache batched_reduce_size"
    " max_concurrent_shard_requests pre_filter_shard_size ccs_minimize_roundtrips allow_partial_search_results"
    " cancel_after_time_interval terminate_after odd",
    "/logs-*/_count": _INDICES + "df analyzer default_operator terminate_after odd size",
    "/logs-*/_field_caps": _INDICES + "fields include_unmapped odd routing",
    "/_mget": "stored_fields preference realtime refresh routing _source _source_includes _source_excludes odd",
    "/_msearch": "search_type max_concurrent_searches max_concurrent_shard_requests pre_filter_shard_size typed_keys"
    " rest_total_hits_as_int ccs_minimize_roundtrips odd size",
}  # fmt: skip
_MAX = {"aggs": {"a": {"max": {"field": "took"}}}, "size": 1, "sort": ["seq"]}
_BODIES = {
    "/_mget": {"docs": [{"_index": "audit", "_id": "d5"}, {"_index": "audit", "_id": "none"}]},
    "/_msearch": [{"index": "logs-*"}, _MAX],
    _SEARCH: _MAX,
}


def keys() -> Iterator[Request]:
    """A search with one key of each shape."""
    for key in _KEYS:
        for value in _VALUES:
            body = {key: value} if key == "size" else {"sort": ["seq"], "size": 1, key: value}
            yield Request("key", "POST", _SEARCH, body)


def parameters() -> Iterator[Request]:
    """A call with one parameter of each shape."""
    for path, names in _PARAMETERS.items():
        fixed = {"fields": "took"} if path.endswith("_field_caps") else {}
        for name in names.split():
            for text in _TEXTS:
                yield Request("parameter", "POST", path, _BODIES.get(path), {**fixed, name: text})
