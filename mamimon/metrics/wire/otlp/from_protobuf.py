"""OTLP metrics in protobuf."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from mamimon import otlp
from mamimon.metrics.wire.otlp.model import Batch, Buckets, Example, Kind, Metric, Point, Resource, Scope
from mamimon.protobuf import (
    double,
    doubles,
    fields,
    fixed64,
    message,
    number,
    packed,
    signed,
    text,
    zigzag,
)

T = TypeVar("T")
_KINDS: dict[int, Kind] = {5: "gauge", 7: "sum", 9: "histogram", 10: "exponential", 11: "summary"}


def read_protobuf(body: bytes) -> Batch:
    """The resources of a request; raises one of `protobuf.BROKEN`."""
    return [_resource(message(part)) for field, part in fields(body) if field == 1]


def _resource(data: bytes) -> Resource:
    out = Resource()
    for field, part in fields(data):
        if field == 1:
            out.attributes = _attributes(message(part), 1)
        elif field == 2:
            out.scopes.append(_scope(message(part)))
    return out


def _attributes(data: bytes, wanted: int) -> dict[str, object]:
    return otlp.attributes(message(part) for field, part in fields(data) if field == wanted)


def _scope(data: bytes) -> Scope:
    out = Scope()
    for field, part in fields(data):
        if field == 1:
            raw = message(part)
            for inner, value in fields(raw):
                if inner == 1:
                    out.name = text(value)
                elif inner == 2:
                    out.version = text(value)
            out.attributes = _attributes(raw, 3)
        elif field == 2:
            out.metrics.append(_metric(message(part)))
        elif field == 3:
            out.schema_url = text(part)
    return out


def _metric(data: bytes) -> Metric:
    out = Metric()
    for field, part in fields(data):
        if field == 1:
            out.name = text(part)
        elif field == 2:
            out.description = text(part)
        elif field == 3:
            out.unit = text(part)
        elif field in _KINDS:
            out.kind = _KINDS[field]
            read = _POINTS[out.kind]
            for inner, value in fields(message(part)):
                if inner == 1:
                    out.points.append(read(message(value)))
                elif inner == 2:
                    out.temporality = number(value)
                elif inner == 3:
                    out.monotonic = bool(number(value))
    return out


def _number_point(data: bytes) -> Point:
    out = Point()
    pairs: list[bytes] = []
    for field, part in fields(data):
        if field == 7:
            pairs.append(message(part))
        elif field == 2:
            out.start_ns = fixed64(part)
        elif field == 3:
            out.time_ns = fixed64(part)
        elif field == 4:
            out.value = double(part)
        elif field == 6:
            out.value = float(signed(fixed64(part)))
        elif field == 5:
            out.exemplars.append(_example(message(part)))
        elif field == 8:
            out.flags = number(part)
    out.attributes = otlp.attributes(pairs)
    return out


def _histogram_point(data: bytes) -> Point:
    out = Point()
    pairs: list[bytes] = []
    for field, part in fields(data):
        if field == 9:
            pairs.append(message(part))
        elif field == 2:
            out.start_ns = fixed64(part)
        elif field == 3:
            out.time_ns = fixed64(part)
        elif field == 4:
            out.count = fixed64(part)
        elif field == 5:
            out.sum = double(part)
        elif field == 6:
            out.counts += _fixed64s(message(part))
        elif field == 7:
            out.bounds += doubles(message(part))
        elif field == 8:
            out.exemplars.append(_example(message(part)))
        elif field == 10:
            out.flags = number(part)
    out.attributes = otlp.attributes(pairs)
    return out


def _exponential_point(data: bytes) -> Point:
    out = Point()
    pairs: list[bytes] = []
    for field, part in fields(data):
        if field == 1:
            pairs.append(message(part))
        elif field == 2:
            out.start_ns = fixed64(part)
        elif field == 3:
            out.time_ns = fixed64(part)
        elif field == 4:
            out.count = fixed64(part)
        elif field == 5:
            out.sum = double(part)
        elif field == 6:
            out.scale = zigzag(number(part))
        elif field == 7:
            out.zero_count = fixed64(part)
        elif field == 8:
            out.positive = _buckets(message(part))
        elif field == 9:
            out.negative = _buckets(message(part))
        elif field == 10:
            out.flags = number(part)
        elif field == 11:
            out.exemplars.append(_example(message(part)))
        elif field == 14:
            out.zero_threshold = double(part)
    out.attributes = otlp.attributes(pairs)
    return out


def _summary_point(data: bytes) -> Point:
    out = Point()
    pairs: list[bytes] = []
    out.sum = 0.0
    for field, part in fields(data):
        if field == 7:
            pairs.append(message(part))
        elif field == 2:
            out.start_ns = fixed64(part)
        elif field == 3:
            out.time_ns = fixed64(part)
        elif field == 4:
            out.count = fixed64(part)
        elif field == 5:
            out.sum = double(part)
        elif field == 6:
            found = {1: 0.0, 2: 0.0}
            found |= {inner: double(value) for inner, value in fields(message(part)) if inner in found}
            out.quantiles.append((found[1], found[2]))
        elif field == 8:
            out.flags = number(part)
    out.attributes = otlp.attributes(pairs)
    return out


def _buckets(data: bytes) -> Buckets:
    out = Buckets()
    for field, part in fields(data):
        if field == 1:
            out.offset = zigzag(number(part))
        elif field == 2:
            out.counts += packed(part) if isinstance(part, bytes) else [part]
    return out


def _fixed64s(data: bytes) -> list[int]:
    return [value for (value,) in struct.iter_unpack("<Q", data)]


def _example(data: bytes) -> Example:
    out = Example()
    for field, part in fields(data):
        if field == 2:
            out.time_ns = fixed64(part)
        elif field == 3:
            out.value = double(part)
        elif field == 6:
            out.value = float(signed(fixed64(part)))
        elif field == 4:
            out.span_id = message(part).hex()
        elif field == 5:
            out.trace_id = message(part).hex()
    out.attributes = _attributes(data, 7)
    return out


_POINTS: dict[Kind, Callable[[bytes], Point]] = {
    "gauge": _number_point,
    "sum": _number_point,
    "histogram": _histogram_point,
    "exponential": _exponential_point,
    "summary": _summary_point,
}
