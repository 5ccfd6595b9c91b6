"""Which options queries and aggregations have: others are mistakes, refused in Elasticsearch's words."""

# ruff: noqa: E501 (tables of names)
from __future__ import annotations

from typing import Any

from mamimon.logs.text import number_of, shown
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_field, unparsed

_FULL_TEXT = "query analyzer boost _name zero_terms_query "
_FUZZY = "fuzziness prefix_length max_expansions fuzzy_rewrite fuzzy_transpositions "
_MATCH = (
    _FULL_TEXT
    + _FUZZY
    + "operator minimum_should_match lenient auto_generate_synonyms_phrase_query cutoff_frequency "
)
_SHAPE = "value boost rewrite case_insensitive _name "
_STRING = (
    "query fields default_operator analyzer lenient minimum_should_match quote_field_suffix analyze_wildcard"
    " auto_generate_synonyms_phrase_query fuzzy_max_expansions fuzzy_prefix_length fuzzy_transpositions boost _name "
)
_QUERIES = {
    name: frozenset(options.split())
    for name, options in {
        "match": _MATCH,
        "match_phrase": _FULL_TEXT + "slop",
        "match_phrase_prefix": _FULL_TEXT + "slop max_expansions",
        "match_bool_prefix": _MATCH,
        "multi_match": _MATCH + "fields type tie_breaker slop",
        "term": "value boost _name case_insensitive",
        "prefix": _SHAPE + "prefix",
        "wildcard": _SHAPE + "wildcard",
        "regexp": _SHAPE + "flags flags_value max_determinized_states",
        "fuzzy": "value fuzziness prefix_length max_expansions transpositions rewrite boost _name",
        "range": "gt gte lt lte from to include_lower include_upper format time_zone boost relation _name",
        "query_string": _STRING
        + "default_field quote_analyzer allow_leading_wildcard enable_position_increments"
        " fuzziness fuzzy_rewrite phrase_slop max_determinized_states rewrite tie_breaker time_zone type escape",
        "simple_query_string": _STRING + "flags",
        "exists": "field boost _name",
        "ids": "values type boost _name",
        "constant_score": "filter boost _name",
        "boosting": "positive negative negative_boost boost _name",
        "function_score": "query functions score_mode boost_mode max_boost min_score boost weight random_score"
        " field_value_factor script_score gauss linear exp _name",
        "dis_max": "queries tie_breaker boost _name",
    }.items()
}
_OPERATORS = {"and", "or"}
_MULTI = {"best_fields", "most_fields", "cross_fields", "phrase", "phrase_prefix", "bool_prefix"}

# `I` a whole number from 0, `P` from 1, `F` a number, `B` a truth; the others may be anything here.
_VALUES = "field missing script format value_type time_zone "
_COUNTED = "min_doc_count:I shard_min_doc_count:I size:P shard_size:P order show_term_doc_count_error:B collect_mode "
_NUMBER = _VALUES
_SPREAD = _VALUES + "percents values keyed:B tdigest hdr method "
_SEARCHED = (
    "from:F size:F sort _source fields docvalue_fields stored_fields highlight version:B"
    " seq_no_primary_term:B explain:B track_scores:B script_fields"
)
_AGGREGATIONS = {
    name: {part.partition(":")[0]: part.partition(":")[2] for part in options.split()}
    for name, options in {
        "avg": _NUMBER,
        "sum": _NUMBER,
        "min": _NUMBER,
        "max": _NUMBER,
        "stats": _NUMBER,
        "value_count": _NUMBER,
        "extended_stats": _NUMBER + "sigma:F",
        "cardinality": _NUMBER + "precision_threshold:I rehash execution_hint",
        "percentiles": _SPREAD,
        "percentile_ranks": _SPREAD,
        "top_hits": _SEARCHED,
        "terms": _VALUES + _COUNTED + "include exclude execution_hint",
        "rare_terms": _VALUES + "include exclude max_doc_count:P precision:F",
        "multi_terms": _COUNTED + "terms",
        "date_histogram": _VALUES
        + "interval fixed_interval calendar_interval offset min_doc_count:I order keyed:B"
        " extended_bounds hard_bounds",
        "histogram": _VALUES
        + "interval:F offset:F min_doc_count:I order keyed:B extended_bounds hard_bounds",
        "range": _VALUES + "ranges keyed:B",
        "date_range": _VALUES + "ranges keyed:B",
        "missing": _VALUES,
        "filters": "filters other_bucket:B other_bucket_key",
        "composite": "sources size:P after",
    }.items()
}
UNSUPPORTED = {
    "script", "script_score", "nested", "has_child", "has_parent", "parent_id", "more_like_this", "geo_shape",
    "geo_distance", "geo_bounding_box", "geo_polygon", "knn", "percolate", "span_term", "span_near",
    "span_or", "intervals", "rank_feature", "distance_feature",
    "neural", "sparse_vector", "terms_set", "shape",
}  # fmt: skip
"""Queries that a log store does not do."""
_SCRIPTED = {"bucket_script", "bucket_selector", "scripted_metric"}
_UNDONE = {
    "nested", "reverse_nested", "children", "parent", "geohash_grid", "geotile_grid", "geohex_grid", "geo_bounds",
    "geo_centroid", "geo_distance", "geo_line", "significant_terms", "significant_text", "adjacency_matrix",
    "auto_date_histogram", "variable_width_histogram", "ip_range", "ip_prefix", "diversified_sampler",
    "random_sampler", "categorize_text", "frequent_item_sets", "time_series", "matrix_stats",
    "median_absolute_deviation", "weighted_avg", "string_stats", "boxplot", "t_test", "bucket_sort", "normalize",
    "moving_percentiles", "inference", "bucket_correlation", "bucket_count_ks_test", "cumulative_cardinality",
    "extended_stats_bucket", "percentiles_bucket", "change_point",
}  # fmt: skip


def refuse_known(kind: str) -> None:
    """Refuse an aggregation that Elasticsearch has and a log store does not do."""
    if kind == "moving_avg":
        raise parsing(
            "Moving Average aggregation usage is not supported. Use the [moving_fn] aggregation instead."
        )
    if kind in _SCRIPTED:
        raise illegal(f"[{kind}] needs a script, and scripts are not supported by a log store")
    if kind in _UNDONE:
        raise illegal(f"[{kind}] aggregations are not supported by a log store")


METRICS = frozenset(
    ("avg", "sum", "min", "max", "stats", "value_count", "extended_stats", "cardinality", "percentiles",
     "percentile_ranks", "top_hits", "top_metrics", "rate")
)  # fmt: skip
"""Aggregations that have none inside."""


_HIGHLIGHTS = frozenset(
    ("fields", "pre_tags", "post_tags", "order", "highlight_filter", "fragment_size", "fragment_offset",
     "number_of_fragments", "encoder", "require_field_match", "boundary_max_scan", "boundary_scanner",
     "boundary_scanner_locale", "boundary_chars", "type", "fragmenter", "no_match_size", "force_source",
     "phrase_limit", "matched_fields", "highlight_query", "options", "tags_schema", "max_analyzed_offset",
     "max_analyzer_offset")
)  # fmt: skip


def check_highlight(options: dict[str, Any]) -> None:
    """Refuse what a highlight and its fields do not have."""
    fields = options.get("fields", {})
    for name, part in (
        ("highlight", options),
        *(
            ("highlight_field", one)
            for group in (fields if isinstance(fields, list) else [fields])
            for one in group.values()
        ),
    ):
        for key in part:
            if key not in _HIGHLIGHTS:
                raise unknown_field(name, key)


def check_query(name: str, options: dict[str, Any]) -> None:
    """Refuse options of a query that it does not have, and values that no option has."""
    known = _QUERIES[name]
    for key in options:
        if key not in known:
            raise parsing(f"[{name}] query does not support [{key[:80]}]")
    for key in ("operator", "default_operator"):
        given = options.get(key, "or")
        if str(given).lower() not in _OPERATORS:
            raise EsError(
                400,
                "illegal_argument_exception",
                f"No enum constant org.elasticsearch.index.query.Operator.{str(given).upper()[:40]}",
            )
    if (
        name in {"multi_match", "query_string"}
        and str(options.get("type", "best_fields")).lower() not in _MULTI
    ):
        kind = str(options["type"])[:40]
        raise EsError(400, "parse_exception", f"failed to parse [{name}] query type [{kind}]. unknown type.")
    slop = options.get("slop", options.get("phrase_slop", 0))
    if not isinstance(slop, (int, str)) or not str(slop).isdecimal():
        raise EsError(400, "illegal_argument_exception", "No negative slop allowed.")


def check_aggregation(name: str, options: dict[str, Any]) -> None:
    """Refuse options of an aggregation that it does not have, and values that cannot be read."""
    known = _AGGREGATIONS.get(name)
    if known is None:
        return
    for key, value in options.items():
        if key not in known:
            if name == "top_hits":
                raise parsing(f"Unknown key for a VALUE in [{key[:80]}].")
            raise unknown_field(name, key)
        if value is not None and not _fits(known[key], value):
            raise unparsed(name, key, f"For input string: {shown(value)[:60]!r}")


def _fits(kind: str, value: Any) -> bool:
    if not kind:
        return True
    if kind == "B":
        return isinstance(value, bool) or value in {"true", "false"}
    number = number_of(str(value)) if isinstance(value, (int, float, str)) and value is not True else None
    if number is None or kind == "F":
        return number is not None
    return number >= (kind == "P") and number == int(number)
