"""From a selector to blocks: matching per day, then one block a series over days and chunks."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.store.day import Day, PartCache, Segment
from mamimon.metrics.store.index import decode_labels
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
    ) -> None:
        self._days = days
        self._cache = cache
        self._budget = max_samples
        self._deadline = deadline
        self._stopped = stopped

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See `SeriesSource.select`."""
        rows: dict[bytes, int] = {}
        pieces: dict[str, list[tuple[npt.NDArray[np.int64], Segment]]] = defaultdict(list)
        for day in self._days(start_ms, end_ms):
            ids = day.index.match(matchers)
            if not len(ids):
                continue
            row_of = np.empty(int(ids[-1]) + 1, dtype=np.int64)
            row_of[ids] = [rows.setdefault(day.index.key(number), len(rows)) for number in ids.tolist()]
            for segment in day.segments(ids, start_ms, end_ms, self._cache):
                self._spend(segment.values.size)
                pieces[segment.source].append((row_of[segment.ids], segment))
        labels = [decode_labels(key) for key in rows]
        return _compact(labels, merge(list(pieces.values()), len(labels)))

    def _spend(self, samples: int) -> None:
        self._budget -= samples
        if self._budget < 0:
            raise Problem(
                Kind.UNPROCESSABLE,
                "query processing would load too many samples into memory in query execution",
            )
        if time.monotonic() > self._deadline or self._stopped():
            raise Problem(Kind.TIMEOUT, "query timed out in expression evaluation")


def merge(sources: Sequence[Sequence[tuple[npt.NDArray[np.int64], Segment]]], series: int) -> list[Block]:
    """One block a source; a series that several sources have gets a block of its own."""
    blocks = [_join(pieces) for pieces in sources]
    count = np.zeros(series, dtype=np.int64)
    for block in blocks:
        count[block.rows] += 1
    shared = count > 1
    if not shared.any():
        return blocks
    out: list[Block] = []
    split: dict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        mixed = shared[block.rows]
        for row, values in zip(block.rows[mixed].tolist(), block.values[mixed], strict=True):
            has = values.view(np.int64) != ABSENT_BITS
            only = np.asarray([row], dtype=np.int64)
            split[row].append(Block(times=block.times[has], rows=only, values=values[has][None, :]))
        if not mixed.all():
            out.append(Block(times=block.times, rows=block.rows[~mixed], values=block.values[~mixed]))
    out.extend(_union(parts) for parts in split.values())
    return out


def _join(pieces: Sequence[tuple[npt.NDArray[np.int64], Segment]]) -> Block:
    if len(pieces) == 1:
        rows, segment = pieces[0]
        return Block(times=segment.times, rows=rows, values=segment.values)
    ordered = sorted(pieces, key=lambda piece: int(piece[1].times[0]))
    apart = all(a[1].times[-1] < b[1].times[0] for a, b in itertools.pairwise(ordered))
    if apart and all(np.array_equal(ordered[0][0], rows) for rows, _ in ordered[1:]):
        return Block(
            times=np.concatenate([segment.times for _, segment in ordered]),
            rows=ordered[0][0],
            values=np.concatenate([segment.values for _, segment in ordered], axis=1),
        )
    return _union([Block(times=s.times, rows=rows, values=s.values) for rows, s in ordered])


def _union(parts: Sequence[Block]) -> Block:
    """All timestamps and series of the parts; where two have a sample the earlier part wins."""
    times = np.unique(np.concatenate([part.times for part in parts]))
    rows = np.unique(np.concatenate([part.rows for part in parts]))
    values = np.full((len(rows), len(times)), ABSENT_NAN)
    for part in reversed(parts):
        place = np.ix_(np.searchsorted(rows, part.rows), np.searchsorted(times, part.times))
        has = part.values.view(np.int64) != ABSENT_BITS
        values[place] = np.where(has, part.values, values[place])
    return Block(times=times, rows=rows, values=values)


def _compact(labels: list[Labels], blocks: list[Block]) -> Selection:
    """Leave out series without a block: they matched on a day outside the question's range."""
    used = np.zeros(len(labels), dtype=bool)
    for block in blocks:
        used[block.rows] = True
    if used.all():
        return Selection(labels=labels, blocks=blocks)
    new = np.cumsum(used) - 1
    for block in blocks:
        block.rows = new[block.rows]
    return Selection([one for one, keep in zip(labels, used, strict=True) if keep], blocks)
