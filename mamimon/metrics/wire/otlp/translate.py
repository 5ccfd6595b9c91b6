"""From OTLP to series, by the rules of Prometheus 3.14's OTLP receiver.

`service.namespace`/`service.name` become `job`, `service.instance.id` becomes `instance`; the other
attributes of a resource become a `target_info` series, and labels where they are promoted. What cannot
be translated is rejected point by point with its reason, the rest is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import msgspec

from mamimon.metrics.histogram import CUSTOM, Histogram
from mamimon.metrics.model import STALE_NAN, Labels
from mamimon.metrics.promql.text import format_float
from mamimon.metrics.wire.otlp.model import (
    CUMULATIVE,
    DELTA,
    Batch,
    Buckets,
    Example,
    Metric,
    OtlpSettings,
    Point,
    Resource,
    Scope,
)
from mamimon.metrics.wire.otlp.naming import label_name, metric_name, unit_name
from mamimon.metrics.wire.remote_write import Described, PushedExemplar, PushedSeries

_ZERO_THRESHOLD = 1e-128
_EXEMPLAR_CHARACTERS = 128
_IDENTIFYING = ("service.namespace", "service.name", "service.instance.id")
_TARGET_STEP_MS = 150_000
_MOST_TARGET_SAMPLES = 1_000
_MOST_BUCKETS = 16_384


class Translated(msgspec.Struct):
    """The series of a request, and what of it was not taken."""

    series: list[PushedSeries] = []
    rejected: int = 0
    """Data points."""
    reasons: list[str] = []

    def reject(self, reason: str, points: int = 1) -> None:
        """Note what is not taken; ten reasons are kept."""
        self.rejected += points
        if len(self.reasons) < 10 and reason not in self.reasons:
            self.reasons.append(reason)


class _Base(msgspec.Struct):
    """What every point of a scope shares."""

    promoted: Labels
    fixed: Labels


def translate(batch: Batch, settings: OtlpSettings) -> Translated:
    """Everything a request says, as series."""
    out = Translated()
    for resource in batch:
        try:
            promoted, fixed = _resource_labels(resource, settings)
        except ValueError as error:
            points = sum(len(metric.points) for scope in resource.scopes for metric in scope.metrics)
            out.reject(str(error), points)
            continue
        times: list[int] = []
        for scope in resource.scopes:
            base = _Base(promoted, {**fixed, **_scope_labels(scope, settings)})
            for metric in scope.metrics:
                times += [point.time_ns for point in metric.points]
                _metric(metric, base, settings, out)
        if times and not settings.disable_target_info:
            _target_info(resource, fixed, settings, min(times), max(times), out)
    return out


def _resource_labels(resource: Resource, settings: OtlpSettings) -> tuple[Labels, Labels]:
    """The promoted attributes, and job and instance."""
    attributes = resource.attributes
    if settings.promote_all_resource_attributes:
        names = [name for name in attributes if name not in settings.ignore_resource_attributes]
    else:
        names = [name for name in settings.promote_resource_attributes if name in attributes]
    promoted = {label_name(name, settings): shown(attributes[name]) for name in names}
    fixed: Labels = {}
    if "service.name" in attributes:
        job = shown(attributes["service.name"])
        space = shown(attributes["service.namespace"]) if "service.namespace" in attributes else ""
        fixed["job"] = f"{space}/{job}" if space else job
    if "service.instance.id" in attributes:
        fixed["instance"] = shown(attributes["service.instance.id"])
    return promoted, fixed


def _scope_labels(scope: Scope, settings: OtlpSettings) -> Labels:
    if not settings.promote_scope_metadata or not scope.name:
        return {}
    out = {label_name(f"otel_scope_{name}", settings): shown(one) for name, one in scope.attributes.items()}
    out |= {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    return out | {"otel_scope_schema_url": scope.schema_url}


def shown(value: Any) -> str:
    """An attribute's value as a label has it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if 1e-6 <= abs(value) < 1e21 or not value:
            return format_float(value)
        # As JSON has it: no zero before a one-digit exponent.
        return repr(value).replace("e-0", "e-")
    return msgspec.json.encode(value).decode()


def _labels(
    attributes: Mapping[str, Any],
    base: _Base,
    settings: OtlpSettings,
    ignore: tuple[str, ...] = ("__name__",),
) -> Labels:
    """A point's labels; of attributes that become one label the values stand side by side."""
    out: Labels = {}
    for name in sorted(attributes):
        if name in ignore:
            continue
        label, value = label_name(name, settings), shown(attributes[name])
        out[label] = f"{out[label]};{value}" if out.get(label) else value
    for label, value in base.promoted.items():
        if not out.get(label):
            out[label] = value
    return {label: value for label, value in {**out, **base.fixed}.items() if value}


def _metric(metric: Metric, base: _Base, settings: OtlpSettings, out: Translated) -> None:
    points = len(metric.points)
    try:
        if not metric.kind:
            raise ValueError(f'metric "{metric.name}" has no data of a kind that is known')
        if not points:
            raise ValueError(f"empty data points. {metric.name} is dropped")
        if metric.kind in ("sum", "histogram", "exponential") and metric.temporality != CUMULATIVE:
            raise ValueError(_not_cumulative(metric))
        name = metric_name(metric.name, metric.unit, metric.kind, metric.monotonic, settings)
    except ValueError as error:
        out.reject(str(error), points)
        return
    about = Described(name, _type(metric), metric.description, unit_name(metric.unit))
    for point in metric.points:
        try:
            labels = _labels(point.attributes, base, settings)
            found = list(_point(metric, name, point, labels, settings))
        except ValueError as error:
            out.reject(f"{metric.name}: {error}")
            continue
        found[0].about = about
        out.series += found


def _not_cumulative(metric: Metric) -> str:
    text = f'invalid temporality and type combination for metric "{metric.name}"'
    if metric.temporality == DELTA:
        return (
            f"{text}: it is delta; let the sender use cumulative temporality, "
            "or set metrics.otlp_convert_deltas"
        )
    return text


def _type(metric: Metric) -> str:
    if metric.kind == "sum":
        return "counter" if metric.monotonic else "gauge"
    return "histogram" if metric.kind == "exponential" else metric.kind


def _point(
    metric: Metric, name: str, point: Point, labels: Labels, settings: OtlpSettings
) -> Iterator[PushedSeries]:
    if metric.kind in ("gauge", "sum"):
        if point.value is None and not point.stale:
            raise ValueError("a data point has no value")
        examples = _exemplars(point.exemplars) if metric.kind == "sum" else []
        yield _series(name, labels, point, point.value or 0.0, exemplars=examples)
    elif metric.kind == "summary":
        yield _series(f"{name}_sum", labels, point, point.sum or 0.0)
        yield _series(f"{name}_count", labels, point, float(point.count))
        for quantile, value in point.quantiles:
            yield _series(name, {**labels, "quantile": format_float(quantile)}, point, value)
    elif metric.kind == "exponential" or settings.convert_histograms_to_nhcb:
        whole = _exponential(point) if metric.kind == "exponential" else _custom(point)
        _check(whole)
        yield _series(name, labels, point, whole, exemplars=_exemplars(point.exemplars))
    else:
        yield from _classic(name, point, labels)


def _series(
    name: str,
    labels: Labels,
    point: Point,
    value: float | Histogram,
    exemplars: list[PushedExemplar] | None = None,
) -> PushedSeries:
    at, start = point.time_ns // 1_000_000, point.start_ns // 1_000_000
    return PushedSeries(
        key=b"",
        labels={**labels, "__name__": name},
        samples=[(at, STALE_NAN if point.stale else value)],
        starts={at: start} if start else {},
        exemplars=exemplars or [],
    )


def _classic(name: str, point: Point, labels: Labels) -> Iterator[PushedSeries]:
    if len(point.bounds) > _MOST_BUCKETS:
        raise ValueError(f"more than {_MOST_BUCKETS} bounds")
    yield _series(f"{name}_count", labels, point, float(point.count))
    if point.sum is not None:
        yield _series(f"{name}_sum", labels, point, point.sum)
    examples = sorted(_exemplars(point.exemplars), key=lambda one: one.value)
    for bound, count in zip(point.bounds, accumulate(point.counts), strict=False):
        inside = [one for one in examples if one.value <= bound]
        examples = examples[len(inside) :]
        bucket = {**labels, "le": format_float(bound)}
        yield _series(f"{name}_bucket", bucket, point, float(count), exemplars=inside)
    last = {**labels, "le": "+Inf"}
    yield _series(f"{name}_bucket", last, point, float(point.count), exemplars=examples)


def _exponential(point: Point) -> Histogram:
    if point.scale < -4:
        raise ValueError(
            f"cannot convert exponential to native histogram. Scale must be >= -4, was {point.scale}"
        )
    down = max(0, point.scale - 8)
    return Histogram(
        schema=point.scale - down,
        count=float(point.count),
        sum=point.sum or 0.0,
        zero_threshold=point.zero_threshold or _ZERO_THRESHOLD,
        zero_count=float(point.zero_count),
        positive=_side(point.positive, down),
        negative=_side(point.negative, down),
    )


def _side(buckets: Buckets, down: int) -> dict[int, float]:
    """OTLP's bucket i is (base^i, base^(i+1)], Prometheus numbers it by its upper bound."""
    if len(buckets.counts) > _MOST_BUCKETS:
        raise ValueError(f"more than {_MOST_BUCKETS} buckets")
    out: dict[int, float] = {}
    for place, count in enumerate(buckets.counts):
        if count:
            index = ((buckets.offset + place) >> down) + 1
            out[index] = out.get(index, 0.0) + count
    return out


def _custom(point: Point) -> Histogram:
    if len(point.counts) > _MOST_BUCKETS:
        raise ValueError(f"more than {_MOST_BUCKETS} buckets")
    return Histogram(
        schema=CUSTOM,
        count=float(point.count),
        sum=point.sum or 0.0,
        positive={place: float(count) for place, count in enumerate(point.counts) if count},
        custom=tuple(point.bounds),
    )


def _check(one: Histogram) -> None:
    """A native histogram's count is that of its buckets; NaN is observed in none."""
    inside = sum(one.positive.values()) + sum(one.negative.values()) + one.zero_count
    if inside > one.count or (inside != one.count and not math.isnan(one.sum)):
        raise ValueError(
            f"{inside:g} observations found in buckets, but the Count field is {one.count:g}: "
            "histogram's observation count should equal the number of observations found in the buckets"
        )


def _exemplars(examples: list[Example]) -> list[PushedExemplar]:
    """With trace and span ids; other labels only where all fit into 128 characters."""
    out = []
    for one in examples:
        ids = {"trace_id": one.trace_id, "span_id": one.span_id}
        labels = {name: value for name, value in ids.items() if value}
        rest = {name: shown(value) for name, value in one.attributes.items()}
        size = sum(len(name) + len(value) for name, value in {**labels, **rest}.items())
        if size <= _EXEMPLAR_CHARACTERS:
            labels |= rest
        out.append(PushedExemplar(one.time_ns // 1_000_000, one.value, labels))
    return out


def _target_info(
    resource: Resource,
    fixed: Labels,
    settings: OtlpSettings,
    first_ns: int,
    last_ns: int,
    out: Translated,
) -> None:
    """One sample at each half look back of the time that the points span, and at its end."""
    if not fixed or not set(resource.attributes) - set(_IDENTIFYING):
        return
    ignore = ("__name__",) if settings.keep_identifying_resource_attributes else ("__name__", *_IDENTIFYING)
    try:
        labels = _labels(resource.attributes, _Base({}, fixed), settings, ignore)
    except ValueError as error:
        out.reject(f"target_info: {error}", 0)
        return
    first, last = first_ns // 1_000_000, last_ns // 1_000_000
    times = [*range(first, last, _TARGET_STEP_MS)][:_MOST_TARGET_SAMPLES]
    series = PushedSeries(b"", {**labels, "__name__": "target_info"}, [(at, 1.0) for at in (*times, last)])
    series.about = Described("target_info", "gauge", "Target metadata", "")
    out.series.append(series)
