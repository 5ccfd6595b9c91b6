"""Many targets at one instant.

Blocks do not share their timestamps, so each costs the fixed price of numpy's calls. At a single step, as
rules and instant queries have, the last samples of all blocks are put into one matrix instead, at its right
edge, with each row's own times beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_BITS, Block, Selection
from mamimon.metrics.promql.selection import newest
from mamimon.metrics.promql.values import Floats, Ints, Vector
from mamimon.metrics.promql.windows import Windows, sample_mask

FEW = 3
"""Fewer blocks are not worth stacking."""


def can_stack(blocks: Sequence[Block], steps: int) -> bool:
    """Whether the functions here are for these blocks."""
    plain = all(
        block.histograms is None and block.coarse is None and block.starts is None for block in blocks
    )
    return steps == 1 and len(blocks) >= FEW and plain


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
    times = np.zeros((len(rows), width), dtype=np.int64)
    at = 0
    for block, low, high in pieces:
        place = slice(at, at + len(block.rows)), slice(width - (high - low), width)
        at += len(block.rows)
        if low < high:
            values[place] = _columns(block, low, high)
            times[place] = block.times[low:high]
    valid, _ = sample_mask(values)
    edge = np.zeros(1, dtype=np.int64)
    made = Windows(np.arange(width), values, valid, edge, edge + width, edge + (end - length_ms), edge + end)
    made.own_times = times
    return rows, made


def _columns(block: Block, low: int, high: int) -> Floats:
    if block.table is None:
        return block.values[:, low:high]
    return block.table.columns(np.arange(low, high, dtype=np.int64))[0].astype(np.float64, copy=False)


def newest_samples(found: Selection, at: int, lookback_ms: int) -> tuple[Vector, Ints]:
    """The series that have a sample at or before `at` within the lookback, and its time, [series, 1]."""
    values = np.full((len(found.labels), 1), ABSENT_NAN)
    when = np.zeros(values.shape, dtype=np.int64)
    for block in found.blocks:
        column = int(block.times.searchsorted(at, side="right")) - 1
        if column < 0 or block.times[column] <= at - lookback_ms:
            continue
        samples = _columns(block, column, column + 1)
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
