"""Numbers as the text of the Prometheus API, thousands at once, without a Python object a sample.

Whole numbers get their digits from tables of four digits, by arithmetic on words of eight bytes; other
numbers get them from msgspec. Either way each text lies at the left of a field of fixed width. The fields
are then written to where their texts belong, in order, so that what follows a text in its field is
overwritten by the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint64]
    Fields = npt.NDArray[np.void]

_FEW = 16
_WIDEST = 24
"""Bytes of the longest number: sign, 17 digits, point, e-308."""
_WHOLE_BELOW = 1e15
_json = msgspec.json.Encoder().encode


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


def numbers(values: Floats) -> list[bytes]:
    """Each number of a vector as Prometheus writes it."""
    if len(values) <= _FEW:
        return [number(value).encode() for value in values.tolist()]
    if _are_whole(values):
        return _json(values.astype("int64").tolist())[1:-1].split(b",")
    texts = (_json(values.tolist())[1:-1] + b",").replace(b".0,", b",").split(b",")
    texts.pop()
    for place in _not_plain(values):
        texts[place] = number(float(values[place])).encode()
    return texts


def _are_whole(values: Floats) -> bool:
    import numpy as np

    with np.errstate(invalid="ignore"):
        inside = (values >= 0) & (values < _WHOLE_BELOW) & (values == np.trunc(values))
    return bool(inside.all()) and not np.signbit(values).any()


def _not_plain(values: Floats) -> list[int]:
    """Where msgspec writes another text than Prometheus."""
    import numpy as np

    size = np.abs(values)
    plain = (size < _WHOLE_BELOW) & (size >= 1e-5) | (size == 0)
    found: list[int] = np.flatnonzero(~plain).tolist()
    return found


def stamped(times: Ints) -> Fields | None:
    """The text before each sample, if all times (ms) are whole seconds of as many digits."""
    import numpy as np

    seconds, rest = np.divmod(times, 1000)
    if rest.any() or seconds[0] < 0:
        return None
    stamps, lengths = _whole(seconds.astype(np.float64))
    width = int(lengths[0])
    if (lengths != width).any():
        return None
    out = np.empty(len(times), dtype=[("open", "S4"), ("stamp", f"V{width}"), ("quote", "S2")])
    out["open"], out["stamp"], out["quote"] = b'"],[', stamps, b',"'
    return out.view(f"V{out.itemsize}")


def points(values: Floats, present: npt.NDArray[np.bool_], before: Fields) -> Iterator[memoryview]:
    """The samples of each row, [steps] or fewer, each behind the text `before` its step."""
    import numpy as np

    every = bool(present.all())
    flat = values.ravel() if every else values[present]
    if not len(flat):
        yield from (memoryview(b"") for _ in values)
        return
    texts, lengths = _whole(flat) if _are_whole(flat) else _written(flat)
    fields = np.empty(len(flat), dtype=[("before", before.dtype), ("text", texts.dtype)])
    if every:
        fields["before"].reshape(values.shape)[:] = before
    else:
        fields["before"] = np.broadcast_to(before, values.shape)[present]
    fields["text"] = texts
    lengths += before.itemsize
    ends = np.add.accumulate(lengths)
    out = np.empty(int(ends[-1]) + fields.itemsize, dtype=np.uint8)
    _fields_of(out, fields.itemsize)[ends - lengths] = fields.view(f"V{fields.itemsize}")
    raw = out.data
    begin = 0
    for last in np.add.accumulate(present.sum(axis=1)).tolist():
        end = int(ends[last - 1]) if last else 0
        yield raw[begin:end]
        begin = end


def _fields_of(raw: npt.NDArray[np.uint8], width: int) -> Fields:
    """The field of `width` bytes that begins at each byte."""
    import numpy as np

    return np.ndarray((len(raw) - width + 1,), dtype=f"V{width}", buffer=raw, strides=(1,))


def _written(values: Floats) -> tuple[Fields, Ints]:
    """Any numbers, in fields, and how long each is."""
    import numpy as np

    text = _json(values.tolist())
    raw = np.frombuffer(text + bytes(_WIDEST), dtype=np.uint8)
    commas = np.flatnonzero(raw == ord(","))
    starts = np.concatenate(([1], commas + 1))
    ends = np.concatenate((commas, [len(text) - 1]))
    lengths = ends - starts
    lengths[(raw[ends - 1] == ord("0")) & (raw[ends - 2] == ord("."))] -= 2
    fields = _fields_of(raw, _WIDEST)[starts]
    for place in _not_plain(values):
        one = number(float(values[place])).encode()
        fields[place], lengths[place] = one.ljust(_WIDEST), len(one)
    return fields, lengths


@cache
def _tables() -> tuple[Words, Words]:
    """The text of each number below 10,000 in the low bytes, first digit lowest.

    The first table is for what stands in front: nothing for 0, and the bits of its text above 2**56. The
    second is for what stands last, [10,000] by itself and [10,000] behind something, so with leading zeros,
    and the bytes of its text above 2**56.
    """
    import numpy as np

    every = np.arange(10_000)
    digits = np.stack([every // 1000, every // 100 % 10, every // 10 % 10, every % 10], axis=1) + ord("0")
    padded = digits.astype(np.uint8).view("<u4").ravel().astype(np.uint64)
    length = 1 + (every >= 10) + (every >= 100) + (every >= 1000)
    bare = padded >> (8 * (4 - length)).astype(np.uint64)
    front = bare | length.astype(np.uint64) << np.uint64(59)
    front[0] = 0
    last = np.concatenate((bare | length.astype(np.uint64) << np.uint64(56), padded | np.uint64(4 << 56)))
    return front, last


def _whole(values: Floats) -> tuple[Fields, Ints]:
    """As `_written`, for whole numbers from 0 to below 10**15."""
    import numpy as np

    if not (values >= 1e8).any():
        words, lengths = _eight(values, None)
        return words.view("V8"), lengths
    high = np.trunc(values / 1e8)
    behind = high > 0
    first, lengths = _eight(high, None)
    first[~behind], lengths[~behind] = 0, 0
    second, more = _eight(values - high * 1e8, behind)
    out = np.empty((len(values), 2), dtype=np.uint64)
    shift = lengths.astype(np.uint64) * np.uint64(8)
    # A shift by all bits gives 0 in numpy.
    out[:, 0] = first | second << shift
    out[:, 1] = second >> np.uint64(64) - shift
    lengths += more
    return out.view("V16").ravel(), lengths


def _eight(values: Floats, behind: npt.NDArray[np.bool_] | None) -> tuple[Words, Ints]:
    """Whole numbers below 10**8 as words of text; all eight digits where they stand `behind` others."""
    import numpy as np

    front, last = _tables()
    high = (values / 1e4).astype(np.int64)
    low = (values - high * 1e4).astype(np.int64)
    if behind is not None:
        padded = last[10_000:]
    low += np.minimum(high, 1) * 10_000
    above, below = front.take(high), last.take(low)
    text = np.uint64((1 << 56) - 1)
    bits = above >> np.uint64(56)
    words = (above & text) | (below & text) << bits
    lengths = ((below >> np.uint64(56)) + (bits >> np.uint64(3))).astype(np.int64)
    if behind is not None:
        every = (padded.take(high) & text) | (padded.take(low % 10_000) & text) << np.uint64(32)
        words, lengths = np.where(behind, every, words), np.where(behind, 8, lengths)
    return words, lengths
