"""The windows of a range vector: which samples each step sees.

Series of one block share their timestamps, so the bounds are searched once a block, not once a series.
A window is left-open: a sample exactly `range` old is outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, STALE_BITS, Table
from mamimon.metrics.promql.kernels import columns_of
from mamimon.metrics.promql.values import Array, Bools, Floats, Ints, Objects, Samples

if TYPE_CHECKING:
    from mamimon.metrics.promql.coarse import Beside

TILE_CELLS = 3 << 17
"""Samples worked on at once (1.5 MiB of counters), so that intermediate arrays stay in the cache."""


_NONE = np.zeros(0, dtype=np.int64)
Tile = Callable[[], "list[tuple[slice | Ints, Windows]]"]
"""Puts the windows of some rows together when called: which of the rows, and their windows."""


class Windows:
    """Some rows of one block, and the window of every step.

    `valid` is None when every cell is a sample: then the window's first and last sample are the same
    for all rows, and index arrays have one dimension instead of two.
    """

    def __init__(
        self,
        times: Ints,
        rows: Samples,
        valid: Bools | None,
        low: Ints,
        high: Ints,
        start: Ints,
        end: Ints,
        histograms: Objects | None = None,
    ) -> None:
        self.check: Callable[[], None] = lambda: None
        """Called between pieces of long work; raises once the query's time is over."""
        self.beside: Beside | None = None
        """Set where the samples are downsampled ones: see `coarse`."""
        self.histograms = histograms
        self.starts: Ints | None = None
        """When each sample's counter began (ms, 0 where nobody said); None without any."""
        self.own_times: Ints | None = None
        """Each target's timestamps, [targets, n], where rows do not share them; `times` then only counts."""
        self.target_of: Ints = _NONE
        """With `own_times`: which target each row is of."""
        self.times = times
        self.exact = rows
        """`rows` as they are stored."""
        self.valid = valid
        self.low = low
        self.high = high
        self.start = start
        """Exclusive, ms."""
        self.end = end
        """Inclusive, ms."""

    @cached_property
    def rows(self) -> Floats:
        """The samples, [rows, n]."""
        return self.exact.astype(np.float64, copy=False)

    @cached_property
    def columns(self) -> Ints:
        """0, 1, 2, … one a timestamp."""
        return np.arange(len(self.times), dtype=np.int64)

    @cached_property
    def count(self) -> Ints:
        """Samples in each window: [steps], or [rows, steps] with holes."""
        if self.valid is None:
            return self.high - self.low
        sums = np.zeros((self.exact.shape[0], len(self.times) + 1), dtype=np.int64)
        np.add.accumulate(self.valid, axis=1, dtype=np.int64, out=sums[:, 1:])
        return np.asarray(np.take(sums, self.high, axis=1) - np.take(sums, self.low, axis=1))

    @cached_property
    def previous(self) -> Ints:
        """With holes: at column j the last sample before j; -1 if there is none. [rows, n + 1]."""
        assert self.valid is not None
        out = np.full((self.rows.shape[0], len(self.times) + 1), -1, dtype=np.int64)
        np.maximum.accumulate(np.where(self.valid, self.columns, -1), axis=1, out=out[:, 1:])
        return out

    @cached_property
    def first(self) -> Ints:
        """Column of each window's first sample; meaningless where `count` is 0."""
        if self.valid is None:
            return np.minimum(self.low, len(self.times) - 1)
        length = len(self.times)
        following = np.full((self.rows.shape[0], length + 1), length - 1, dtype=np.int64)
        flipped = np.where(self.valid, self.columns, length - 1)[:, ::-1]
        following[:, :-1] = np.minimum.accumulate(flipped, axis=1)[:, ::-1]
        return np.asarray(np.take(following, self.low, axis=1))

    @cached_property
    def last(self) -> Ints:
        """Column of each window's last sample; meaningless where `count` is 0."""
        if self.valid is None:
            return np.maximum(self.high - 1, 0)
        return np.maximum(np.take(self.previous, self.high, axis=1), 0)

    def at(self, column: Ints) -> Floats:
        """The samples at the given columns, [rows, steps]."""
        return self.exactly_at(column).astype(np.float64, copy=False)

    def exactly_at(self, column: Ints) -> Samples:
        """As `at`, as they are stored."""
        if column.ndim == 1:
            return columns_of(self.exact, column)
        return np.asarray(np.take_along_axis(self.exact, column, axis=1))

    def time_of(self, column: Ints) -> Ints:
        """The timestamps (ms) of the given columns, [steps] or [rows, steps]."""
        if self.own_times is None:
            return self.times[column]
        if column.ndim == 1:
            return np.asarray(np.take(self.stamps(column), self.target_of, axis=0))
        return np.asarray(self.own_times[self.target_of[:, None], column])

    def stamps(self, column: Ints) -> Ints:
        """As `time_of`, without a row for each series where targets are enough: see `spread`."""
        if self.own_times is None or column.ndim > 1:
            return self.time_of(column)
        return np.asarray(np.take(self.own_times, column, axis=1))

    def spread(self, values: Array) -> Array:
        """What was computed from `stamps`, as [rows, steps] or [steps]."""
        if self.own_times is None or self.valid is not None:
            return values
        return np.asarray(np.take(values, self.target_of, axis=0))

    def filled(self, value: float) -> Floats:
        """The rows with `value` where there is no sample."""
        return self.rows if self.valid is None else np.where(self.valid, self.rows, value)

    @cached_property
    def before(self) -> Floats:
        """At each column the sample before it; NaN if there is none. [rows, n]."""
        out = np.full(self.rows.shape, np.nan)
        if self.valid is None:
            out[:, 1:] = self.rows[:, :-1]
            return out
        column = self.previous[:, :-1]
        found = np.take_along_axis(self.rows, np.maximum(column, 0), axis=1)
        return np.where(column >= 0, found, np.nan)

    @cached_property
    def has_nan(self) -> bool:
        """Whether any sample is NaN."""
        return bool(np.isnan(self.filled(0.0)).any())

    def tiles(self) -> Iterator[Tile]:
        """Parts of the rows small enough for the cache; none where no window has a sample."""
        for part in slices(self.exact.shape[0], len(self.times)):
            yield partial(self._tiles, part)

    def _tiles(self, part: slice) -> list[tuple[slice | Ints, Windows]]:
        return [(part, self._tile(part))]

    def _tile(self, part: slice) -> Windows:
        self.check()
        valid = None if self.valid is None else self.valid[part]
        if valid is not None and valid.all():
            valid = None
        histograms = None if self.histograms is None else self.histograms[part]
        tile = Windows(
            self.times, self.exact[part], valid, self.low, self.high, self.start, self.end, histograms
        )
        tile.check = self.check
        tile.beside = None if self.beside is None else self.beside.part(part)
        tile.starts = None if self.starts is None else self.starts[part]
        if self.own_times is not None:
            tile.own_times, tile.target_of = self.own_times, self.target_of[part]
        return tile


class LazyWindows:
    """Windows over a table, whose rows are put together a tile at a time."""

    def __init__(self, table: Table, times: Ints, ends: Ints, length_ms: int) -> None:
        self.check: Callable[[], None] = lambda: None
        """See `Windows.check`."""
        self._table = table
        self.start, self.end = ends - length_ms, ends
        low, high = np.searchsorted(times, self.start, "right"), np.searchsorted(times, ends, "right")
        self._inside, self.low, self.high = used(low, high, len(times))
        self.times = times if self._inside is None else times[self._inside]

    def whole(self) -> Windows:
        """All rows at once."""
        return self._tile(slice(0, self._table.shape[0]))

    def tiles(self) -> Iterator[Tile]:
        """See `Windows.tiles`."""
        for part in slices(self._table.shape[0], len(self.times)):
            yield partial(self._tiles, part)

    def _tiles(self, part: slice) -> list[tuple[slice | Ints, Windows]]:
        return [(part, self._tile(part))]

    def _tile(self, part: slice) -> Windows:
        self.check()
        rows, plain = self._table.rows(part.start, min(part.stop, self._table.shape[0]))
        if self._inside is not None:
            rows = rows[:, self._inside]
        return over(self, rows, plain=plain)


class Laid(Protocol):
    """Where windows lie over rows that are put together later; see `Windows`."""

    times: Ints
    low: Ints
    high: Ints
    start: Ints
    end: Ints
    check: Callable[[], None]


def over(laid: Laid, rows: Samples, *, plain: bool) -> Windows:
    """The windows over some rows; `plain`: none is a NaN."""
    valid = None if plain else sample_mask(rows.astype(np.float64, copy=False))[0]
    tile = Windows(laid.times, rows, valid, laid.low, laid.high, laid.start, laid.end)
    if plain:
        tile.has_nan = False
    tile.check = laid.check
    return tile


def slices(rows: int, columns: int) -> Iterator[slice]:
    """Runs of rows that fit the cache."""
    if columns:
        count = -(-rows // max(1, TILE_CELLS // columns))
        size = -(-rows // max(1, count))  # of about one size, for a small one costs as many calls
        for first in range(0, rows, size):
            yield slice(first, min(first + size, rows))


def used(low: Ints, high: Ints, length: int) -> tuple[Bools | None, Ints, Ints]:
    """Which samples are in a window (None: keep all), and the bounds among these."""
    low, high = low.astype(np.int64), high.astype(np.int64)
    if int((high - low).sum()) * 2 >= length:
        return None, low, high
    bounds = np.zeros(length + 1, dtype=np.int64)
    np.add.at(bounds, low, 1)
    np.add.at(bounds, high, -1)
    inside: Bools = np.add.accumulate(bounds[:-1]) > 0
    position = np.zeros(length + 1, dtype=np.int64)
    np.add.accumulate(inside, dtype=np.int64, out=position[1:])
    return inside, position[low], position[high]


def sample_mask(values: Floats) -> tuple[Bools | None, Bools | None]:
    """Where samples are, and where staleness markers are; None = everywhere, nowhere."""
    if not np.isnan(values).any():
        return None, None
    bits = values.view(np.uint64)
    stale = bits == STALE_BITS
    valid = ~stale
    valid &= bits != ABSENT_BITS
    return (None if valid.all() else valid), (stale if stale.any() else None)


def build(
    times: Ints,
    values: Floats,
    ends: Ints,
    length_ms: int,
    histograms: Objects | None = None,
    began: Ints | None = None,
) -> Windows:
    """The windows of `length_ms` that end at `ends`; `began` becomes `Windows.starts`."""
    starts = ends - length_ms
    low = np.searchsorted(times, starts, side="right")
    high = np.searchsorted(times, ends, side="right")
    inside, low, high = used(low, high, len(times))
    if inside is not None:  # most samples are in no window: leave them out
        times, values = times[inside], values[:, inside]
        histograms = None if histograms is None else histograms[:, inside]
        began = None if began is None else began[:, inside]
    valid, _ = sample_mask(values)
    out = Windows(times, values, valid, low, high, starts, ends, histograms)
    out.starts = began
    return out
