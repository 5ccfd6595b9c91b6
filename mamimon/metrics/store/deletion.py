"""Deleting samples for good: chunks that hold them are written anew without them.

Prometheus marks what is deleted and drops it at a later compaction; our parts are small enough to be
rewritten at once, so `clean_tombstones` only gives the space back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, HISTOGRAM_BITS
from mamimon.metrics.store import codec
from mamimon.metrics.store.chunk import Chunk
from mamimon.metrics.store.histograms import encode_column

if TYPE_CHECKING:
    from mamimon.metrics.store.day import Day

NOBODY = 2**31 - 1
"""Stands in a chunk's ids where a series lost its last sample."""


class Rewritten(msgspec.Struct, eq=False):
    """What changes in the file for one chunk."""

    chunk: int
    ids: npt.NDArray[np.int32]
    parts: dict[int, bytes]
    histograms: dict[int, bytes]
    """Place → compressed histograms, empty where none is left."""
    samples: int
    """How many are gone."""


async def delete(day: Day, ids: npt.NDArray[np.int32], start: int, end: int) -> int:
    """Delete the samples of some series of a day, `start <= t <= end` (ms); returns how many.

    The caller holds off appends and sealing.
    """
    for head in list(day.heads):
        overlaps = head.count and head.times[0] <= end and head.times[-1] >= start
        if overlaps and np.isin(np.asarray(head.columns), ids).any():
            await day.seal(head)
    touched = [chunk for chunk in day.chunks if chunk.start <= end and chunk.end >= start]
    found = [await asyncio.to_thread(_without, day, chunk, ids, start, end) for chunk in touched]
    changes = [one for one in found if one is not None]
    await day.file.erase(changes, ids.tolist(), start, end)
    by_id = {one.chunk: one.ids for one in changes}
    with day.lock:
        for chunk in day.chunks:
            chunk.ids = by_id.get(chunk.id, chunk.ids)
    return sum(one.samples for one in changes)


def _without(day: Day, chunk: Chunk, ids: npt.NDArray[np.int32], start: int, end: int) -> Rewritten | None:
    places = np.flatnonzero(np.isin(chunk.ids, ids))
    low, high = np.searchsorted(chunk.times, start), np.searchsorted(chunk.times, end, side="right")
    if not len(places) or low == high:
        return None
    out = Rewritten(chunk.id, chunk.ids.copy(), {}, {}, 0)
    parts = np.searchsorted(chunk.cuts, places, side="right") - 1
    for part in np.unique(parts).tolist():
        matrix = day.file.part(chunk.id, part).copy()
        for place in places[parts == part].tolist():
            row = matrix[place - chunk.cuts[part]]
            native = row.view(np.int64) == HISTOGRAM_BITS
            there = row.view(np.int64) != ABSENT_BITS
            out.samples += int(there[low:high].sum())
            row[low:high] = ABSENT_NAN
            if native[low:high].any():
                out.histograms[place] = _kept_histograms(day, chunk.id, place, native, slice(low, high))
            if not (there[:low].any() or there[high:].any()):
                out.ids[place] = NOBODY
        out.parts[part] = codec.encode(matrix)
    return out


def _kept_histograms(day: Day, chunk: int, place: int, native: npt.NDArray[np.bool_], gone: slice) -> bytes:
    column = day.file.histogram_column(chunk, -1 - place)
    numbers = np.cumsum(native) - 1
    keep = native.copy()
    keep[gone] = False
    kept = [column.read(number, number + 1)[0] for number in numbers[keep].tolist()]
    return encode_column(kept) if kept else b""
