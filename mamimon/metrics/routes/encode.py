"""Query results as the JSON of the Prometheus API, written from the arrays.

msgspec writes the digits of some thousand numbers in one call; they are cut apart at the commas and joined
with the timestamps, whose text is made once. So no Python code runs a sample: 0.15 µs each instead of 0.7.
Pieces are small, because each holds the interpreter's lock while it is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from mamimon.metrics.histogram import Bucket, buckets

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import QueryResult

    Floats = npt.NDArray[np.float64]

_PIECE = 1 << 13
"""Samples written at once."""
_json = msgspec.json.Encoder().encode


def encode(answer: QueryResult, stats: bytes = b"") -> bytes:
    """The `data` of an answer; `stats` is JSON that goes beside the result. Long work for large answers."""
    if answer.kind == "matrix":
        result = b"[" + b",".join(_raw(answer) if answer.series else _matrix(answer)) + b"]"
    elif answer.kind == "vector":
        result = b"[" + b",".join(_vector(answer)) + b"]"
    else:
        at = _stamp(int(answer.times[0]))
        text = _json(answer.text) if answer.kind == "string" else b'"%b"' % numbers(answer.values[0])[0]
        result = b"[%b,%b]" % (at, text)
    more = b',"stats":' + stats if stats else b""
    return b'{"resultType":"%b","result":%b%b}' % (answer.kind.encode(), result, more)


def numbers(values: Floats) -> list[bytes]:
    """Each number of a vector as Prometheus writes it."""
    import numpy as np

    if not len(values):
        return []
    size = np.abs(values)
    plain = (size < 1e15) & (size >= 1e-5) | (size == 0)
    raw = _json(values.tolist())
    texts = (raw[1:-1] + b",").replace(b".0,", b",").split(b",")
    texts.pop()
    for place in np.flatnonzero(~plain).tolist():
        texts[place] = number(float(values[place])).encode()
    return texts


def _vector(answer: QueryResult) -> Iterator[bytes]:
    at = _stamp(int(answer.times[0]))
    own = [None] * len(answer.labels) if answer.histograms is None else answer.histograms[:, 0].tolist()
    for labels, text, one in zip(answer.labels, numbers(answer.values[:, 0]), own, strict=True):
        if one is None:
            yield b'{"metric":%b,"value":[%b,"%b"]}' % (_json(labels), at, text)
        else:
            yield b'{"metric":%b,"histogram":[%b,%b]}' % (_json(labels), at, histogram(one).encode())


def _matrix(answer: QueryResult) -> Iterator[bytes]:
    if answer.histograms is not None:
        stamps = [_stamp(at) for at in answer.times.tolist()]
        yield from (_mixed(answer, row, stamps) for row in range(len(answer.labels)))
        return
    before = _before(answer.times)
    rows = max(1, _PIECE // len(answer.times))
    for first in range(0, len(answer.labels), rows):
        part = slice(first, first + rows)
        present = answer.present[part]
        whole = bool(present.all())
        texts = numbers(answer.values[part].ravel() if whole else answer.values[part][present])
        at = 0
        for number_, labels in enumerate(answer.labels[part]):
            there = before if whole else [before[step] for step in present[number_].nonzero()[0].tolist()]
            yield b'{"metric":%b,"values":%b}' % (_json(labels), _points(there, texts[at : at + len(there)]))
            at += len(there)


def _before(times: npt.NDArray[np.int64]) -> list[bytes]:
    """What stands before each sample's value."""
    return [b'"],[%b,"' % _stamp(at) for at in times.tolist()]


def _points(before: list[bytes], texts: list[bytes]) -> bytes:
    """`[[time, "value"], …]`."""
    if not before:
        return b"[]"
    parts = [b""] * (2 * len(before))
    parts[0::2] = before
    parts[1::2] = texts
    return b"[" + b"".join(parts)[3:] + b'"]]'


def _mixed(answer: QueryResult, row: int, stamps: list[bytes]) -> bytes:
    """A series of a range query that may hold native histograms."""
    assert answer.histograms is not None
    there = answer.present[row].tolist()
    own: list[Histogram | None] = answer.histograms[row].tolist()
    plain = [at for at, one in enumerate(own) if there[at] and one is None]
    native = [(stamps[at], one) for at, one in enumerate(own) if there[at] and one is not None]
    points = _points([b'"],[%b,"' % stamps[at] for at in plain], numbers(answer.values[row][plain]))
    return _both(answer.labels[row], points if plain else b"", native)


def _raw(answer: QueryResult) -> Iterator[bytes]:
    none: tuple[npt.NDArray[np.int64], list[Histogram]] = (answer.times[:0], [])
    native = answer.series_histograms or [none] * len(answer.series)
    for labels, (times, values), (at, found) in zip(answer.labels, answer.series, native, strict=True):
        points = _points(_before(times), numbers(values)) if len(times) else b""
        yield _both(labels, points, list(zip(map(_stamp, at.tolist()), found, strict=True)))


def _both(labels: dict[str, str], points: bytes, native: Sequence[tuple[bytes, Histogram]]) -> bytes:
    parts = [b'"metric":' + _json(labels)]
    if points:
        parts.append(b'"values":' + points)
    if native:
        shown = b",".join(b"[%b,%b]" % (at, histogram(one).encode()) for at, one in native)
        parts.append(b'"histograms":[' + shown + b"]")
    return b"{" + b",".join(parts) + b"}"


def _stamp(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    return b"%d.%03d" % (seconds, rest) if rest else b"%d" % seconds


def number(value: float) -> str:
    """A sample as Prometheus writes it: shortest digits, NaN, +Inf, -Inf."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if text[-1] in "fn" or "e" in text:
        return _odd(value, text)
    return text


def _odd(value: float, text: str) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = text.partition("e")
    # An exponent of at least two digits, and plain digits between 1e-6 and 1e21.
    if 1e-6 <= abs(value) < 1e21:
        from mamimon.metrics.promql.text import format_float

        return format_float(value)
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"


def histogram(one: Histogram) -> str:
    """A native histogram: its buckets that are not empty as `[rule, lower, upper, count]`.

    The rule says which bounds belong to a bucket: 0 the upper, 1 the lower, 2 neither, 3 both.
    """
    parts = [f'"count":"{number(one.count)}"', f'"sum":"{number(one.sum)}"']
    shown = ",".join(_bucket(one, bucket) for bucket in buckets(one) if bucket.count)
    if shown:
        parts.append(f'"buckets":[{shown}]')
    return "{" + ",".join(parts) + "}"


def _bucket(one: Histogram, bucket: Bucket) -> str:
    bounds = f'"{number(bucket.lower)}","{number(bucket.upper)}"'
    return f'[{bound_rule(one, bucket)},{bounds},"{number(bucket.count)}"]'


def bound_rule(one: Histogram, bucket: Bucket) -> int:
    """See `histogram`."""
    if one.is_custom:
        return 3 if math.isinf(bucket.lower) else 0
    if bucket.lower < 0 < bucket.upper or bucket.lower == bucket.upper:
        return 3
    return 1 if bucket.lower < 0 else 0
