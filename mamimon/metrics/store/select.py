"""From a selector to blocks: matching per day, then one block a series over days and chunks."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import (
    ABSENT_BITS,
    ABSENT_NAN,
    HISTOGRAM_BITS,
    Block,
    Labels,
    Matcher,
    Selection,
)
from mamimon.metrics.store.cache import PartCache
from mamimon.metrics.store.coarse import LongReader
from mamimon.metrics.store.day import Day, Segment
from mamimon.metrics.store.table import Held, Joined
from mamimon.metrics.store.wanted import Wanted
from mamimon.problems import Kind, Problem

Days = Callable[[int, int], list[Day]]


class LocalSource:
    """A `SeriesSource` over our own files for one question, with its budget.

    More than `max_samples` raises `UNPROCESSABLE`, being later than `deadline` (of
    `time.monotonic`) or `stopped()` raises `TIMEOUT`.
    """

    def __init__(
        self,
        days: Days,
        cache: PartCache,
        *,
        max_samples: int,
        deadline: float,
        stopped: Callable[[], bool] = lambda: False,
        long: LongReader | None = None,
    ) -> None:
        self._long = long
        self._days = days
        self._cache = cache
        self._budget = self._most = max_samples
        self._deadline = deadline
        self._stopped = stopped

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See `SeriesSource.select`."""
        if self._long is not None:
            found = self._long.select(matchers, start_ms, end_ms, self._select_raw, self._spend)
            if found is not None:
                return found
        return self._select_raw(matchers, start_ms, end_ms)

    def _select_raw(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        labels: list[Labels] = []
        rows: dict[bytes, int] = {}
        first: Wanted | None = None
        pieces: dict[str, list[tuple[npt.NDArray[np.int64], Segment]]] = defaultdict(list)
        for day in self._days(start_ms, end_ms):
            wanted = day.asked.match(matchers)
            if not len(wanted.ids):
                continue
            self._found(len(wanted.ids))
            row_of = None
            if first is None:
                first, labels = wanted, list(wanted.labels)
            elif wanted.keys != first.keys:
                row_of = _rows(first, wanted, rows, labels)
            for segment in day.segments(wanted, start_ms, end_ms, self._cache):
                self._spend(segment.piece.shape[0] * segment.piece.shape[1] + _weight(segment))
                own = segment.rows if row_of is None else row_of[segment.rows]
                pieces[segment.source].append((own, segment))
        blocks = [_without_marks(block) for block in merge(list(pieces.values()), len(labels))]
        return _compact(labels, blocks)

    def _found(self, series: int) -> None:
        """Called with the number of series of a day before they are read."""

    @property
    def loaded(self) -> int:
        """Samples read so far."""
        return self._most - self._budget

    def _spend(self, samples: int) -> None:
        self._budget -= samples
        if self._budget < 0:
            self._too_much()
        if time.monotonic() > self._deadline or self._stopped():
            raise Problem(Kind.TIMEOUT, "query timed out in expression evaluation")

    def _too_much(self) -> NoReturn:
        raise Problem(
            Kind.UNPROCESSABLE, "query processing would load too many samples into memory in query execution"
        )


def _rows(
    first: Wanted, wanted: Wanted, rows: dict[bytes, int], labels: list[Labels]
) -> npt.NDArray[np.int64]:
    """The rows of another day's series; new ones are added to `rows`, by their text, and `labels`."""
    if not rows:
        rows.update(zip(first.keys, range(len(first.keys)), strict=True))
    found = [rows.setdefault(key, len(rows)) for key in wanted.keys]
    if len(rows) > len(labels):
        theirs = dict(zip(found, wanted.labels, strict=True))
        labels += [theirs[row] for row in range(len(labels), len(rows))]
    return np.array(found, dtype=np.int64)


def _weight(segment: Segment) -> int:
    """What native histograms cost beyond a sample each: Prometheus counts 16 bytes a sample."""
    if segment.histograms is None:
        return 0
    found: list[Histogram | None] = segment.histograms.ravel().tolist()
    return sum(5 + (len(one.positive) + len(one.negative)) // 2 for one in found if one is not None)


def _without_marks(block: Block) -> Block:
    """Outside the store a native histogram is a gap among the numbers."""
    if block.histograms is None:
        return block
    marked = block.values.view(np.int64) == HISTOGRAM_BITS
    values = np.where(marked, ABSENT_NAN, block.values)
    return Block(block.times, block.rows, values, block.histograms, block.starts)


def merge(sources: Sequence[Sequence[tuple[npt.NDArray[np.int64], Segment]]], series: int) -> list[Block]:
    """One block a source; a series that several sources have gets a block of its own."""
    blocks = [_join(pieces) for pieces in sources]
    if not blocks:
        return blocks
    shared = np.bincount(np.concatenate([block.rows for block in blocks]), minlength=series) > 1
    if not shared.any():
        return blocks
    out: list[Block] = []
    split: dict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        mixed = shared[block.rows]
        for place in np.flatnonzero(mixed).tolist():
            has = block.values[place].view(np.int64) != ABSENT_BITS
            split[int(block.rows[place])].append(_cut(block, [place], has))
        if not mixed.all():
            out.append(_cut(block, ~mixed, None))
    out.extend(_union(parts) for parts in split.values())
    return out


def _cut(
    block: Block, rows: npt.NDArray[np.bool_] | list[int], columns: npt.NDArray[np.bool_] | None
) -> Block:
    """Some rows of a block, and if `columns` says so some instants."""

    def part(table: Any) -> Any:
        return table[rows] if columns is None else table[rows][:, columns]

    return Block(
        times=block.times if columns is None else block.times[columns],
        rows=block.rows[rows],
        values=part(block.values),
        histograms=None if block.histograms is None else part(block.histograms),
        starts=None if block.starts is None else part(block.starts),
    )


def _join(pieces: Sequence[tuple[npt.NDArray[np.int64], Segment]]) -> Block:
    if len(pieces) > 1:
        pieces = sorted(pieces, key=lambda piece: int(piece[1].times[0]))
    segments = [segment for _, segment in pieces]
    apart = all(a.times[-1] < b.times[0] for a, b in itertools.pairwise(segments))
    if apart and all(segment.histograms is None and segment.starts is None for segment in segments):
        return _lazy(pieces)
    parts = [Block(one.times, rows, one.values(), one.histograms, one.starts) for rows, one in pieces]
    if len(parts) == 1:
        return parts[0]
    if apart and all(np.array_equal(parts[0].rows, other.rows) for other in parts[1:]):
        histograms = None
        if any(part.histograms is not None for part in parts):
            histograms = np.concatenate([_objects(part) for part in parts], axis=1)
        starts = None
        if any(part.starts is not None for part in parts):
            starts = np.concatenate([_starts(part) for part in parts], axis=1)
        return Block(
            times=np.concatenate([part.times for part in parts]),
            rows=parts[0].rows,
            values=np.concatenate([part.values for part in parts], axis=1),
            histograms=histograms,
            starts=starts,
        )
    return _union(parts)


def _lazy(pieces: Sequence[tuple[npt.NDArray[np.int64], Segment]]) -> Block:
    """Segments one after another, put together when looked at."""
    if len(pieces) == 1 and isinstance(held := pieces[0][1].piece, Held):
        return Block(pieces[0][1].times, pieces[0][0], held.values)
    own = pieces[0][0]
    same = all(rows is own or np.array_equal(own, rows) for rows, _ in pieces[1:])
    every = own if same else distinct([rows for rows, _ in pieces])
    places: list[npt.NDArray[np.int64] | None] = [None] * len(pieces)
    if not same:
        for number, (rows, _) in enumerate(pieces):
            own = np.full(int(every[-1]) + 1, -1, dtype=np.int64)
            own[rows] = np.arange(len(rows))
            places[number] = own[every]
    segments = [segment for _, segment in pieces]
    times = segments[0].times if len(segments) == 1 else np.concatenate([one.times for one in segments])
    return Block(times, every, Joined([one.piece for one in segments], places, len(every)))


def distinct(arrays: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """The different numbers of all, sorted: `np.unique` without the ten milliseconds of its first call."""
    every = np.sort(np.concatenate(arrays))
    return every[np.concatenate(([True], every[1:] != every[:-1]))] if len(every) else every


def _objects(part: Block) -> npt.NDArray[np.object_]:
    return np.full(part.values.shape, None, dtype=object) if part.histograms is None else part.histograms


def _starts(part: Block) -> npt.NDArray[np.int64]:
    return np.zeros(part.values.shape, dtype=np.int64) if part.starts is None else part.starts


def _union(parts: Sequence[Block]) -> Block:
    """All timestamps and series of the parts; where two have a sample the earlier part wins."""
    times = distinct([part.times for part in parts])
    rows = distinct([part.rows for part in parts])
    values = np.full((len(rows), len(times)), ABSENT_NAN)
    histograms = None
    if any(part.histograms is not None for part in parts):
        histograms = np.full(values.shape, None, dtype=object)
    starts = None
    if any(part.starts is not None for part in parts):
        starts = np.zeros(values.shape, dtype=np.int64)
    for part in reversed(parts):
        place = np.ix_(np.searchsorted(rows, part.rows), np.searchsorted(times, part.times))
        has = part.values.view(np.int64) != ABSENT_BITS
        values[place] = np.where(has, part.values, values[place])
        if histograms is not None:
            histograms[place] = np.where(has, _objects(part), histograms[place])
        if starts is not None:
            starts[place] = np.where(has, _starts(part), starts[place])
    return Block(times=times, rows=rows, values=values, histograms=histograms, starts=starts)


def _compact(labels: list[Labels], blocks: list[Block]) -> Selection:
    """Leave out series without a block: they matched on a day outside the question's range."""
    used = np.zeros(len(labels), dtype=bool)
    if blocks:
        used[np.concatenate([block.rows for block in blocks])] = True
    if used.all():
        return Selection(labels=labels, blocks=blocks)
    new = np.cumsum(used) - 1
    for block in blocks:
        block.rows = new[block.rows]
    return Selection([one for one, keep in zip(labels, used, strict=True) if keep], blocks)
