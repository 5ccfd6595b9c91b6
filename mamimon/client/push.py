"""Metrics as OTLP in JSON, for programs that nobody scrapes (opentelemetry-proto 1.x, metrics.proto).

Prometheus' names pass through as they are; the service becomes `job`, the instance `instance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mamimon.client import metrics, system
from mamimon.client.settings import Settings

CUMULATIVE = 2
NO_VALUE = 1  # a point's flag: the series ends here


def one(
    name: str, kind: str, about: str, value: float, when: float, started: float, ended: bool = False
) -> dict[str, Any]:
    """A metric with one value; `kind` is counter or gauge; `ended` says that there will be no more."""
    return _metric(name, kind, about, [_number(value, {}, when, started, ended)])


def everything(when: float) -> list[dict[str, Any]]:
    """The application's families, the process and the machine."""
    found: list[dict[str, Any]] = []
    names: set[str] = set()
    for family in metrics.families():
        names.add(family.name)
        points = [
            _histogram(family.buckets, values, dict(zip(family.labels, key)), when)
            if isinstance(family, metrics.Histogram)
            else _number(values[0], dict(zip(family.labels, key)), when, system.STARTED, False)
            for key, values in family.snapshot().items()
        ]
        if points:
            found.append(_metric(family.name, family.kind, family.about, points))
    for reading in system.readings():
        if reading.name not in names:
            value = (reading.name, reading.kind, reading.about, reading.value)
            found.append(one(*value, when, system.STARTED))
    return found


def message(settings: Settings, instance: str, found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """An `ExportMetricsServiceRequest`."""
    resource = {
        "service.name": settings.service,
        "service.instance.id": instance,
        "deployment.environment.name": settings.environment,
    }
    if settings.release:
        resource["service.version"] = settings.release
    scope = {"scope": {"name": "mamimon"}, "metrics": list(found)}
    return {"resourceMetrics": [{"resource": {"attributes": _labels(resource)}, "scopeMetrics": [scope]}]}


def _metric(name: str, kind: str, about: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {"dataPoints": points}
    if kind != "gauge":
        data["aggregationTemporality"] = CUMULATIVE
    if kind == "counter":
        data["isMonotonic"] = True
    return {"name": name, "description": about, {"counter": "sum"}.get(kind, kind): data}


def _number(
    value: float, labels: Mapping[str, str], when: float, started: float, ended: bool
) -> dict[str, Any]:
    point = {**_point(labels, when, started), "asDouble": value}
    return {**point, "flags": NO_VALUE} if ended else point


def _histogram(
    buckets: tuple[float, ...], values: list[float], labels: Mapping[str, str], when: float
) -> dict[str, Any]:
    counts = [int(count) for count in values[:-1]]
    return {
        **_point(labels, when, system.STARTED),
        "count": str(sum(counts)),
        "sum": values[-1],
        "bucketCounts": [str(count) for count in counts],
        "explicitBounds": list(buckets),
    }


def _point(labels: Mapping[str, str], when: float, started: float) -> dict[str, Any]:
    return {
        "attributes": _labels(labels),
        "startTimeUnixNano": str(int(started * 1e9)),
        "timeUnixNano": str(int(when * 1e9)),
    }


def _labels(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": text}} for name, text in labels.items()]
