"""An open chunk made of its write-ahead rows again.

Rows follow each other in time but for late ones, so they are decoded straight into the matrix, without a
copy a row; the first one that does not follow is the end of that, and the rest goes the general way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import zstandard

from mamimon.metrics.model import ABSENT_BITS, HISTOGRAM_BITS
from mamimon.metrics.store import codec
from mamimon.metrics.store.head import Head, Row
from mamimon.metrics.store.histograms import unpack_all
from mamimon.metrics.store.starts import unpack_changes

LoggedRow: TypeAlias = tuple[int, bytes, bytes, bytes, bytes]
"""Milliseconds, series ids that become columns (int32), the row, its packed histograms and starts."""


def replay(head: Head, rows: Sequence[LoggedRow]) -> Head:
    """Fill an empty head; `last_logged` is then its last row."""
    following = _following(rows)
    ids = [np.frombuffer(added, np.int32) for _, added, _, _, _ in rows[:following]]
    width = sum(len(one) for one in ids)
    bits = np.empty((following + 16, width), dtype=np.uint64)
    decompress = zstandard.ZstdDecompressor().decompress
    before: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
    histograms: list[tuple[int, npt.NDArray[np.uint64], bytes]] = []
    for place, (at, _, blob, packed, began) in enumerate(rows[:following]):
        change = np.frombuffer(decompress(blob), np.uint64)
        row = bits[place]
        np.bitwise_xor(change[: len(before)], before, out=row[: len(before)])
        row[len(before) : len(change)] = change[len(before) :]
        row[len(change) :] = ABSENT_BITS
        before = row[: len(change)]
        if began:
            head.starts.apply(at, unpack_changes(began), None)
        if packed:
            histograms.append((at, before, packed))
    times = np.asarray([at for at, *_ in rows[:following]], dtype=np.int64)
    head.fill(times, bits.view(np.float64), np.concatenate(ids).tolist() if ids else [])
    head.last_logged = before.copy()
    for at, row, packed in histograms:
        head.fill_histograms(at, _placed(row, packed))
    for at, added, blob, packed, began in rows[following:]:
        row = codec.decode_row(blob, head.last_logged)
        new = np.frombuffer(added, np.int32).tolist()
        native = _placed(row, packed) if packed else {}
        head.apply(Row(at, new, row.view(np.float64), native, unpack_changes(began) if began else {}))
        head.last_logged = row
    return head


def _following(rows: Sequence[LoggedRow]) -> int:
    """How many rows from the first on are each later than the one before."""
    last = None
    for count, (at, *_) in enumerate(rows):
        if last is not None and at <= last:
            return count
        last = at
    return len(rows)


def _placed(row: npt.NDArray[np.uint64], packed: bytes) -> dict[int, bytes]:
    """Column → histogram of a row."""
    places = np.flatnonzero(row == HISTOGRAM_BITS).tolist()
    return dict(zip(places, unpack_all(zstandard.decompress(packed)), strict=True))
