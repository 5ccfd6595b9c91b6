"""Many targets at once.

Blocks do not share their timestamps, so each costs the fixed price of numpy's calls. Where blocks are small,
those whose windows lie at the same places are put into one matrix instead, with each target's own times
beside it. Targets that are scraped evenly are such, whatever instants they are scraped at. At a single
step, as rules and instant queries have, all blocks are: their last samples stand at the right edge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_BITS, Block, Selection
from mamimon.metrics.promql.selection import newest, run_of
from mamimon.metrics.promql.values import Bools, Floats, Ints, Objects, Samples, Vector
from mamimon.metrics.promql.windows import TILE_CELLS, Tile, Windows, over, sample_mask, used
from mamimon.metrics.spacing import even_step

FEW = 2
"""Fewer blocks are not worth stacking."""
SMALL_CELLS = TILE_CELLS // 4
"""Larger blocks are worth their calls."""


def is_plain(block: Block) -> bool:
    """Whether a block is of numbers alone."""
    return block.histograms is None and block.coarse is None and block.starts is None


def can_stack(blocks: Sequence[Block], steps: int) -> bool:
    """Whether the functions of a single step are for these blocks."""
    return steps == 1 and len(blocks) >= FEW and all(map(is_plain, blocks))


def windows(blocks: Sequence[Block], end: int, length_ms: int) -> tuple[Ints, Windows]:
    """The rows of all blocks and their windows of `length_ms` that end at `end`."""
    bounds = np.array((end - length_ms, end))
    pieces = []
    for block in blocks:
        low, high = block.times.searchsorted(bounds, side="right").tolist()
        pieces.append((block, low, high))
    width = max(high - low for _, low, high in pieces)
    rows = np.concatenate([block.rows for block in blocks])
    values = np.full((len(rows), width), ABSENT_NAN)
    times = np.zeros((len(blocks), width), dtype=np.int64)
    at = 0
    for number, (block, low, high) in enumerate(pieces):
        place = slice(at, at + len(block.rows)), slice(width - (high - low), width)
        at += len(block.rows)
        if low < high:
            _write(block, low, high, values[place])
            times[number, place[1]] = block.times[low:high]
    valid, _ = sample_mask(values)
    edge = np.zeros(1, dtype=np.int64)
    made = Windows(np.arange(width), values, valid, edge, edge + width, edge + (end - length_ms), edge + end)
    made.own_times, made.target_of = times, _targets(blocks)
    return rows, made


def _targets(blocks: Sequence[Block]) -> Ints:
    """For each row of some blocks which of them it is of."""
    return np.repeat(np.arange(len(blocks)), [len(block.rows) for block in blocks])


def _write(block: Block, low: int, high: int, out: Floats) -> None:
    if block.table is None:
        out[:] = block.values[:, low:high]
    else:
        block.table.read(slice(low, high)).write(out)


class Bounds:
    """Where the windows of `length_ms` that end at `ends` begin and end in a list of timestamps."""

    def __init__(self, ends: Ints, length_ms: int) -> None:
        self.start, self.end = ends - length_ms, ends
        self._shift = 0
        step = even_step(ends)
        shift, rest = divmod(length_ms, step) if step else (0, 0)
        if 0 < shift < len(ends) and not rest:
            self._shift = shift  # most begin where another one ends
        self._instants = (
            np.concatenate((self.start[: self._shift], ends))
            if self._shift
            else np.concatenate((self.start, ends))
        )

    def find(self, times: Ints) -> Ints:
        """For `of`: equal where the windows of two lists lie at the same places."""
        return times.searchsorted(self._instants, side="right")

    def of(self, found: Ints) -> tuple[Ints, Ints]:
        """The first sample of each window, and the one behind its last."""
        steps = len(self.end)
        return found[:steps], found[self._shift or steps :]


class Stack:
    """Windows over several blocks, `LazyWindows` of which lie at the same places."""

    def __init__(self, blocks: Sequence[Block], bounds: Bounds, found: Ints) -> None:
        self.check: Callable[[], None] = lambda: None
        """See `Windows.check`."""
        self.rows = np.concatenate([block.rows for block in blocks])
        self.blocks = blocks
        self.start, self.end = bounds.start, bounds.end
        length = len(blocks[0].times)
        inside, self.low, self.high = used(*bounds.of(found), length)
        self._columns = None if inside is None else np.flatnonzero(inside)
        self.times = np.arange(length if self._columns is None else len(self._columns))

    def tiles(self) -> Iterator[Tile]:
        """See `Windows.tiles`: as many blocks as fit the cache, those with gaps apart from those without."""
        cells = first = at = begin = 0
        if not len(self.times):
            return
        for number, block in enumerate(self.blocks):
            if cells and cells + len(block.rows) * len(self.times) > TILE_CELLS:
                yield partial(self._tiles, slice(first, number), begin)
                cells, first, begin = 0, number, at
            cells += len(block.rows) * len(self.times)
            at += len(block.rows)
        yield partial(self._tiles, slice(first, len(self.blocks)), begin)

    def _tiles(self, part: slice, begin: int) -> list[tuple[slice | Ints, Windows]]:
        self.check()
        blocks = self.blocks[part]
        targets = _targets(blocks)
        values, plain = self._read(blocks, len(targets))
        times = np.array(
            [block.times if self._columns is None else block.times[self._columns] for block in blocks]
        )
        whole = slice(begin, begin + len(targets))
        if plain.all():
            return [(whole, self._tile(values, times, targets, plain=True))]
        if not plain.any():
            return [(whole, self._tile(values, times, targets, plain=False))]
        out: list[tuple[slice | Ints, Windows]] = []
        for kind in (True, False):
            rows = np.flatnonzero(plain[targets] == kind)
            out.append((rows + begin, self._tile(values[rows], times, targets[rows], plain=kind)))
        return out

    def _read(self, blocks: Sequence[Block], rows: int) -> tuple[Samples, Bools]:
        """The samples of some blocks, and which blocks are free of NaN."""
        values: Samples | None = None
        plain = np.zeros(len(blocks), dtype=np.bool_)
        at = 0
        for number, block in enumerate(blocks):
            place = slice(at, at + len(block.rows))
            at += len(block.rows)
            reading = None if block.table is None else block.table.read(self._columns)
            whole = reading is not None and reading.whole
            if values is None:
                values = np.empty((rows, len(self.times)), dtype=np.int32 if whole else np.float64)
            elif not whole:
                values = values.astype(np.float64, copy=False)
            if reading is None:
                values[place] = block.values if self._columns is None else block.values[:, self._columns]
            else:
                reading.write(values[place])
            # What was decoded with these series may have gaps where they have none.
            plain[number] = (reading is not None and reading.plain) or not np.isnan(values[place]).any()
        assert values is not None
        return values, plain

    def _tile(self, values: Samples, times: Ints, targets: Ints, *, plain: bool) -> Windows:
        tile = over(self, values, plain=plain)
        tile.own_times, tile.target_of = times, targets
        return tile


def stacks(blocks: Sequence[Block], ends: Ints, length_ms: int) -> tuple[list[Stack], list[Block]]:
    """Stacks of the small blocks whose windows lie at the same places, and the blocks that are in none."""
    rest = []
    alike: defaultdict[tuple[int, bytes], list[Block]] = defaultdict(list)
    finds: dict[tuple[int, bytes], Ints] = {}
    if len(blocks) < FEW:
        return [], list(blocks)
    bounds = Bounds(ends, length_ms)
    for block in blocks:
        if not is_plain(block) or block.size > SMALL_CELLS:
            rest.append(block)
            continue
        found = bounds.find(block.times)
        key = len(block.times), found.tobytes()
        finds[key] = found
        alike[key].append(block)
    out = []
    for key, own in alike.items():
        if len(own) < FEW:
            rest += own
        else:
            out.append(Stack(own, bounds, finds[key]))
    return out, rest


Newest = tuple[Ints, Floats, Bools | None, Callable[[], Ints], Objects | None]
"""Rows, and of these the newest samples, where there are any, when they were taken, native histograms."""


def _newest_by_parts(blocks: Sequence[Block], at: Ints, lookback_ms: int) -> Iterator[Newest]:
    """The newest samples at or before each time, some series at a time."""
    found, rest = stacks(blocks, at, lookback_ms)
    for stack in found:
        for chosen, tile in (one for load in stack.tiles() for one in load()):
            yield stack.rows[chosen], *_newest_in(tile), None
    for block in rest:
        # A downsampled value stands for its bucket until the next one does.
        lookback = lookback_ms + (block.coarse.resolution_ms if block.coarse else 0)
        values, present, when, histograms = newest(block, at, lookback)
        yield block.rows, values, present, partial(np.asarray, when), histograms


def _newest_in(tile: Windows) -> tuple[Floats, Bools | None, Callable[[], Ints]]:
    """The newest sample of each window, which a staleness marker may be."""
    if tile.valid is not None:
        there = tile.rows.view(np.int64) != ABSENT_BITS
        tile.valid = None if there.all() else there
    values = tile.at(tile.last)
    present = tile.count > 0
    if tile.valid is not None or tile.has_nan:
        present = present & (values.view(np.int64) != STALE_BITS)
    return values, np.broadcast_to(present, values.shape), lambda: tile.time_of(tile.last)


def newest_vector(
    found: Selection, at: Ints, lookback_ms: int, check: Callable[[], None]
) -> tuple[Vector, Callable[[], Ints]]:
    """The newest sample of each series at each time, and what tells their own times, [series, steps]."""
    shape = len(found.labels), len(at)
    out = Vector(labels=found.labels, values=np.empty(shape))
    if sum(len(block.rows) for block in found.blocks) < shape[0]:
        out.present = np.zeros(shape, dtype=np.bool_)
    stamps: list[tuple[Ints, Callable[[], Ints]]] = []
    parts = _newest_by_parts(found.blocks, at, lookback_ms)
    for rows, values, present, own, chosen in parts:
        check()
        out.values[run_of(rows)] = values
        stamps.append((rows, own))
        if present is not None and not present.all():
            out.present = np.ones(shape, dtype=np.bool_) if out.present is None else out.present
            out.present[rows] = present
        elif out.present is not None:
            out.present[rows] = True
        if chosen is not None:
            if out.histograms is None:
                out.histograms = np.full(shape, None, dtype=object)
            out.histograms[rows] = chosen

    def taken(kept: Ints | slice) -> Ints:
        when = np.empty(shape, dtype=np.int64)
        for rows, their in stamps:
            when[rows] = their()
        return when[kept]

    if out.present is None or len(kept := np.flatnonzero(out.present.any(axis=1))) == shape[0]:
        return out, lambda: taken(slice(None))
    return out.take(kept), lambda: taken(kept)


def newest_samples(found: Selection, at: int, lookback_ms: int) -> tuple[Vector, Ints]:
    """The series that have a sample at or before `at` within the lookback, and its time, [series, 1]."""
    values = np.full((len(found.labels), 1), ABSENT_NAN)
    when = np.zeros(values.shape, dtype=np.int64)
    for block in found.blocks:
        column = int(block.times.searchsorted(at, side="right")) - 1
        if column < 0 or block.times[column] <= at - lookback_ms:
            continue
        samples = np.empty((len(block.rows), 1))
        _write(block, column, column + 1, samples)
        if np.isnan(samples).any() and (samples.view(np.int64) == ABSENT_BITS).any():
            # Some have no sample in the newest scrape: look further back.
            own, there, stamps, _ = newest(block, np.array([at]), lookback_ms)
            values[block.rows] = own if there is None else np.where(there, own, ABSENT_NAN)
            when[block.rows] = np.broadcast_to(stamps, own.shape)
        else:
            values[block.rows] = samples
            when[block.rows] = block.times[column]
    bits = values.view(np.int64)
    kept = np.flatnonzero((bits != ABSENT_BITS) & (bits != STALE_BITS))
    if len(kept) == len(values):
        return Vector(labels=found.labels, values=values), when
    return Vector(labels=[found.labels[row] for row in kept.tolist()], values=values[kept]), when[kept]
