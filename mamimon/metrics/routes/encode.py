"""Query results as the JSON of the Prometheus API, written from the arrays, no Python code a sample.

A matrix becomes pieces of about a megabyte, one after another, so that nobody ever holds the whole text:
first touching the memory of thirty megabytes costs more than writing the digits. See `digits` for these.
Each piece is made while the one before it is sent, so a second thread for making them would gain nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mamimon.metrics.histogram import Bucket, buckets
from mamimon.metrics.routes.digits import numbers, points, room, stamped
from mamimon.metrics.routes.number import number

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import Few
    from mamimon.metrics.routes.digits import Fields

    Floats = npt.NDArray[np.float64]

_TILE = 1 << 15
"""Samples written at once: what is needed for them fits the processor's cache."""
_PIECE = 1 << 16
"""Samples of a piece, at least."""
_json = msgspec.json.Encoder().encode


def encode(answer: QueryResult, stats: bytes = b"") -> Iterator[bytes | memoryview]:
    """The `data` of an answer in pieces; `stats` is JSON beside the result. Long work for large answers."""
    start, end = b'{"resultType":"%b","result":' % answer.kind.encode(), b"}"
    if stats:
        end = b',"stats":%b}' % stats
    plain = answer.kind == "matrix" and not answer.series and answer.histograms is None
    if plain and answer.labels and answer.present.any(axis=1).all():
        yield from _matrix(answer, start + b"[", b"]" + end)
        return
    if answer.kind == "matrix":
        result = b"[%b]" % b",".join(_raw(answer) if answer.series else _with_histograms(answer))
    elif answer.kind == "vector":
        result = b"[%b]" % b",".join(_vector(answer))
    else:
        at = _stamp(int(answer.times[0]))
        text = _json(answer.text) if answer.kind == "string" else b'"%b"' % numbers(answer.values[0])[0]
        result = b"[%b,%b]" % (at, text)
    yield start + result + end


def encode_few(answer: Few) -> bytes:
    """The whole body of a small answer without arrays."""
    at = _stamp(answer.at_ms)
    if answer.kind == "scalar":
        result = b'[%b,"%b"]' % (at, number(answer.rows[0][1]).encode())
    else:
        result = b",".join(
            [
                b'{"metric":%b,"value":[%b,"%b"]}' % (labels, at, number(value).encode())
                for labels, value in answer.rows
            ]
        )
        result = b"[%b]" % result
    return b'{"status":"success","data":{"resultType":"%b","result":%b}}' % (answer.kind.encode(), result)


def _vector(answer: QueryResult) -> Iterator[bytes]:
    at = _stamp(int(answer.times[0]))
    own = [None] * len(answer.labels) if answer.histograms is None else answer.histograms[:, 0].tolist()
    for labels, text, one in zip(answer.labels, numbers(answer.values[:, 0]), own, strict=True):
        if one is None:
            yield b'{"metric":%b,"value":[%b,"%b"]}' % (_json(labels), at, text)
        else:
            yield b'{"metric":%b,"histogram":[%b,%b]}' % (_json(labels), at, histogram(one).encode())


def _matrix(answer: QueryResult, start: bytes, end: bytes) -> Iterator[bytes | memoryview]:
    """Series of numbers alone, from `start` to `end`."""
    import numpy as np

    fields = _stamped(answer.times.tobytes())
    before = [] if fields is not None else _before(answer.times)
    steps = len(answer.times)
    rows = max(1, _TILE // steps)
    piece = rows * max(1, _PIECE // _TILE)
    for first in range(0, len(answer.labels), piece):
        last = min(first + piece, len(answer.labels))
        heads = [b'"]]},{"metric":%b,"values":[' % _json(labels) for labels in answer.labels[first:last]]
        if not first:
            heads[0] = start + heads[0][len(b'"]]},') :]
        tail = b'"]]}' + end if last == len(answer.labels) else b""
        if fields is None:
            parts = _joined(answer.values[first:last], answer.present[first:last], before)
            yield b"".join((*itertools.chain.from_iterable(zip(heads, parts, strict=True)), tail))
            continue
        out = np.empty(room((last - first) * steps, fields, [*heads, tail]), dtype=np.uint8)
        at = 0
        for low in range(first, last, rows):
            part = slice(low, min(low + rows, last))
            own = heads[low - first : part.stop - first]
            at = points(answer.values[part], answer.present[part], fields, own, out, at)
        out.data[at : at + len(tail)] = tail
        yield out.data[: at + len(tail)]


@lru_cache(maxsize=4)
def _stamped(times: bytes) -> Fields | None:
    """The text before each sample: all panels of a dashboard have the same steps."""
    import numpy as np

    return stamped(np.frombuffer(times, dtype=np.int64))


def _joined(values: Floats, present: npt.NDArray[np.bool_], before: list[bytes]) -> Iterator[bytes]:
    """The samples of each row, with texts before them that have several widths."""
    texts = numbers(values[present])
    at = 0
    for row in range(len(values)):
        steps = present[row].nonzero()[0].tolist()
        parts = [b""] * (2 * len(steps))
        parts[0::2] = [before[step] for step in steps]
        parts[1::2] = texts[at : at + len(steps)]
        at += len(steps)
        yield b"".join(parts)[3:]


def _with_histograms(answer: QueryResult) -> Iterator[bytes]:
    stamps = [_stamp(at) for at in answer.times.tolist()]
    for row in range(len(answer.labels)):
        yield _mixed(answer, row, stamps)


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
    there = answer.present[row].tolist()
    own: list[Histogram | None] = [None] * len(there)
    if answer.histograms is not None:
        own = answer.histograms[row].tolist()
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
