"""Native histograms on the wire: spans of buckets with deltas or counts, in three messages of one shape.

Sources: prometheus/client_model metrics.proto (scraped), prometheus/prometheus prompb types.proto and
io/prometheus/write/v2/types.proto (pushed); what is refused: model/histogram, Validate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from mamimon.metrics.histogram import CUSTOM, Hint, Histogram
from mamimon.protobuf import double, doubles, fields, packed, signed, zigzag

MOST_BUCKETS = 16_384
HINTS: tuple[Hint, ...] = ("unknown", "reset", "not_reset", "gauge")
_PUSHED = {
    1: "count_int", 2: "count_float", 3: "sum", 4: "schema", 5: "zero_threshold", 6: "zero_int",
    7: "zero_float", 8: "negative_spans", 9: "negative_deltas", 10: "negative_counts",
    11: "positive_spans", 12: "positive_deltas", 13: "positive_counts", 14: "hint", 15: "at",
    16: "custom", 17: "start",
}  # fmt: skip
_SCRAPED = {
    1: "count_int", 2: "sum", 4: "count_float", 5: "schema", 6: "zero_threshold", 7: "zero_int",
    8: "zero_float", 9: "negative_spans", 10: "negative_deltas", 11: "negative_counts",
    12: "positive_spans", 13: "positive_deltas", 14: "positive_counts",
}  # fmt: skip


class Wire(msgspec.Struct):
    """The fields of a histogram message as they came."""

    count_int: int | None = None
    count_float: float | None = None
    sum: float = 0.0
    schema: int = 0
    zero_threshold: float = 0.0
    zero_int: int = 0
    zero_float: float = 0.0
    negative_spans: list[tuple[int, int]] = []
    negative_deltas: list[int] = []
    negative_counts: list[float] = []
    positive_spans: list[tuple[int, int]] = []
    positive_deltas: list[int] = []
    positive_counts: list[float] = []
    hint: int = 0
    at: int = 0
    """Milliseconds since the epoch."""
    custom: list[float] = []
    start: int = 0
    """Milliseconds since the epoch, 0 where it is not said."""


def read_pushed(message: bytes) -> Wire:
    """A `Histogram` of remote write 1.0 or 2.0."""
    return _read(message, _PUSHED)


def read_scraped(message: bytes) -> Wire:
    """A `Histogram` of the exposition format; its classic part is left out."""
    return _read(message, _SCRAPED)


def _read(message: bytes, names: dict[int, str]) -> Wire:
    out = Wire()
    for field, value in fields(message):
        name = names.get(field)
        if name is None:
            continue
        if name.endswith("_spans"):
            if isinstance(value, bytes):
                getattr(out, name).append(_span(value))
        elif name.endswith("_deltas"):
            numbers = packed(value) if isinstance(value, bytes) else [value]
            getattr(out, name).extend(zigzag(number) for number in numbers)
        elif name.endswith("_counts") or name == "custom":
            if isinstance(value, bytes):
                getattr(out, name).extend(doubles(value))
        else:
            setattr(out, name, _plain(name, value))
    return out


def _plain(name: str, value: bytes | int) -> Any:
    if isinstance(value, bytes):
        return double(value)
    if name == "schema":
        return zigzag(value)
    return signed(value) if name in ("at", "start") else value


def _span(message: bytes) -> tuple[int, int]:
    offset = length = 0
    for field, value in fields(message):
        if isinstance(value, int):
            if field == 1:
                offset = zigzag(value)
            elif field == 2:
                length = value
    return offset, length


def is_native(wire: Wire) -> bool:
    """Whether a scraped message has a native histogram in it beside or instead of the classic one."""
    return bool(
        wire.negative_spans or wire.positive_spans or wire.zero_threshold or wire.zero_int or wire.zero_float
    )


def histogram_of(wire: Wire, *, gauge: bool = False) -> Histogram:
    """The histogram of a message; one that Prometheus would refuse raises `ValueError` with the reason."""
    if not (-4 <= wire.schema <= 8 or wire.schema == CUSTOM):
        raise ValueError(f"histogram has an unknown schema {wire.schema}")
    whole = wire.count_float is None
    positive = _side(
        "positive", wire.positive_spans, wire.positive_deltas if whole else wire.positive_counts, whole
    )
    negative = _side(
        "negative", wire.negative_spans, wire.negative_deltas if whole else wire.negative_counts, whole
    )
    count = float(wire.count_int or 0) if wire.count_float is None else wire.count_float
    zero = float(wire.zero_int) if whole else wire.zero_float
    if wire.schema == CUSTOM:
        _check_custom(wire, positive, negative, zero)
    if not math.isnan(count) and (count < 0 or zero < 0):
        raise ValueError("histogram has a negative count")
    if not math.isfinite(wire.zero_threshold) or wire.zero_threshold < 0:
        raise ValueError(f"histogram has an invalid zero threshold {wire.zero_threshold}")
    if whole:
        inside = sum(positive.values()) + sum(negative.values()) + zero
        if inside > count or (inside != count and not math.isnan(wire.sum)):
            raise ValueError(
                f"{inside:g} observations found in buckets, but the Count field is {count:g}: "
                "histogram's observation count should equal the number of observations found in the buckets"
            )
    return Histogram(
        schema=wire.schema,
        count=count,
        sum=wire.sum,
        zero_threshold=wire.zero_threshold,
        zero_count=zero,
        positive={index: value for index, value in positive.items() if value},
        negative={index: value for index, value in negative.items() if value},
        custom=tuple(wire.custom) if wire.schema == CUSTOM else (),
        hint="gauge" if gauge else HINTS[wire.hint] if wire.hint < len(HINTS) else "unknown",
    )


def _side(
    name: str, spans: Sequence[tuple[int, int]], numbers: Sequence[float], deltas: bool
) -> dict[int, float]:
    need = sum(length for _, length in spans)
    if need > MOST_BUCKETS:
        raise ValueError(f"histogram has {need} {name} buckets, more than {MOST_BUCKETS}")
    if need != len(numbers):
        raise ValueError(
            f"{name} side: spans need {need} buckets, have {len(numbers)} buckets: "
            "histogram spans specify different number of buckets than provided"
        )
    out: dict[int, float] = {}
    index = at = 0
    value = 0.0
    for number, (offset, length) in enumerate(spans):
        if number and offset < 0:
            raise ValueError(
                f"{name} side: span number {number + 1} with offset {offset}: a span has a negative offset"
            )
        index += offset
        for _ in range(length):
            value = value + numbers[at] if deltas else numbers[at]
            if value < 0:
                raise ValueError(
                    f"{name} side: bucket number {at + 1} has observation count of {value:g}: is negative"
                )
            out[index] = float(value)
            index += 1
            at += 1
    return out


def _check_custom(wire: Wire, positive: dict[int, float], negative: dict[int, float], zero: float) -> None:
    if any(not low < high for low, high in pairwise(wire.custom)) or math.inf in wire.custom:
        raise ValueError("histogram with custom buckets: bounds must grow and not end in +Inf")
    if len(wire.custom) > MOST_BUCKETS:
        raise ValueError(f"histogram has more than {MOST_BUCKETS} custom bounds")
    if negative or zero or wire.zero_threshold:
        raise ValueError("histogram with custom buckets must not have negative or zero buckets")
    if any(not 0 <= index <= len(wire.custom) for index in positive):
        raise ValueError("histogram with custom buckets has more buckets than bounds")
