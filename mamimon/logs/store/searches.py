"""Saved searches: a name for the query string of the logs page, a person's own or everybody's."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.problems import bad_input

_MOST = 200
_LONGEST_NAME = 80
_LONGEST_QUERY = 4_096


class Search(msgspec.Struct, frozen=True):
    """A saved search; `query` is the query string that opens it."""

    id: int
    owner: str
    name: str
    query: str


def read(raw: sqlite3.Connection, owner: str) -> list[Search]:
    """A person's searches and everybody's, by name."""
    rows = raw.execute(
        "SELECT id, owner, name, query FROM log_search WHERE owner IN (?, '') ORDER BY name", (owner,)
    )
    return [Search(*row) for row in rows]


def save(raw: sqlite3.Connection, owner: str, name: str, query: str, now: float) -> int:
    """Save under a name, in place of what had it; returns the id."""
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_NAME:
        raise bad_input(f"a search needs a name of 1 to {_LONGEST_NAME} characters")
    if len(query) > _LONGEST_QUERY:
        raise bad_input("the search is too long to be saved")
    count = raw.execute("SELECT count(*) FROM log_search WHERE owner=? AND name<>?", (owner, name))
    if count.fetchone()[0] >= _MOST:
        raise bad_input(f"there are {_MOST} saved searches already; delete one first")
    row = raw.execute(
        "INSERT INTO log_search (owner, name, query, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET query=excluded.query RETURNING id",
        (owner, name, query, now),
    ).fetchone()
    return int(row[0])


def delete(raw: sqlite3.Connection, owner: str, number: int) -> bool:
    """Delete one of a person's own or of everybody's; whether it was there."""
    return raw.execute("DELETE FROM log_search WHERE id=? AND owner IN (?, '')", (number, owner)).rowcount > 0
