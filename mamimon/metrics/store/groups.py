"""The pushed groups' rows in `mamimon.db`: the only SQL of them."""

from __future__ import annotations

import sqlite3

Raw = sqlite3.Connection


def load(raw: Raw) -> list[bytes]:
    """Every group's body."""
    return [row[0] for row in raw.execute("SELECT body FROM pushed_group ORDER BY labels")]


def put(raw: Raw, labels: str, body: bytes) -> None:
    """Insert or replace a group."""
    raw.execute(
        "INSERT INTO pushed_group (labels, body) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET body = excluded.body",
        (labels, body),
    )


def delete(raw: Raw, labels: str) -> None:
    """Delete a group; one that is not there is none of our concern."""
    raw.execute("DELETE FROM pushed_group WHERE labels = ?", (labels,))
