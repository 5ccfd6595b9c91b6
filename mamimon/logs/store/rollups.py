"""Counts of a day's lines by minute or longer, kept as lines are stored; what they answer opens no block."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mamimon.logs.store.blocks import Line
from mamimon.logs.store.labels import SLOT_US

TABLES = ("rollup", "pattern_minute", "pattern_hour", "labelled")


def count(raw: sqlite3.Connection, lines: Sequence[Line], numbers: Sequence[int]) -> None:
    """Add lines, of which the numbers of their labels are given, to the roll-ups."""
    # By columns, because what adds up tuples that `zip` makes is C.
    minutes = [line.time_us // 60_000_000 for line in lines]
    datasets = [line.dataset for line in lines]
    levels = [line.level for line in lines]
    by_pattern = Counter(zip(minutes, datasets, [line.pattern for line in lines], strict=True))
    hours: Counter[tuple[int, int, int]] = Counter()
    for (minute, dataset, pattern), n in by_pattern.items():
        hours[minute // 60, dataset, pattern] += n
    slots = [line.time_us // SLOT_US for line in lines]
    tables: dict[str, Counter[Any]] = {
        "rollup": Counter(zip(minutes, datasets, levels, strict=True)),
        "pattern_minute": by_pattern,
        "pattern_hour": hours,
        "labelled": Counter(zip(slots, datasets, levels, numbers, strict=True)),
    }
    for name, counts in tables.items():
        marks = "?, ?, ?, ?, ?" if name == "labelled" else "?, ?, ?, ?"
        raw.executemany(
            f"INSERT INTO {name} VALUES ({marks}) ON CONFLICT DO UPDATE SET n = n + excluded.n",  # noqa: S608 - fixed texts
            [(*key, n) for key, n in counts.items()],
        )


def forget(raw: sqlite3.Connection, dataset: int) -> None:
    """Take a dataset out."""
    for table in TABLES:
        raw.execute(f"DELETE FROM {table} WHERE dataset=?", (dataset,))  # noqa: S608 - fixed texts
