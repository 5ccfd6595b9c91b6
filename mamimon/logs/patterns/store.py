"""The SQL of patterns: their definitions, in the state database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from mamimon.logs.patterns.miner import Pattern


def read(raw: sqlite3.Connection) -> list[Pattern]:
    """Every pattern that is known."""
    rows = raw.execute(
        "SELECT number, dataset, level, template, first_seen, last_seen, watched FROM log_pattern"
    )
    return [
        Pattern(
            number=number, dataset=dataset, level=level, template=template,
            first_seen=first, last_seen=last, watched=bool(watched),
        )
        for number, dataset, level, template, first, last, watched in rows
    ]  # fmt: skip


def save(raw: sqlite3.Connection, patterns: Iterable[Pattern]) -> None:
    """Add patterns or bring them up to date."""
    raw.executemany(
        "INSERT INTO log_pattern VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " template=excluded.template, first_seen=excluded.first_seen, last_seen=excluded.last_seen,"
        " watched=excluded.watched",
        [
            (one.number, one.dataset, one.level, one.template, one.first_seen, one.last_seen, one.watched)
            for one in patterns
        ],
    )


def delete(raw: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Forget patterns."""
    raw.executemany("DELETE FROM log_pattern WHERE number=?", [(number,) for number in numbers])
