"""What can be asked of one day's file; `query` merges the answers of many days.

Times are epoch milliseconds, windows `[low, high)`.
"""

from __future__ import annotations

import sqlite3
from typing import Any

Raw = sqlite3.Connection
_OF_TYPE = "type = (SELECT id FROM type WHERE name = ?) AND at >= ? AND at < ?"


def steps(raw: Raw, low: int, high: int, width: float) -> list[tuple[str, int, int]]:
    """(type, step, count) for steps of `width` milliseconds from `low`."""
    return raw.execute(
        "SELECT t.name, CAST((e.at - ?) / ? AS INTEGER) AS step, count(*) FROM event e"
        " JOIN type t ON t.id = e.type WHERE e.at >= ? AND e.at < ? GROUP BY 1, 2",
        (low, width, low, high),
    ).fetchall()


def by_person(raw: Raw, low: int, high: int) -> list[tuple[str, int, bytes | None]]:
    """(type, count, pseudonym), one row a type and pseudonym."""
    return raw.execute(
        "SELECT t.name, count(*), e.user FROM event e JOIN type t ON t.id = e.type"
        " WHERE e.at >= ? AND e.at < ? GROUP BY e.type, e.user",
        (low, high),
    ).fetchall()


def values(raw: Raw, low: int, high: int, type_: str, name: str) -> list[tuple[Any, int]]:
    """(value, count) of one property in the events of a type."""
    return raw.execute(
        "SELECT json_extract(properties, ?), count(*) FROM event"  # noqa: S608 - fixed text
        f" WHERE {_OF_TYPE} GROUP BY 1 ORDER BY 2 DESC LIMIT 10000",
        (f'$."{name}"', type_, low, high),
    ).fetchall()


def names(raw: Raw, low: int, high: int, type_: str) -> list[tuple[str, int]]:
    """(property name, count) in the newest 500 events of a type."""
    return raw.execute(
        "SELECT key, count(*) FROM (SELECT properties FROM event"  # noqa: S608 - fixed text
        f" WHERE {_OF_TYPE} ORDER BY at DESC LIMIT 500) e, json_each(e.properties) GROUP BY key",
        (type_, low, high),
    ).fetchall()


def of_requests(
    raw: Raw, low: int, high: int, ids: list[str], size: int
) -> list[tuple[int, str, bytes | None, str]]:
    """(at, type, pseudonym, properties) of events whose request_id or trace_id is one of `ids`."""
    marks = ", ".join("?" * len(ids))
    return raw.execute(
        "SELECT e.at, t.name, e.user, e.properties FROM event e JOIN type t ON t.id = e.type"  # noqa: S608 - marks only
        f" WHERE e.at >= ? AND e.at < ? AND (json_extract(e.properties, '$.request_id') IN ({marks})"
        f" OR json_extract(e.properties, '$.trace_id') IN ({marks})) ORDER BY e.at LIMIT ?",
        (low, high, *ids, *ids, size),
    ).fetchall()


def newest(
    raw: Raw, low: int, high: int, type_: str, user: bytes | None, size: int
) -> list[tuple[int, str, bytes | None, str]]:
    """(at, type, pseudonym, properties as JSON), newest first, of one type or pseudonym where asked."""
    where, wanted = "e.at >= ? AND e.at < ?", [low, high]
    parameters: list[Any] = list(wanted)
    if type_:
        where += " AND t.name = ?"
        parameters.append(type_)
    if user is not None:
        where += " AND e.user = ?"
        parameters.append(user)
    return raw.execute(
        "SELECT e.at, t.name, e.user, e.properties FROM event e"  # noqa: S608 - fixed text
        f" JOIN type t ON t.id = e.type WHERE {where} ORDER BY e.at DESC, e.id DESC LIMIT ?",
        (*parameters, size),
    ).fetchall()
