"""The SQL of what clients of the Elasticsearch door installed; it lies in the state database."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.problems import bad_input

_MOST = 1_000


class Definition(msgspec.Struct, frozen=True):
    """A template, policy or pipeline: its JSON as it was sent, and how often it was."""

    name: str
    body: bytes
    version: int
    updated_at: float


def read(raw: sqlite3.Connection, kind: str) -> list[Definition]:
    """All of a kind, by name."""
    rows = raw.execute(
        "SELECT name, body, version, updated_at FROM log_definition WHERE kind=? ORDER BY name", (kind,)
    )
    return [Definition(name, body.encode(), version, at) for name, body, version, at in rows]


def put(raw: sqlite3.Connection, kind: str, name: str, body: bytes, now: float) -> None:
    """Add or replace one; more than 1,000 are refused."""
    count = raw.execute("SELECT count(*) FROM log_definition WHERE kind=? AND name<>?", (kind, name))
    if count.fetchone()[0] >= _MOST:
        raise bad_input(f"there are {_MOST} of {kind} already")
    raw.execute(
        "INSERT INTO log_definition VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT DO UPDATE"
        " SET body=excluded.body, version=version + 1, updated_at=excluded.updated_at",
        (kind, name, body.decode(), now),
    )


def delete(raw: sqlite3.Connection, kind: str, names: list[str]) -> None:
    """Take some away."""
    raw.executemany("DELETE FROM log_definition WHERE kind=? AND name=?", [(kind, name) for name in names])
