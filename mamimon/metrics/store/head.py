"""The open chunk of one source: the scrapes of a two-hour window as a matrix in memory.

A row a scrape, a column a series, in the order in which series appeared. The owner (the store)
serialises changes; readers take copies under its lock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Histogram, changed
from mamimon.metrics.model import (
    ABSENT_BITS,
    ABSENT_NAN,
    HISTOGRAM_BITS,
    STALE_BITS,
    STALE_NAN,
)
from mamimon.metrics.store.histograms import known_reset, pack, unpack
from mamimon.metrics.store.starts import Starts

WINDOW_MS = 7_200_000


class Row(msgspec.Struct, eq=False):
    """A scrape as a head takes it: new columns and the values of all columns."""

    at: int
    """Milliseconds since the epoch."""
    added: list[int]
    """Series ids that become new columns."""
    values: npt.NDArray[np.float64]
    """[columns]; `ABSENT_NAN` where the scrape has no sample."""
    histograms: dict[int, bytes] = {}
    """Column → packed histogram, ascending, of each `HISTOGRAM_NAN` in `values`."""
    starts: dict[int, int] = {}
    """Column → when its counter began (ms), where that is not what held for the sample before."""


class Head:
    """See the module. Histograms are kept packed, a dict of time → bytes a column that has any."""

    def __init__(self, number: int, source: int, window: int) -> None:
        self.number = number
        self.source = source
        self.window = window
        self.sealing = False
        self.columns: list[int] = []
        self._ids = np.empty(0, dtype=np.int64)
        self.span = (0, 0)
        """The lowest and the highest of `ids`, as `ids` saw them."""
        self.count = 0
        self.last_logged = np.empty(0, dtype=np.uint64)
        self._place: dict[int, int] = {}
        self._times = np.empty(16, dtype=np.int64)
        self._values = np.full((16, 0), ABSENT_NAN)
        self._seen: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None
        self._histograms: dict[int, dict[int, bytes]] = {}
        self._when: dict[int, list[int]] = {}
        self._packed_bytes = 0
        self.starts = Starts()

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """The timestamps, ascending (a view)."""
        return self._times[: self.count]

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """[scrapes, series] (a view)."""
        return self._values[: self.count, : len(self.columns)]

    @property
    def cells(self) -> int:
        """How large it is, in samples."""
        return self.count * len(self.columns) + self._packed_bytes // 8

    @property
    def histogram_columns(self) -> list[int]:
        """The columns that have native histograms."""
        return list(self._histograms)

    @property
    def last_at(self) -> int | None:
        """The newest timestamp, or None for an empty head."""
        return int(self._times[self.count - 1]) if self.count else None

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """The series ids of the columns."""
        if len(self._ids) != len(self.columns):
            self._ids = np.asarray(self.columns, dtype=np.int64)
            self.span = (int(self._ids.min()), int(self._ids.max()))
        return self._ids

    def column(self, number: int) -> npt.NDArray[np.float64] | None:
        """The samples of a series (a view); None without any."""
        place = self._place.get(number)
        return None if place is None or not self.count else self._values[: self.count, place]

    def is_plain(self, number: int) -> bool:
        """Whether a series has but numbers, and nobody said when a counter of the head began."""
        return not self.starts and self._place[number] not in self._histograms

    def may_have(self, wanted: list[int], start: int, end: int) -> bool:
        """Whether one of some series (sorted ids) may have samples between two instants (ms)."""
        if not self.count or self._times[0] > end or self._times[self.count - 1] < start:
            return False
        if not len(self.ids):
            return False
        at = bisect_left(wanted, self.span[0])
        return at < len(wanted) and bool(wanted[at] <= self.span[1])

    def live(self) -> npt.NDArray[np.bool_]:
        """Which columns had a sample in the newest scrape."""
        if not self.count:
            return np.zeros(len(self.columns), dtype=bool)
        bits = self.values[-1].view(np.int64)
        return np.asarray((bits != ABSENT_BITS) & (bits != STALE_BITS))

    def row(
        self,
        at: int,
        ids: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        gone: Sequence[int] = (),
        histograms: Mapping[int, Histogram] | None = None,
        starts: npt.NDArray[np.int64] | None = None,
    ) -> Row:
        """Lay samples out in column order; `gone` series get a staleness marker.

        A series given twice keeps its first value, as Prometheus does. `histograms` has the place in
        `ids` of each native one, `starts` says when counters began (ms, 0 unknown).
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
        packed = self._packed(at, laid, places, histograms) if histograms else {}
        changes = self.starts.changes(at, places, starts) if starts is not None or self.starts else {}
        return Row(at, added, laid, packed, changes)

    def _packed(
        self,
        at: int,
        laid: npt.NDArray[np.float64],
        places: npt.NDArray[np.int64],
        histograms: Mapping[int, Histogram],
    ) -> dict[int, bytes]:
        bits = laid.view(np.int64)
        found: dict[int, Histogram] = {}
        for index, one in sorted(histograms.items()):
            place = int(places[index])
            if bits[place] == HISTOGRAM_BITS and place not in found:
                found[place] = one
        return {
            place: pack(changed(one, hint=known_reset(one, self._before(place, at))))
            for place, one in sorted(found.items())
        }

    def _before(self, place: int, at: int) -> Histogram | None:
        """The histogram of a column just before an instant, if the sample before is one."""
        when = self._when.get(place)
        number = bisect_right(when, at - 1) - 1 if when else -1
        if when is None or number < 0:
            return None
        since = int(np.searchsorted(self.times, when[number], side="right"))
        until = int(np.searchsorted(self.times, at))
        between = self._values[since:until, place].view(np.int64)
        if (between != ABSENT_BITS).any():
            return None
        return unpack(self._histograms[place][when[number]])

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
            self._keep_histograms(row, {place for place in row.histograms if lacking[place]})
            self._keep_starts(row, {place: one for place, one in row.starts.items() if lacking[place]})
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
        if row.histograms:
            self._keep_histograms(row, row.histograms.keys())
        self._keep_starts(row, row.starts)

    def _keep_starts(self, row: Row, changes: dict[int, int]) -> None:
        if changes:
            after = int(np.searchsorted(self.times, row.at, side="right"))
            self.starts.apply(row.at, changes, int(self._times[after]) if after < self.count else None)

    def fill(self, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], columns: list[int]) -> None:
        """Take whole scrapes into an empty head; `values` has a few rows more than `times`, for the next."""
        self._widen(columns)
        self.count = len(times)
        self._times = np.empty(len(values), dtype=np.int64)
        self._times[: self.count] = times
        self._values = values

    def fill_histograms(self, at: int, histograms: dict[int, bytes]) -> None:
        """Take in the packed histograms of a scrape that `fill` brought."""
        self._keep_histograms(Row(at, [], self._values[0], histograms), histograms.keys())

    def _keep_histograms(self, row: Row, places: Iterable[int]) -> None:
        for place in places:
            packed = row.histograms[place]
            kept = self._histograms.setdefault(place, {})
            when = self._when.setdefault(place, [])
            if when and when[-1] > row.at:
                # The one after it was compared with another sample.
                after = when[bisect_right(when, row.at)]
                one = unpack(kept[after])
                if one.hint == "not_reset":
                    kept[after] = pack(changed(one, hint="unknown"))
            kept[row.at] = packed
            insort(when, row.at)
            self._packed_bytes += len(packed)

    def histograms(self, place: int) -> list[Histogram]:
        """A column's native histograms in the order of time; empty for an ordinary one."""
        kept = self._histograms.get(place, {})
        return [unpack(kept[at]) for at in self._when.get(place, ())]

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

    def read(self, places: npt.NDArray[np.int64], start: int, end: int) -> Slice:
        """Copies of some columns for `start <= t <= end`."""
        low = int(self.times.searchsorted(start))
        high = int(self.times.searchsorted(end, side="right"))
        times = self._times[low:high].copy()
        packed = {
            row: {at: kept[at] for at in times.tolist() if at in kept}
            for row, place in enumerate(places.tolist() if self._histograms else ())
            if (kept := self._histograms.get(place))
        }
        values = np.ascontiguousarray(self._values[low:high, places].T)
        starts = self.starts.rows(places, times) if self.starts else None
        return Slice(times, values, {row: found for row, found in packed.items() if found}, starts)

    def bytes(self) -> int:
        """Memory held by the matrix and the packed histograms."""
        return int(self._values.nbytes) + self._packed_bytes


class Slice(msgspec.Struct, eq=False):
    """Part of a head, copied."""

    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """[series, scrapes]; `HISTOGRAM_NAN` where a native histogram is."""
    packed: dict[int, dict[int, bytes]]
    """Row → time → packed histogram."""
    starts: npt.NDArray[np.int64] | None
    """[series, scrapes]: when counters began; None if nobody said."""

    def histograms(self) -> npt.NDArray[np.object_] | None:
        """[series, scrapes] of native histograms, None without any."""
        if not self.packed:
            return None
        out = np.full(self.values.shape, None, dtype=object)
        for row, found in self.packed.items():
            for column in np.flatnonzero(self.values[row].view(np.int64) == HISTOGRAM_BITS).tolist():
                out[row, column] = unpack(found[int(self.times[column])])
        return out


def largest(heads: Iterable[Head], most_cells: int) -> set[Head]:
    """The largest heads, as many as it takes to bring the rest down to `most_cells` samples."""
    left = sorted(heads, key=lambda head: head.cells)
    over = sum(head.cells for head in left) - most_cells
    out: set[Head] = set()
    while over > 0 and left:
        head = left.pop()
        over -= head.cells
        out.add(head)
    return out
