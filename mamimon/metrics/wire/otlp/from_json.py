"""OTLP metrics in JSON: names in camelCase, 64-bit numbers as text or numbers, ids in hexadecimal."""

from __future__ import annotations

from typing import Any

from mamimon.metrics.wire.otlp.model import Batch, Buckets, Example, Kind, Metric, Point, Resource, Scope
from mamimon.otlp import (
    json_attributes,
    json_enum,
    json_float,
    json_int,
    json_list,
    json_object,
    json_part,
    json_text,
)

_KINDS: dict[str, Kind] = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential",
    "summary": "summary",
}
_TEMPORALITIES = {
    "AGGREGATION_TEMPORALITY_UNSPECIFIED": 0,
    "AGGREGATION_TEMPORALITY_DELTA": 1,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
}


def read_json(body: bytes) -> Batch:
    """The resources of a request; raises `ValueError` or what msgspec raises."""
    return [_resource(one) for one in json_list(json_object(body), "resourceMetrics")]


def _resource(found: Any) -> Resource:
    attributes = json_attributes(json_list(json_part(found, "resource"), "attributes"))
    return Resource(attributes, [_scope(one) for one in json_list(found, "scopeMetrics")])


def _scope(found: Any) -> Scope:
    scope = json_part(found, "scope")
    return Scope(
        name=json_text(scope.get("name")),
        version=json_text(scope.get("version")),
        schema_url=json_text(found.get("schemaUrl")),
        attributes=json_attributes(json_list(scope, "attributes")),
        metrics=[_metric(one) for one in json_list(found, "metrics")],
    )


def _metric(found: Any) -> Metric:
    if not isinstance(found, dict):
        raise ValueError("a metric is not an object")
    out = Metric(
        name=json_text(found.get("name")),
        description=json_text(found.get("description")),
        unit=json_text(found.get("unit")),
    )
    for name, kind in _KINDS.items():
        if found.get(name) is not None:
            data = json_part(found, name)
            out.kind = kind
            out.temporality = json_enum(data.get("aggregationTemporality"), _TEMPORALITIES)
            out.monotonic = data.get("isMonotonic") is True
            out.points = [_point(one, kind) for one in json_list(data, "dataPoints")]
    return out


def _point(found: Any, kind: Kind) -> Point:
    out = Point(
        attributes=json_attributes(json_list(found, "attributes")),
        start_ns=json_int(found.get("startTimeUnixNano")),
        time_ns=json_int(found.get("timeUnixNano")),
        flags=json_int(found.get("flags")),
        exemplars=[_example(one) for one in json_list(found, "exemplars")],
        count=json_int(found.get("count")),
    )
    if found.get("sum") is not None:
        out.sum = json_float(found["sum"])
    if kind in ("gauge", "sum"):
        out.value = _value(found)
    elif kind == "histogram":
        out.counts = [json_int(one) for one in json_list(found, "bucketCounts")]
        out.bounds = [json_float(one) for one in json_list(found, "explicitBounds")]
    elif kind == "exponential":
        out.scale = json_int(found.get("scale"))
        out.zero_count = json_int(found.get("zeroCount"))
        out.zero_threshold = json_float(found.get("zeroThreshold") or 0.0)
        out.positive, out.negative = _buckets(found, "positive"), _buckets(found, "negative")
    elif kind == "summary":
        out.sum = out.sum or 0.0
        out.quantiles = [
            (json_float(one.get("quantile") or 0.0), json_float(one.get("value") or 0.0))
            for one in json_list(found, "quantileValues")
        ]
    return out


def _value(found: dict[str, Any]) -> float | None:
    if found.get("asDouble") is not None:
        return json_float(found["asDouble"])
    if found.get("asInt") is not None:
        return float(json_int(found["asInt"]))
    return None


def _buckets(found: dict[str, Any], side: str) -> Buckets:
    part = json_part(found, side)
    return Buckets(json_int(part.get("offset")), [json_int(one) for one in json_list(part, "bucketCounts")])


def _example(found: Any) -> Example:
    return Example(
        time_ns=json_int(found.get("timeUnixNano")),
        value=_value(found) or 0.0,
        trace_id=json_text(found.get("traceId")).lower(),
        span_id=json_text(found.get("spanId")).lower(),
        attributes=json_attributes(json_list(found, "filteredAttributes")),
    )
