"""Answers questions that reach beyond the raw samples from downsampled days.

A question lies within the raw days (give or take an hour, or 1 % of its length, at its beginning):
then raw samples alone answer it, as Prometheus would. Else every day answers at one resolution, chosen
by the step; days that are not downsampled yet (today) are aggregated as they are read, so that a series
is one row on one grid. What is read of each bucket is decided by who evaluates, so columns are loaded
when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.store.downsample import (
    COLUMNS,
    DAY_MS,
    RESOLUTIONS,
    Coarse,
    between,
    choose,
    grid,
    holds,
)
from mamimon.metrics.store.index import decode_labels, key_of
from mamimon.metrics.store.table import Group
from mamimon.storage.days import day_start

if TYPE_CHECKING:
    from mamimon.metrics.store.history import History
    from mamimon.metrics.store.monthfile import MonthChunk, MonthFile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Spend = Callable[[int], None]
Raw = Callable[[Sequence[Matcher], int, int], Selection]
EDGE_MS = 3_600_000
"""So much of a question may lie beyond the raw days."""


class _Piece(msgspec.Struct, eq=False):
    """Some rows of a day."""

    day: int
    """Which of the question's days."""
    rows: Ints
    load: Callable[[str], Floats]
    """A column of these rows, all buckets of the day."""
    histograms: Callable[[], dict[int, dict[int, Any]]]
    """Place in `rows` → bucket → native histogram."""


class CoarseColumns:
    """See `model.Coarse`: the columns of a block, put together from the days when asked for."""

    def __init__(self, resolution: int, pieces: list[_Piece], shape: tuple[int, int], spend: Spend) -> None:
        self.resolution_ms = resolution
        self._pieces = pieces
        self._shape = shape
        self._keep: npt.NDArray[np.bool_] | None = None
        self._rows: Ints | None = None
        self._spend = spend
        self._columns: dict[str, Floats] = {}

    def narrow(self, rows: Ints, keep: npt.NDArray[np.bool_]) -> CoarseColumns:
        """Only some rows and buckets."""
        out = CoarseColumns(self.resolution_ms, self._pieces, self._shape, self._spend)
        out._rows, out._keep = rows, keep
        out._columns = {name: one[rows][:, keep] for name, one in self._columns.items()}
        return out

    def column(self, name: str) -> Floats:
        """See `model.Coarse.column`."""
        found = self._columns.get(name)
        if found is None:
            width = DAY_MS // self.resolution_ms
            found = np.full(self._shape, 0.0 if name == "ended" else ABSENT_NAN)
            for piece in self._pieces:
                part = piece.load(name)
                self._spend(part.size)
                found[piece.rows, piece.day * width : (piece.day + 1) * width] = part
            if self._rows is not None and self._keep is not None:
                found = found[self._rows][:, self._keep]
            self._columns[name] = found
        return found


class LongReader:
    """Reads for one question; `raw_days` are the days of which there are raw samples."""

    def __init__(self, history: History, raw_days: Sequence[str], step_ms: int) -> None:
        self._history = history
        self._raw_days = set(raw_days)
        self._step = step_ms

    def select(
        self, matchers: Sequence[Matcher], start: int, end: int, raw: Raw, spend: Spend
    ) -> Selection | None:
        """The matching series on a coarse grid; None where raw samples should answer. Blocking."""
        known = self._history.days()
        if not known:
            return None
        every = sorted(known | self._raw_days)
        days = between(every, start, end)
        resolution = self._resolution(days, start, end)
        if not resolution:
            return None
        # A window may want the bucket before it.
        start -= 2 * resolution
        days = between(every, start, end)
        rows: dict[bytes, int] = {}
        pieces: list[_Piece] = []
        for number, day in enumerate(days):
            if self._history.has(day, resolution):
                pieces += self._made(number, day, resolution, matchers, rows)
            elif day in self._raw_days:
                pieces += self._aggregated(number, day, resolution, matchers, rows, (start, end), raw)
        return _joined(rows, pieces, days, resolution, (start, end), spend)

    def _resolution(self, days: list[str], start: int, end: int) -> int:
        beyond = [day for day in days if day not in self._raw_days]
        reach = sum(min(end, _ms(day) + DAY_MS) - max(start, _ms(day)) for day in beyond)
        if reach <= max(EDGE_MS, (end - start) // 100):
            return 0
        wanted = choose(self._step, end - start)
        fine = all(self._history.has(day, wanted) for day in beyond)
        return wanted if fine or wanted == RESOLUTIONS[-1] else RESOLUTIONS[-1]

    def _made(
        self, number: int, day: str, resolution: int, matchers: Sequence[Matcher], rows: dict[bytes, int]
    ) -> list[_Piece]:
        month = self._history.month(day, resolution)
        ids = month.index.match(matchers)
        if not len(ids):
            return []
        row_of = np.full(len(month.index), -1, dtype=np.int64)
        row_of[ids] = [rows.setdefault(month.index.key(i), len(rows)) for i in ids.tolist()]
        out = []
        for chunk in month.chunks.get(day, ()):
            places = np.flatnonzero(row_of[chunk.ids] >= 0)
            if len(places):
                out.append(self._piece(number, row_of[chunk.ids[places]], month, chunk, places))
        return out

    def _piece(self, number: int, rows: Ints, month: MonthFile, chunk: MonthChunk, places: Ints) -> _Piece:
        def load(name: str) -> Floats:
            found = self._history.cache.get(
                month, chunk.id, COLUMNS.index(name), lambda *_: Group(month.column(chunk, name))
            )
            whole = np.asarray(found.values, dtype=np.float64)
            return whole if len(places) == len(whole) else whole[places]

        def histograms() -> dict[int, dict[int, Any]]:
            there = month.with_histograms(chunk)
            return {
                i: dict(month.histograms(chunk, place))
                for i, place in enumerate(places.tolist())
                if place in there
            }

        return _Piece(number, rows, load, histograms)

    def _aggregated(
        self,
        number: int,
        day: str,
        resolution: int,
        matchers: Sequence[Matcher],
        rows: dict[bytes, int],
        span: tuple[int, int],
        raw: Raw,
    ) -> list[_Piece]:
        first = _ms(day)
        found = raw(matchers, max(first, span[0]), min(first + DAY_MS - 1, span[1]))
        if not found.labels:
            return []
        coarse = Coarse(len(found.labels), first, resolution)
        for block in found.blocks:
            coarse.take_in(block)
        where = [rows.setdefault(key_of(labels), len(rows)) for labels in found.labels]
        return [
            _Piece(
                number,
                np.asarray(where, dtype=np.int64),
                coarse.columns.__getitem__,
                lambda: coarse.histograms,
            )
        ]


def _joined(
    rows: dict[bytes, int],
    pieces: list[_Piece],
    days: list[str],
    resolution: int,
    span: tuple[int, int],
    spend: Spend,
) -> Selection:
    if not pieces:
        return Selection([], [])
    times = np.concatenate([grid(_ms(day), resolution) for day in days])
    columns = CoarseColumns(resolution, pieces, (len(rows), len(times)), spend)
    histograms = _histograms(pieces, (len(rows), len(times)), DAY_MS // resolution)
    last, ended = columns.column("last"), columns.column("ended")
    values = np.where(ended > 0, STALE_NAN, last)
    # The bucket that is under way shows what there is of it.
    opened = (times - resolution < span[1]) & (times > span[1])
    times = np.where(opened, span[1], times)
    keep = (times >= span[0]) & (times <= span[1])
    there = values[:, keep].view(np.int64) != ABSENT_BITS
    alive = there.any(axis=1)
    native = np.zeros(len(rows), dtype=bool)
    if histograms is not None:
        native |= holds(histograms[:, keep]).any(axis=1)
    order = list(rows)
    labels: list[Labels] = []
    blocks: list[Block] = []
    for chosen, own in ((np.flatnonzero(alive & ~native), None), (np.flatnonzero(native), histograms)):
        if len(chosen):
            blocks.append(
                Block(
                    times=times[keep],
                    rows=np.arange(len(labels), len(labels) + len(chosen), dtype=np.int64),
                    values=np.ascontiguousarray(values[chosen][:, keep]),
                    histograms=None if own is None else own[chosen][:, keep],
                    coarse=columns.narrow(chosen, keep),
                )
            )
            labels += [decode_labels(order[row]) for row in chosen.tolist()]
    return Selection(labels, blocks)


def _histograms(pieces: list[_Piece], shape: tuple[int, int], width: int) -> npt.NDArray[np.object_] | None:
    out = None
    for piece in pieces:
        for place, found in piece.histograms().items():
            if out is None:
                out = np.full(shape, None, dtype=object)
            for bucket, one in found.items():
                out[int(piece.rows[place]), piece.day * width + bucket] = one
    return out


def _ms(day: str) -> int:
    return round(day_start(day) * 1000)
