"""Which parameters the address of a call may have, and what those of a search say."""

# ruff: noqa: E501 (tables of names)
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mamimon.logs.wire.elasticsearch.body import check_score, check_shape
from mamimon.logs.wire.elasticsearch.errors import illegal
from mamimon.logs.wire.elasticsearch.limits import read_timeout

_COMMON = "pretty human error_trace filter_path format source source_content_type "
_INDICES = "ignore_unavailable allow_no_indices expand_wildcards ignore_throttled "
_NAMED = _INDICES + "preference routing "
_ASKED = "q df analyzer analyze_wildcard default_operator lenient terminate_after min_score "
_SOURCE = "_source _source_includes _source_excludes "
_PARAMETERS = {
    call: frozenset((_COMMON + names).split())
    # What a log store does not do is among them, to be refused by its name.
    for call, names in {
        "search": _NAMED + _ASKED + _SOURCE
        + "_source_include _source_exclude sort size from track_total_hits track_scores rest_total_hits_as_int"
        " typed_keys timeout search_type scroll version seq_no_primary_term stored_fields docvalue_fields explain"
        " stats request_cache batched_reduce_size max_concurrent_shard_requests pre_filter_shard_size"
        " ccs_minimize_roundtrips allow_partial_search_results suggest_field suggest_mode suggest_size suggest_text"
        " force_synthetic_source cancel_after_time_interval search_pipeline include_named_queries_score phase_took"
        " enable_fields_emulation",
        "count": _NAMED + _ASKED,
        "several searches": _NAMED
        + "search_type max_concurrent_searches max_concurrent_shard_requests pre_filter_shard_size typed_keys"
        " rest_total_hits_as_int ccs_minimize_roundtrips cancel_after_time_interval",
        "bulk": _SOURCE
        + "refresh routing timeout pipeline wait_for_active_shards require_alias require_data_stream type"
        " list_executed_pipelines include_source_on_error batch_size",
        "several documents": _SOURCE + "stored_fields preference realtime refresh routing force_synthetic_source",
        "fields": _INDICES + "fields include_unmapped filters types include_empty_fields",
    }.items()
}  # fmt: skip
_TRUTHS = {
    "pretty", "human", "ignore_unavailable", "allow_no_indices", "analyze_wildcard", "lenient", "track_scores",
    "rest_total_hits_as_int", "typed_keys", "version", "seq_no_primary_term", "explain", "request_cache", "require_alias",
    "allow_partial_search_results", "ccs_minimize_roundtrips", "include_unmapped", "realtime", "v", "help", "pri",
}  # fmt: skip
_LEAST = {
    "terminate_after": 0, "batched_reduce_size": 2, "max_concurrent_shard_requests": 1, "pre_filter_shard_size": 1,
    "max_concurrent_searches": 1,
}  # fmt: skip
_CHOICES = {"refresh": "true|false|wait_for|", "wait_for_active_shards": r"\d{1,9}|all"}
_TIMES = ("cancel_after_time_interval", "timeout", "master_timeout", "cluster_manager_timeout")
_OF_QUERY = {"df", "analyzer", "analyze_wildcard", "default_operator", "lenient"}
_WILDCARDS = {"", "open", "closed", "hidden", "none", "all"}
_FILTERS = {"+metadata", "-metadata", "-parent", "-nested", "-multifield"}
_REFUSED = ("suggest_field", "search_pipeline")


def check_parameters(call: str, path: str, given: dict[str, str]) -> None:
    """Refuse parameters of an address that the call does not have, does not do or cannot read."""
    # What belongs to the query of an address is nobody's where there is none.
    known = _PARAMETERS[call] if "q" in given else _PARAMETERS[call] - _OF_QUERY
    if unknown := set(given) - known:
        names = ", ".join(f"[{one[:60]}]" for one in sorted(unknown))
        raise illegal(f"request [{path}] contains unrecognized parameter{'s' * (len(unknown) > 1)}: {names}")
    check_values(given)
    for name in _REFUSED:
        if given.get(name):
            raise illegal(f"[{name}] is not supported by a log store")
    if given.get("search_type", "query_then_fetch") not in {"query_then_fetch", "dfs_query_then_fetch"}:
        raise illegal(f"No search type for [{given['search_type'][:40]}]")


def check_values(given: dict[str, str]) -> None:
    """Refuse values of parameters that cannot be read."""
    for name, text in given.items():
        if name in _TRUTHS and text not in {"", "true", "false"}:
            raise illegal(f"Failed to parse value [{text[:40]}] as only [true] or [false] are allowed.")
        if name in _LEAST and not (re.fullmatch(r"\d{1,9}", text) and int(text) >= _LEAST[name]):
            raise illegal(f"Failed to parse int parameter [{name}] with value [{text[:40]}]")
        if name == "min_score":
            check_shape(name, text)
            check_score(text)
        if name in _TIMES:
            read_timeout(text)
        if name in _CHOICES and not re.fullmatch(_CHOICES[name], text):
            raise illegal(f"Unknown value for [{name}]: [{text[:40]}].")
        if name == "expand_wildcards" and (odd := set(text.split(",")) - _WILDCARDS):
            raise illegal(f"No valid expand wildcard value [{min(odd)[:40]}]")


def merged(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
    """A search body with what its address says of the hits, which comes first."""
    shown = dict(body)
    for key, name in (("_source_includes", "includes"), ("_source_excludes", "excludes")):
        if params.get(key):
            old = shown.get("_source") if isinstance(shown.get("_source"), dict) else {}
            shown["_source"] = {**(old or {}), name: params[key].split(",")}
    if params.get("_source"):
        text = params["_source"]
        shown["_source"] = text == "true" if text in {"true", "false"} else text.split(",")
    for key in ("stored_fields", "docvalue_fields"):
        if key in params:
            shown[key] = params[key].split(",")
    for key in ("version", "seq_no_primary_term", "explain", "track_scores"):
        if key in params:
            shown[key] = params[key] == "true"
    return shown


def field_filter(params: dict[str, str]) -> Callable[[str, str, bool], bool]:
    """`types` and `filters` of `_field_caps`: whether a field of a name and type is shown; or a second one."""
    types = {one for one in params.get("types", "").split(",") if one}
    filters = [one for one in params.get("filters", "").split(",") if one]
    for one in filters:
        if one not in _FILTERS:
            raise illegal(f"Unknown field caps filter [{one[:40]}]")

    def kept(path: str, kind: str, twice: bool) -> bool:
        told = {"metadata": path[0] == "_", "multifield": twice, "parent": kind in {"object", "nested"}}
        wanted = all(told.get(one[1:], False) == (one[0] == "+") for one in filters)
        return wanted and (not types or kind in types)

    return kept
