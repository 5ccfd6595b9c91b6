"""Counts of matching lines by time, level, dataset and values of fields, from columns where there are any.

Lines of segments are counted by the numbers of their values, all at once, and each combination becomes
one `Tally`. Of other blocks the lines are counted by their heads, or read where a field is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mamimon.logs.clauses import Row
from mamimon.logs.store.blocks import Block
from mamimon.logs.store.scan import View
from mamimon.logs.store.segments import DATASETS, LEVELS, PATTERNS, VALUES, Segment
from mamimon.logs.store.tally import EVER_US, Grain, Tally
from mamimon.storage.days import day_start

_MINUTE_US = 60_000_000
_LARGEST = 1 << 62
_TABLE = 1 << 18


def counted(view: View, grain: Grain) -> Iterator[Row]:
    """Matching lines as rows that stand for many where the columns allow it."""
    step_us = grain.step_us or EVER_US
    first = round(day_start(view.day) * 1e6) // step_us
    heads: Counter[int] = Counter()
    for part, lines in view.by_columns(lambda segment: _groupable(segment, grain.fields)):
        if isinstance(part, Segment):
            yield from _tallies(view, part, lines, grain, step_us)
        elif grain.fields:
            yield from view.rows_at(part, lines)
        elif lines:
            heads.update(_keys(part, lines, step_us, first))
    for key, n in heads.items():
        yield Tally(((key >> 20) + first) * step_us, key >> 16 & 15, key & 0xFFFF, {}, view, n)


def _keys(block: Block, positions: Sequence[int], step_us: int, first: int) -> list[int]:
    at = np.asarray(positions)
    # Steps are numbered from the day's first, so that all three fit into one number.
    key = (block.times_array()[at] // step_us - first) << 20
    key |= np.frombuffer(block.levels, np.uint8)[at].astype(np.int64) << 16
    key |= np.frombuffer(block.datasets, np.uint16)[at]
    found: list[int] = key.tolist()
    return found


def _groupable(segment: Segment, fields: frozenset[str]) -> bool:
    """Whether the segment has numbered values of all of the fields in all of its lines."""
    about = segment.about
    if not fields:
        return True
    if about.beside or about.odd or ("pattern" in fields and not about.patterns):
        return False
    numbers = segment.numbers
    return all(
        f"{field}.keyword" not in numbers and (field not in numbers or about.kinds[numbers[field]] == VALUES)
        for field in fields
    )


def _tallies(view: View, segment: Segment, mask: Any, grain: Grain, step_us: int) -> Iterator[Row]:
    at = np.flatnonzero(mask)
    if not at.size:
        return
    columns: list[tuple[Any, int]] = []
    by_minute = step_us % _MINUTE_US == 0
    steps = segment.minutes[at] // (step_us // _MINUTE_US) if by_minute else segment.times[at] // step_us
    low = int(steps.min())
    columns.append((steps - low, int(steps.max()) - low + 1))
    levels, datasets = segment.codes(LEVELS)[at], segment.codes(DATASETS)[at]
    if grain.levels or "level" in grain.fields:
        columns.append((levels, int(levels.max()) + 1))
    if not grain.fields.isdisjoint(("dataset", "_index")):
        columns.append((datasets, int(datasets.max()) + 1))
    named: list[tuple[str, list[Any]]] = []
    for field in sorted(grain.fields):
        if field in segment.numbers:
            number = segment.numbers[field]
            values, codes = segment.values(number), segment.codes(number)
            named.append((field, values))
            columns.append((codes[at], len(values) + 1))
    patterns: list[Any] = []
    if "pattern" in grain.fields:
        patterns, codes = segment.values(PATTERNS), segment.codes(PATTERNS)
        columns.append((codes[at], len(patterns) + 1))
    fields = len(named) + ("pattern" in grain.fields)
    places, counts = _combinations([one for one, _ in columns], [count for _, count in columns])
    shown = [columns[0][0], levels, datasets, *(codes for codes, _ in columns[len(columns) - fields :])]
    rows = zip(*(codes[places].tolist() for codes in shown), counts.tolist(), strict=True)
    for step, level, dataset, *codes, n in rows:
        document = {
            field: values[code - 1] for (field, values), code in zip(named, codes, strict=False) if code
        }
        pattern = patterns[codes[-1] - 1] if patterns and codes[-1] else 0
        yield Tally((low + step) * step_us, level, dataset, document, view, n, pattern)


def _combinations(columns: Sequence[Any], sizes: Sequence[int]) -> tuple[Any, Any]:
    """For each combination of numbers that comes up a place where it does, and how often."""
    key: Any = np.zeros(len(columns[0]), np.int64)
    size = 1
    for codes, count in zip(columns, sizes, strict=True):
        if size * count > _LARGEST:
            # So many cannot all come up: those that do are numbered anew.
            key = np.unique(key, return_inverse=True)[1]
            size = int(key.max()) + 1
        key = key * count + codes
        size *= count
    if size > _TABLE:
        _, places, counts = np.unique(key, return_index=True, return_counts=True)
        return places, counts
    counts = np.bincount(key, minlength=size)
    found = np.flatnonzero(counts)
    somewhere = np.empty(size, np.int64)
    somewhere[key] = np.arange(key.size)
    return somewhere[found], counts[found]
