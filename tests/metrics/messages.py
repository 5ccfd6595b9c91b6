"""Messages of Google's protobuf from a table, so that the tests encode by another hand than ours."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_KINDS = {"string": 9, "double": 1, "int64": 3, "uint64": 4, "uint32": 13, "sint32": 17, "sint64": 18}


def messages(shapes: dict[str, list[tuple[str, int, str, bool]]]) -> dict[str, Any]:
    """Message classes of Google's protobuf by name: fields are name, number, kind and whether repeated."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            one = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _KINDS:
                one.type = _KINDS[kind]
            else:
                one.type, one.type_name = 11, f".t.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClassesForFiles(["t.proto"], pool)
    return {name.removeprefix("t."): kind for name, kind in found.items()}


EXPOSED: dict[str, list[tuple[str, int, str, bool]]] = {
    "Label": [("name", 1, "string", False), ("value", 2, "string", False)],
    "Timestamp": [("seconds", 1, "int64", False), ("nanos", 2, "uint32", False)],
    "Exemplar": [
        ("label", 1, "Label", True),
        ("value", 2, "double", False),
        ("timestamp", 3, "Timestamp", False),
    ],
    "Gauge": [("value", 1, "double", False)],
    "Counter": [
        ("value", 1, "double", False),
        ("exemplar", 2, "Exemplar", False),
        ("created_timestamp", 3, "Timestamp", False),
    ],
    "Quantile": [("quantile", 1, "double", False), ("value", 2, "double", False)],
    "Summary": [
        ("sample_count", 1, "uint64", False),
        ("sample_sum", 2, "double", False),
        ("quantile", 3, "Quantile", True),
        ("created_timestamp", 4, "Timestamp", False),
    ],
    "Bucket": [
        ("cumulative_count", 1, "uint64", False),
        ("upper_bound", 2, "double", False),
        ("exemplar", 3, "Exemplar", False),
        ("cumulative_count_float", 4, "double", False),
    ],
    "Span": [("offset", 1, "sint32", False), ("length", 2, "uint32", False)],
    "Histogram": [
        ("sample_count", 1, "uint64", False),
        ("sample_sum", 2, "double", False),
        ("bucket", 3, "Bucket", True),
        ("sample_count_float", 4, "double", False),
        ("schema", 5, "sint32", False),
        ("zero_threshold", 6, "double", False),
        ("zero_count", 7, "uint64", False),
        ("zero_count_float", 8, "double", False),
        ("negative_span", 9, "Span", True),
        ("negative_delta", 10, "sint64", True),
        ("negative_count", 11, "double", True),
        ("positive_span", 12, "Span", True),
        ("positive_delta", 13, "sint64", True),
        ("positive_count", 14, "double", True),
        ("created_timestamp", 15, "Timestamp", False),
        ("exemplars", 16, "Exemplar", True),
    ],
    "Metric": [
        ("label", 1, "Label", True),
        ("gauge", 2, "Gauge", False),
        ("counter", 3, "Counter", False),
        ("summary", 4, "Summary", False),
        ("untyped", 5, "Gauge", False),
        ("timestamp_ms", 6, "int64", False),
        ("histogram", 7, "Histogram", False),
    ],
    "MetricFamily": [
        ("name", 1, "string", False),
        ("help", 2, "string", False),
        ("type", 3, "uint32", False),
        ("metric", 4, "Metric", True),
        ("unit", 5, "string", False),
    ],
}
"""io.prometheus.client's metrics.proto, as far as we read it."""


def delimited(*families: Any) -> bytes:
    """Messages with their length before each, as the protobuf exposition format has them."""
    out = b""
    for one in families:
        raw = one.SerializeToString()
        size, head = len(raw), b""
        while size > 0x7F:
            head += bytes([size & 0x7F | 0x80])
            size >>= 7
        out += head + bytes([size]) + raw
    return out
