"""`typed_keys`: each aggregation's kind before its name (`sterms#hosts`), by which typed clients read."""

from __future__ import annotations

from typing import Any

from mamimon.logs.wire.elasticsearch import divisions, measures, pipelines, rates
from mamimon.logs.wire.elasticsearch.aggregations import Agg

_KINDS = {
    kind: name
    for kinds in (measures.KINDS, divisions.KINDS, pipelines.KINDS, rates.KINDS)
    for name, kind in kinds.items()
}
_OTHERWISE = {
    "percentiles": "tdigest_percentiles", "percentile_ranks": "tdigest_percentile_ranks",
    "cumulative_sum": "simple_value", "serial_diff": "simple_value", "moving_fn": "simple_value",
    "avg_bucket": "simple_value",
    "sum_bucket": "simple_value", "min_bucket": "bucket_metric_value", "max_bucket": "bucket_metric_value",
}  # fmt: skip
_BY_VALUE = {"terms": "terms", "rare_terms": "rareterms"}
_WHOLE = {"long", "date", "boolean"}


def typed(aggs: dict[str, Agg], holder: dict[str, Any]) -> dict[str, Any]:
    """An answer or a bucket, whose aggregations are these, with their kinds in their names."""
    return {
        f"{_kind(aggs[name])}#{name}" if name in aggs else name: _inside(aggs[name].subs, value)
        if name in aggs
        else value
        for name, value in holder.items()
    }


def _inside(subs: dict[str, Agg], answer: dict[str, Any]) -> dict[str, Any]:
    if not subs:
        return answer
    buckets = answer.get("buckets")
    if isinstance(buckets, list):
        return {**answer, "buckets": [typed(subs, one) for one in buckets]}
    if isinstance(buckets, dict):
        return {**answer, "buckets": {key: typed(subs, one) for key, one in buckets.items()}}
    return typed(subs, answer)


def _kind(agg: Agg) -> str:
    name = _KINDS[type(agg)]
    if name in _BY_VALUE:
        return ("l" if agg.value_type in _WHOLE else "d" if agg.value_type == "float" else "s") + _BY_VALUE[
            name
        ]
    return _OTHERWISE.get(name, name)
