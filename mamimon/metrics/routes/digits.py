"""Numbers as the text of the Prometheus API, thousands at once, without a Python object a sample.

Whole numbers get their digits from tables of four digits, by arithmetic on words of eight bytes; other
numbers get them from msgspec. Either way each text lies at the left of a field of fixed width. The fields
are then written to where their texts belong, in order, so that what follows a text in its field is
overwritten by the next one. Between two series a gap is left for the labels.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mamimon.metrics.routes.number import number

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint64]
    Fields = npt.NDArray[np.void]
    Bytes = npt.NDArray[np.uint8]

_FEW = 16
_WIDEST = 24
"""Bytes of the longest number: sign, 17 digits, point, e-308."""
_MOST_EVEN = 7
"""Digits that fit a word with their quotation mark."""
_CLOSED = len(b'"],')
"""The end of a sample, which stands before the next one and before a series' first one does not belong."""
_WHOLE_BELOW = 1e15
_json = msgspec.json.Encoder().encode


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

    if values.item(0) % 1:  # most others are told by their first
        return False
    with np.errstate(invalid="ignore"):
        inside = (values >= 0) & (values < _WHOLE_BELOW) & (values == np.trunc(values))
    return bool(inside.all()) and not np.signbit(values).any()


def _not_plain(values: Floats) -> list[int]:
    """Where msgspec writes another text than Prometheus."""
    import numpy as np

    size = np.abs(values)
    if size.min() >= 1e-5 and size.max() < _WHOLE_BELOW:
        return []
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


def points(
    values: Floats, present: npt.NDArray[np.bool_], before: Fields, heads: list[bytes], out: Bytes, at: int
) -> int:
    """Write the samples of each row, [steps] or fewer, each behind the text `before` its step.

    Every row has some, and `heads` goes before the first, less the three bytes that close the sample
    before it. They go into `out` from `at` on, which has room for `room` bytes; returns where they end.
    A head ends with a bracket, before which there may be blanks.
    """
    import numpy as np

    there = present.all(axis=0)
    every = bool(there.all())
    if not every and int(there.sum()) * len(present) == int(present.sum()):  # all have them at the same steps
        values, before, every = values[:, there], before[there], True
    if every:
        even = _evenly(values.ravel(), before)
        # Heads are made as long as the longest: not where that takes more than the room for these rows.
        share = room(values.size, before, heads) - _WIDEST
        if even is not None and even.pitch(values.shape[1], heads) * len(heads) <= share:
            return _put_evenly(even, values.shape[1], heads, out, at)
    flat = values.ravel() if every else values[present]
    counts = [values.shape[1]] * len(values) if every else present.sum(axis=1).tolist()
    texts, lengths = _texts(flat)
    size = before.itemsize
    fields = np.empty(len(flat), dtype=[("before", before.dtype), ("text", texts.dtype)])
    if every:
        fields["before"].reshape(values.shape)[:] = before
    else:
        fields["before"] = np.broadcast_to(before, values.shape)[present]
    fields["text"] = texts
    firsts = list(itertools.accumulate(counts[:-1], initial=0))
    ends = lengths + size
    ends[firsts] += [len(head) - _CLOSED for head in heads]
    ends[0] += at
    np.add.accumulate(ends, out=ends)
    starts = ends - lengths
    starts -= size
    _strided(out, 0, fields.itemsize, 1, len(out) - fields.itemsize + 1)[starts] = fields.view(
        f"V{fields.itemsize}"
    )
    for start, head in zip(starts[firsts].tolist(), heads, strict=True):
        _put(out, start + _CLOSED - len(head), head)
    return int(ends[-1])


def room(samples: int, before: Fields, heads: list[bytes]) -> int:
    """The most bytes that `points` touches."""
    return samples * (before.itemsize + _WIDEST) + sum(map(len, heads)) + _WIDEST


def _put(out: Bytes, at: int, text: bytes) -> None:
    out.data[at : at + len(text)] = text


def _strided(raw: Bytes, start: int, width: int, apart: int, count: int) -> Fields:
    """Fields of `width` bytes that begin `apart`."""
    import numpy as np

    return np.ndarray((count,), dtype=f"V{width}", buffer=raw, offset=start, strides=(apart,))


def _put_evenly(even: _Even, steps: int, heads: list[bytes], out: Bytes, at: int) -> int:
    """As `points`, where all samples take as many bytes."""
    import numpy as np

    # Heads of one length put all samples of the tile on one grid.
    longest = max(map(len, heads))
    width = even.open + even.width
    pitch = even.pitch(steps, heads)

    def put(where: int, fields: Fields) -> None:
        np.ndarray(
            (len(heads), steps),
            dtype=fields.dtype,
            buffer=out,
            offset=at + longest - _CLOSED + where,
            strides=(pitch, width),
        )[:] = fields

    # In this order: what follows a text in its field is overwritten.
    put(even.open, even.texts.reshape(len(heads), steps))
    for where, fields in even.before:
        put(where, fields)
    for head in heads:
        _put(out, at, head[:-1].ljust(longest - 1) + b"[")
        at += pitch
    return at


def _texts(values: Floats) -> tuple[Fields, Ints]:
    """Any numbers, in fields, and how long each is."""
    import numpy as np

    whole = _small(values)
    if whole is None:
        return _whole(values) if _are_whole(values) else _written(values)
    digits, wide = _digits(whole)
    words = _eight_digits(whole)
    if digits is None:
        digits = np.full(len(values), wide, dtype=np.uint8)
    words >>= ((8 - digits) << 3).astype(np.uint64)
    return words.view("V8"), digits.astype(np.int64)


class _Even(NamedTuple):
    """Samples that all take as many bytes."""

    open: int
    """Bytes before each text."""
    before: list[tuple[int, Fields]]
    """What they are, in pieces: where each begins, and its bytes of every step."""
    width: int
    """Bytes of each text."""
    texts: Fields
    """Eight bytes each."""

    def pitch(self, steps: int, heads: list[bytes]) -> int:
        """Bytes from one row to the next: its head, made as long as the longest, and its samples."""
        return max(map(len, heads)) - _CLOSED + steps * (self.open + self.width)


def _evenly(values: Floats, before: Fields) -> _Even | None:
    """Numbers as texts of one width; None: it cannot be.

    Shorter numbers get blanks before their quotation mark, if they are few: writing all at even distances
    takes half the time.
    """
    import numpy as np

    whole = _small(values)
    if whole is None:
        return None
    digits, wide = _digits(whole)
    words = _eight_digits(whole)
    if digits is None:
        words >>= np.uint64(8 * (8 - wide))
        return _Even(before.itemsize, [(0, before)], wide, words.view("V8"))
    if wide > _MOST_EVEN or wide * len(values) - int(digits.sum(dtype=np.uint32)) > len(values) * 3 // 2:
        return None
    words >>= np.uint64(8 * (7 - wide))
    words &= np.uint64(2**64 - 256)
    words ^= _blanks(wide).take(digits)
    size = before.itemsize - 1
    raw = before.view(np.uint8).reshape(len(before), -1)
    # Pieces of a whole word are copied three times as fast as others.
    edges = [(0, 8), (size - 8, size)] if 8 < size < 16 else [(0, size)]
    pieces = [
        (low, np.ascontiguousarray(raw[:, low:high]).view(f"V{high - low}").ravel()) for low, high in edges
    ]
    return _Even(size, pieces, 1 + wide, words.view("V8"))


@cache
def _blanks(wide: int) -> Words:
    """By digits: what makes blanks and a quotation mark of the leading zeros behind a byte of 0, by XOR."""
    import numpy as np

    out = np.zeros(wide + 1, dtype=np.uint64)
    for digits in range(1, wide + 1):
        zeros = b"\0" + b"0" * (wide - digits)
        wanted = b'"'.rjust(len(zeros))
        out[digits] = int.from_bytes(zeros, "little") ^ int.from_bytes(wanted, "little")
    return out


def _small(values: Floats) -> npt.NDArray[np.int32] | None:
    """Whole numbers from 0 to below 10**8; None where there are others."""
    import numpy as np

    if values.item(0) % 1:
        return None
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if whole.min() < 0 or whole.max() >= 10**8 or not (whole == values).all():
        return None
    return None if (values.view(np.int64) < 0).any() else whole  # -0


def _digits(whole: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8] | None, int]:
    """How many digits each has (None: all as many), and the most."""
    import numpy as np

    narrow, wide = len(str(whole.min())), len(str(whole.max()))
    if narrow == wide:
        return None, wide
    digits = np.full(len(whole), narrow, dtype=np.uint8)
    for power in range(narrow, wide):
        digits += (whole >= np.int32(10**power)).view(np.uint8)
    return digits, wide


def _eight_digits(whole: npt.NDArray[np.int32]) -> Words:
    """Their text with leading zeros."""
    import numpy as np

    upper, lower = _padded()
    high = whole // np.int32(10_000)
    words = lower.take(whole - high * np.int32(10_000))
    words |= upper.take(high)
    return words


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
    fields = _strided(raw, 0, _WIDEST, 1, len(raw) - _WIDEST + 1)[starts]
    for place in _not_plain(values):
        one = number(float(values[place])).encode()
        fields[place], lengths[place] = one.ljust(_WIDEST), len(one)
    return fields, lengths


@cache
def _padded() -> tuple[Words, Words]:
    """The text of each number below 10,000 with leading zeros, in the low and in the high bytes."""
    import numpy as np

    _, last = _tables()
    return last[10_000:] & np.uint64(0xFFFFFFFF), last[10_000:] << np.uint64(32)


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
