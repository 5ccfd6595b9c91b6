"""The open chunk of one source: the scrapes of a two-hour window as a matrix in memory.

A row a scrape, a column a series, in the order in which series appeared. The owner (the store)
serialises changes; readers take copies under its lock.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_BITS, STALE_NAN

WINDOW_MS = 7_200_000


class Row(msgspec.Struct, eq=False):
    """A scrape as a head takes it: new columns and the values of all columns."""

    at: int
    """Milliseconds since the epoch."""
    added: list[int]
    """Series ids that become new columns."""
    values: npt.NDArray[np.float64]
    """[columns]; `ABSENT_NAN` where the scrape has no sample."""


class Head:
    """See the module."""

    def __init__(self, number: int, source: int, window: int) -> None:
        self.number = number
        self.source = source
        self.window = window
        self.sealing = False
        self.columns: list[int] = []
        self.count = 0
        self.last_logged = np.empty(0, dtype=np.uint64)
        self._place: dict[int, int] = {}
        self._times = np.empty(16, dtype=np.int64)
        self._values = np.full((16, 0), ABSENT_NAN)
        self._seen: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """The timestamps, ascending (a view)."""
        return self._times[: self.count]

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """[scrapes, series] (a view)."""
        return self._values[: self.count, : len(self.columns)]

    @property
    def last_at(self) -> int | None:
        """The newest timestamp, or None for an empty head."""
        return int(self._times[self.count - 1]) if self.count else None

    def live(self) -> npt.NDArray[np.bool_]:
        """Which columns had a sample in the newest scrape."""
        if not self.count:
            return np.zeros(len(self.columns), dtype=bool)
        bits = self.values[-1].view(np.int64)
        return np.asarray((bits != ABSENT_BITS) & (bits != STALE_BITS))

    def row(
        self, at: int, ids: npt.NDArray[np.int64], values: npt.NDArray[np.float64], gone: Sequence[int] = ()
    ) -> Row:
        """Lay samples out in column order; `gone` series get a staleness marker.

        A series given twice keeps its first value, as Prometheus does.
        """
        if self._seen is not None and np.array_equal(self._seen[0], ids):
            places = self._seen[1]
            added: list[int] = []
        else:
            places, added = self._places(ids)
        width = len(self.columns) + len(added)
        laid = np.full(width, ABSENT_NAN)
        laid[places[::-1]] = values[::-1]
        if len(gone):
            more = [number for number in gone if number not in self._place and number not in added]
            if more:
                added = [*added, *more]
                laid = np.concatenate([laid, np.full(len(more), STALE_NAN)])
            old = [self._place[number] for number in gone if number in self._place]
            missing = np.asarray(old, dtype=np.int64)
            missing = missing[laid[missing].view(np.int64) == ABSENT_BITS]
            laid[missing] = STALE_NAN
        if not added:
            self._seen = (ids, places)
        return Row(at, added, laid)

    def _places(self, ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[int]]:
        added: dict[int, int] = {}
        known = self._place
        places = np.empty(len(ids), dtype=np.int64)
        for i, number in enumerate(ids.tolist()):
            place = known.get(number)
            if place is None:
                place = added.setdefault(number, len(self.columns) + len(added))
            places[i] = place
        return places, list(added)

    def apply(self, row: Row) -> None:
        """Take a row in; a timestamp that is there already only gains what it lacked."""
        self._widen(row.added)
        values = row.values
        at = int(np.searchsorted(self.times, row.at))
        if at < self.count and self._times[at] == row.at:
            kept = self._values[at, : len(values)]
            lacking = kept.view(np.int64) == ABSENT_BITS
            kept[lacking] = values[lacking]
            return
        if self.count == len(self._times):
            self._grow()
        if at < self.count:
            self._times[at + 1 : self.count + 1] = self._times[at : self.count].copy()
            self._values[at + 1 : self.count + 1] = self._values[at : self.count].copy()
        self._times[at] = row.at
        self._values[at] = ABSENT_NAN
        self._values[at, : len(values)] = values
        self.count += 1

    def _widen(self, added: Sequence[int]) -> None:
        if not added:
            return
        for number in added:
            self._place[number] = len(self.columns)
            self.columns.append(number)
        self._seen = None
        if len(self.columns) > self._values.shape[1]:
            width = max(len(self.columns), self._values.shape[1] * 5 // 4)
            wider = np.full((len(self._times), width), ABSENT_NAN)
            wider[:, : self._values.shape[1]] = self._values
            self._values = wider

    def _grow(self) -> None:
        rows = min(len(self._times) * 2, len(self._times) + 128)
        times = np.empty(rows, dtype=np.int64)
        times[: self.count] = self.times
        values = np.full((rows, self._values.shape[1]), ABSENT_NAN)
        values[: self.count] = self._values[: self.count]
        self._times, self._values = times, values

    def read(
        self, wanted: npt.NDArray[np.bool_], start: int, end: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Copies for `start <= t <= end`: series ids, times, values [series, scrapes].

        `wanted` is a mask over series ids; ids beyond it are newer than the question.
        """
        low, high = np.searchsorted(self.times, start), np.searchsorted(self.times, end, side="right")
        ids = np.asarray(self.columns, dtype=np.int64)
        places = np.flatnonzero(wanted[np.minimum(ids, len(wanted) - 1)] & (ids < len(wanted)))
        return (
            ids[places],
            self._times[low:high].copy(),
            np.ascontiguousarray(self._values[low:high, places].T),
        )

    def bytes(self) -> int:
        """Memory held by the matrix."""
        return int(self._values.nbytes)
