"""Selectors over a grid of evaluation times: the newest sample of each step, and the windows of ranges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_BITS, Block, Labels
from mamimon.metrics.promql.ast import Selector, Timed
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.frame import Frame, Query
from mamimon.metrics.promql.values import Bools, Floats, Ints, Vector, concatenate
from mamimon.metrics.promql.windows import Windows, build


def reference_times(node: Timed, frame: Frame, query: Query) -> Ints:
    """The times that a selector looks at, one a step, after `@` and `offset`."""
    if node.at_edge == "start":
        times = np.full(len(frame.times), query.start_ms, dtype=np.int64)
    elif node.at_edge == "end":
        times = np.full(len(frame.times), query.end_ms, dtype=np.int64)
    elif node.at_ms is not None:
        times = np.full(len(frame.times), node.at_ms, dtype=np.int64)
    else:
        times = frame.times
    offset = query.duration(node.offset_ms, node.offset_expr, frame, may_be_negative=True)
    return times - offset if offset else times


def instant_vector(node: Selector, frame: Frame, query: Query) -> Vector:
    """The newest sample within the look-back of each step; staleness ends a series at once."""
    vector, _ = newest(node, frame, query)
    return vector


def newest(node: Selector, frame: Frame, query: Query) -> tuple[Vector, Floats]:
    """As `instant_vector`, and the times of the samples in seconds, [series, steps]."""
    if node.mode:
        raise PromQLError("execution", f"the {node.mode} modifier is not implemented in mamimon")
    times = reference_times(node, frame, query)
    fixed = len(times) > 1 and bool((times == times[0]).all())
    wanted = times[:1] if fixed else times
    selection = query.source.select(
        node.matchers, int(wanted.min()) - query.lookback_ms + 1, int(wanted.max())
    )
    parts: list[Vector] = []
    stamps: list[Floats] = []
    for block in selection.blocks:
        query.limits.check()
        values, present, at = _newest_of(block, wanted, query.lookback_ms)
        kept = np.flatnonzero(present.any(axis=1))
        if not len(kept):
            continue
        query.limits.count(len(kept) * len(times))
        rows = block.rows[kept]
        mask = None if present[kept].all() else present[kept]
        labels = [selection.labels[row] for row in rows.tolist()]
        parts.append(Vector(labels=labels, values=values[kept], present=mask))
        stamps.append(np.broadcast_to(at, values.shape)[kept])
    vector = concatenate(parts, len(wanted))
    stamped = np.concatenate(stamps) if stamps else np.empty((0, len(wanted)))
    if fixed:
        return repeat(vector, len(times)), np.repeat(stamped, len(times), axis=1)
    return vector, stamped


def _newest_of(block: Block, wanted: Ints, lookback_ms: int) -> tuple[Floats, Bools, Floats]:
    """Values [series, steps], where they are, and their times in seconds ([steps] or [series, steps])."""
    column = np.searchsorted(block.times, wanted, side="right") - 1
    inside = np.maximum(column, 0)
    if not np.isnan(block.values).any():
        fresh = (column >= 0) & (block.times[inside] > wanted - lookback_ms)
        values = np.take(block.values, inside, axis=1)
        return values, np.broadcast_to(fresh, values.shape), block.times[inside] / 1000
    bits = block.values.view(np.int64)
    columns = np.arange(len(block.times), dtype=np.int64)
    latest = np.maximum.accumulate(np.where(bits != ABSENT_BITS, columns, -1), axis=1)
    place = np.where(column >= 0, np.take(latest, inside, axis=1), -1)
    at = np.maximum(place, 0)
    values = np.take_along_axis(block.values, at, axis=1)
    fresh = (place >= 0) & (block.times[at] > wanted - lookback_ms) & (values.view(np.int64) != STALE_BITS)
    return values, fresh, block.times[at] / 1000


def repeat(vector: Vector, steps: int) -> Vector:
    """A vector of one step as one of many equal steps."""
    present = None if vector.present is None else np.repeat(vector.present, steps, axis=1)
    return Vector(
        labels=vector.labels,
        values=np.repeat(vector.values, steps, axis=1),
        present=present,
        drop_name=vector.drop_name,
    )


def selector_windows(
    node: Selector, range_ms: int, frame: Frame, query: Query
) -> Iterator[tuple[list[Labels], Windows]]:
    """The windows of `selector[range]`, block by block; the labels go with the rows."""
    if node.mode:
        raise PromQLError("execution", f"the {node.mode} modifier is not implemented in mamimon")
    ends = reference_times(node, frame, query)
    selection = query.source.select(node.matchers, int(ends.min()) - range_ms + 1, int(ends.max()))
    for block in selection.blocks:
        query.limits.check()
        query.limits.count(block.values.size)
        yield (
            [selection.labels[row] for row in block.rows.tolist()],
            build(block.times, block.values, ends, range_ms),
        )


def as_block(vector: Vector, times: Ints) -> Block:
    """A vector at many steps as if it had been scraped at these times."""
    values = vector.values
    if vector.present is not None:
        values = np.where(vector.present, values, ABSENT_NAN)
        # np.where may quiet a signalling NaN; the mark is told by its bits.
        values.view(np.int64)[~vector.present] = ABSENT_BITS
    rows = np.arange(len(vector.labels), dtype=np.int64)
    return Block(times=times, rows=rows, values=np.ascontiguousarray(values))
