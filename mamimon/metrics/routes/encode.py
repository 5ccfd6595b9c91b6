"""Query results as the JSON of the Prometheus API, written from the arrays, no Python code a sample.

Whole numbers below 2**32, what most counters and gauges are, get their digits from numpy: each sample has
a field as wide as the widest, with the text before it, and the unused bytes are deleted (0.04 µs a sample,
in all cores). Other numbers get them from msgspec, some thousand a call, cut apart at the commas and joined
with the timestamps' text (0.06 µs whole, 0.13 µs with decimals). Pieces are small, because each holds the
interpreter's lock while it is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
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
_FEW = 16
_json = msgspec.json.Encoder().encode


def encode(answer: QueryResult, stats: bytes = b"") -> list[bytes]:
    """The `data` of an answer in parts; `stats` is JSON beside the result. Long work for large answers."""
    if answer.kind == "matrix":
        result = [b"[", *_listed(_raw(answer) if answer.series else _matrix(answer)), b"]"]
    elif answer.kind == "vector":
        result = [b"[", *_listed(_vector(answer)), b"]"]
    else:
        at = _stamp(int(answer.times[0]))
        text = _json(answer.text) if answer.kind == "string" else b'"%b"' % numbers(answer.values[0])[0]
        result = [b"[%b,%b]" % (at, text)]
    more = [b',"stats":', stats] if stats else []
    return [b'{"resultType":"%b","result":' % answer.kind.encode(), *result, *more, b"}"]


def _listed(items: Iterable[bytes]) -> list[bytes]:
    out: list[bytes] = []
    for item in items:
        out += (item, b",")
    return out[:-1]


def numbers(values: Floats) -> list[bytes]:
    """Each number of a vector as Prometheus writes it."""
    import numpy as np

    if len(values) <= _FEW:
        return [number(value).encode() for value in values.tolist()]
    with np.errstate(invalid="ignore"):
        size = np.abs(values)
    if (size < 1e15).all() and (values == np.trunc(values)).all() and not np.signbit(values).any():
        return _json(values.astype(np.int64).tolist())[1:-1].split(b",")
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
    from mamimon.metrics.promql.parallel import each

    before = _before(answer.times)
    field = _field(before, answer)
    rows = max(1, _PIECE // len(answer.times))

    def work(first: int) -> list[bytes]:
        part = slice(first, first + rows)
        if field is not None:
            points = _whole(answer.values[part], answer.present[part], field)
        else:
            points = _written(answer.values[part], answer.present[part], before)
        return [
            b'{"metric":%b,"values":%b}' % (_json(labels), one)
            for labels, one in zip(answer.labels[part], points, strict=True)
        ]

    # Only numpy lets go of the interpreter's lock.
    cells = answer.values.size if field is not None else 0
    for found in each(work, range(0, len(answer.labels), rows), cells):
        yield from found


def _written(values: Floats, present: npt.NDArray[np.bool_], before: list[bytes]) -> Iterator[bytes]:
    """The points of some series, numbers written by msgspec."""
    whole = bool(present.all())
    texts = numbers(values.ravel() if whole else values[present])
    at = 0
    for row in range(len(values)):
        there = before if whole else [before[step] for step in present[row].nonzero()[0].tolist()]
        yield _points(there, texts[at : at + len(there)])
        at += len(there)


def _field(before: list[bytes], answer: QueryResult) -> npt.NDArray[np.uint8] | None:
    """The text before each sample, [steps, bytes], if most are there and all are whole, for `_whole`."""
    import numpy as np

    values = answer.values
    if values.size > 2 * answer.present.sum() or not values.size:
        return None
    with np.errstate(invalid="ignore"):  # what is not there may be anything
        fine = (values >= 0) & (values < 2**32) & (values == np.trunc(values)) & ~np.signbit(values)
    if not (fine | ~answer.present).all():
        return None
    width = max(map(len, before))
    padded = b"".join(text.ljust(width, b"\0") for text in before)
    return np.frombuffer(padded, np.uint8).reshape(-1, width)


def _whole(values: Floats, present: npt.NDArray[np.bool_], field: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """The points of some series of whole numbers below 2**32."""
    import numpy as np

    ten = np.uint32(10)
    every = bool(present.all())
    rest = (values if every else np.where(present, values, 0.0)).astype(np.uint32)
    digits = len(str(int(rest.max())))
    width = field.shape[1]
    out = np.empty((*values.shape, width + digits), np.uint8)
    out[:, :, :width] = field
    for place in range(width + digits - 1, width - 1, -1):
        tenth = rest // ten
        digit = (rest - tenth * ten).astype(np.uint8)
        digit += 48
        if place < width + digits - 1:
            digit[rest == 0] = 0
        out[:, :, place] = digit
        rest = tenth
    if not every:
        out[~present] = 0
    for row in out:
        text = row.tobytes().translate(None, b"\0")
        yield b"[" + text[3:] + b'"]]' if text else b"[]"


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
