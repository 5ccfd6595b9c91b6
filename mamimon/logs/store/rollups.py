"""Counts of a day's lines by minute or longer, kept as lines are stored; what they answer opens no block."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from mamimon.logs.store.blocks import Line
from mamimon.logs.store.labels import SLOT_US

TABLES = ("rollup", "pattern_minute", "pattern_hour", "labelled")


def count(raw: sqlite3.Connection, lines: Sequence[Line], numbers: Sequence[int]) -> None:
    """Add lines, of which the numbers of their labels are given, to the roll-ups."""
    tables: dict[str, Counter[tuple[int, ...]]] = {name: Counter() for name in TABLES}
    counted = Counter(
        [
            (line.time_us // 60_000_000, line.dataset, line.level, line.pattern, label)
            for line, label in zip(lines, numbers, strict=True)
        ]
    )
    for (minute, dataset, level, pattern, label), n in counted.items():
        tables["rollup"][minute, dataset, level] += n
        tables["pattern_minute"][minute, dataset, pattern] += n
        tables["pattern_hour"][minute // 60, dataset, pattern] += n
        tables["labelled"][minute * 60_000_000 // SLOT_US, dataset, level, label] += n
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
