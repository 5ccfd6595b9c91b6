"""Native histograms in the store: packed one by one while a chunk is open, as a matrix once it is sealed.

A histogram column of a sealed chunk is itself a small matrix chunk: a row a bucket (and one each for
count, sum and zero bucket), a column a sample, compressed by the same codec as ordinary series.
Samples of different schemas, zero thresholds or custom bounds lie in matrices of their own; a bucket
that some samples of a matrix lack is zero there, which is the same histogram.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Hint, Histogram, changed, has_reset
from mamimon.metrics.store import codec

_HINTS: tuple[Hint, ...] = ("unknown", "reset", "not_reset", "gauge")
_FIXED = 3  # count, sum, zero bucket

pack = msgspec.msgpack.Encoder().encode
"""A histogram as bytes."""
unpack = msgspec.msgpack.Decoder(Histogram).decode
"""Undo `pack`."""
pack_all = msgspec.msgpack.Encoder().encode
"""A scrape's packed histograms as one piece, for the write-ahead log."""
unpack_all = msgspec.msgpack.Decoder(list[bytes]).decode
"""Undo `pack_all`."""


class _Group(msgspec.Struct, array_like=True):
    schema: int
    zero_threshold: float
    custom: tuple[float, ...]
    positive: list[int]
    negative: list[int]
    where: bytes
    """Places of its samples (int32) in the column; empty if all are here."""
    matrix: bytes


class _Column(msgspec.Struct, array_like=True):
    count: int
    hints: bytes
    groups: list[_Group]


_decode = msgspec.msgpack.Decoder(_Column).decode


def encode_column(samples: Sequence[Histogram]) -> bytes:
    """Compress the histograms of one series in the order of time."""
    alike: dict[tuple[int, float, tuple[float, ...]], list[int]] = defaultdict(list)
    for place, one in enumerate(samples):
        alike[one.schema, one.zero_threshold, one.custom].append(place)
    groups = []
    for (schema, threshold, custom), places in alike.items():
        chosen = [samples[place] for place in places]
        positive = sorted({index for one in chosen for index in one.positive})
        negative = sorted({index for one in chosen for index in one.negative})
        matrix = np.zeros((_FIXED + len(positive) + len(negative), len(chosen)))
        for at, one in enumerate(chosen):
            matrix[:_FIXED, at] = one.count, one.sum, one.zero_count
            matrix[_FIXED : _FIXED + len(positive), at] = [one.positive.get(i, 0.0) for i in positive]
            matrix[_FIXED + len(positive) :, at] = [one.negative.get(i, 0.0) for i in negative]
        where = b"" if len(alike) == 1 else np.asarray(places, dtype=np.int32).tobytes()
        groups.append(_Group(schema, threshold, custom, positive, negative, where, codec.encode(matrix)))
    hints = bytes(_HINTS.index(one.hint) for one in samples)
    return pack(_Column(len(samples), hints if any(hints) else b"", groups))


class Column:
    """A decoded column; histograms are made of it on demand."""

    def __init__(self, blob: bytes) -> None:
        found = _decode(blob)
        self._hints = found.hints
        self._groups: list[tuple[_Group, npt.NDArray[np.float64]]] = []
        self._group = np.zeros(found.count, dtype=np.int32)
        self._place = np.arange(found.count, dtype=np.int32)
        for number, group in enumerate(found.groups):
            matrix = np.ascontiguousarray(codec.decode(group.matrix).T)
            group.matrix = b""
            self._groups.append((group, matrix))
            if group.where:
                where = np.frombuffer(group.where, dtype=np.int32)
                self._group[where] = number
                self._place[where] = np.arange(len(where), dtype=np.int32)

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return sum(matrix.nbytes for _, matrix in self._groups) + 8 * len(self._group)

    def read(self, low: int, high: int) -> list[Histogram]:
        """The histograms numbered `low <= i < high`."""
        out = []
        for number in range(low, high):
            group, matrix = self._groups[int(self._group[number])]
            row = matrix[self._place[number]].tolist()
            middle = _FIXED + len(group.positive)
            out.append(
                Histogram(
                    schema=group.schema,
                    count=row[0],
                    sum=row[1],
                    zero_threshold=group.zero_threshold,
                    zero_count=row[2],
                    positive={i: v for i, v in zip(group.positive, row[_FIXED:middle], strict=True) if v},
                    negative={i: v for i, v in zip(group.negative, row[middle:], strict=True) if v},
                    custom=group.custom,
                    hint=_HINTS[self._hints[number]] if self._hints else "unknown",
                )
            )
        return out


def known_reset(sample: Histogram, before: Histogram | None) -> Hint:
    """What the store can say of a counter reset between a sample and the one before it.

    As Prometheus' head: a sample that goes on in the same layout is known to be no reset; what may be
    one is left to who reads it, because there the sample before may be another one.
    """
    if sample.hint in ("gauge", "reset"):
        return sample.hint
    if before is None or before.hint == "gauge" or sample.count < before.count:
        return "unknown"
    if (sample.schema, sample.zero_threshold, sample.custom) != (
        before.schema,
        before.zero_threshold,
        before.custom,
    ):
        return "unknown"
    return "unknown" if has_reset(changed(sample, hint="unknown"), before) else "not_reset"
