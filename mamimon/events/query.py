"""Questions about events: how many, by how many people, by which property, and which ones."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from typing import Any

import msgspec

from mamimon.events.model import EventRow, Summary, TypeCount
from mamimon.events.store import EventStore
from mamimon.problems import bad_input

_MOST_STEPS = 10_000
_PROPERTY = re.compile(r"[^\x00\"]{1,100}")


async def counts(store: EventStore, start: float, end: float, step_s: float) -> dict[str, list[int]]:
    """Events by type in steps of `step_s` from `start`; the last step may be cut short by `end`."""
    steps = int(-(-(end - start) // step_s))
    if not 0 < steps <= _MOST_STEPS:
        raise bad_input(f"{steps} steps are not between 1 and {_MOST_STEPS}")
    low, high, width = round(start * 1000), round(end * 1000), step_s * 1000

    def work(raw: sqlite3.Connection) -> list[tuple[str, int, int]]:
        return raw.execute(
            "SELECT t.name, CAST((e.at - ?) / ? AS INTEGER) AS step, count(*) FROM event e"
            " JOIN type t ON t.id = e.type WHERE e.at >= ? AND e.at < ? GROUP BY 1, 2",
            (low, width, low, high),
        ).fetchall()

    found: dict[str, list[int]] = {}
    answers, _ = await store.over(start, end, work)
    for rows in answers:
        for name, step, count in rows:
            found.setdefault(name, [0] * steps)[min(step, steps - 1)] += count
    return found


async def summary(store: EventStore, start: float, end: float) -> Summary:
    """Totals of the window: events and different pseudonyms, by type and in all.

    A person whose pseudonym key rotated inside the window counts once a key.
    """
    bounds = (round(start * 1000), round(end * 1000))

    def work(raw: sqlite3.Connection) -> list[tuple[str, int, bytes | None]]:
        return raw.execute(
            "SELECT t.name, count(*), e.user FROM event e JOIN type t ON t.id = e.type"
            " WHERE e.at >= ? AND e.at < ? GROUP BY e.type, e.user",
            bounds,
        ).fetchall()

    numbers: Counter[str] = Counter()
    people: defaultdict[str, set[bytes]] = defaultdict(set)
    answers, partial = await store.over(start, end, work)
    for rows in answers:
        for name, count, user in rows:
            numbers[name] += count
            if user is not None:
                people[name].add(user)
    everyone: set[bytes] = set().union(*people.values())
    types = [TypeCount(name, count, len(people[name])) for name, count in numbers.most_common()]
    return Summary(types, numbers.total(), len(everyone), partial)


async def breakdown(
    store: EventStore, start: float, end: float, type_: str, name: str, size: int = 20
) -> list[tuple[str, int]]:
    """How often each value of a property occurs in the events of a type, most frequent first."""
    if not _PROPERTY.fullmatch(name):
        raise bad_input("a property's name is 1 to 100 characters without quotes")
    key = f'$."{name}"'
    parameters = (key, type_, round(start * 1000), round(end * 1000))

    def work(raw: sqlite3.Connection) -> list[tuple[Any, int]]:
        return raw.execute(
            "SELECT json_extract(e.properties, ?) AS value, count(*) FROM event e"
            " WHERE e.type = (SELECT id FROM type WHERE name = ?) AND e.at >= ? AND e.at < ?"
            " GROUP BY 1 ORDER BY 2 DESC LIMIT 10000",
            parameters,
        ).fetchall()

    numbers: Counter[str] = Counter()
    for rows in (await store.over(start, end, work))[0]:
        for value, count in rows:
            numbers["" if value is None else str(value)] += count
    return numbers.most_common(size)


async def property_names(store: EventStore, start: float, end: float, type_: str) -> list[str]:
    """The property names seen in the newest 500 events of a type, most frequent first."""
    parameters = (type_, round(start * 1000), round(end * 1000))

    def work(raw: sqlite3.Connection) -> list[tuple[str, int]]:
        return raw.execute(
            "SELECT key, count(*) FROM (SELECT properties FROM event"
            " WHERE type = (SELECT id FROM type WHERE name = ?) AND at >= ? AND at < ?"
            " ORDER BY at DESC LIMIT 500) e, json_each(e.properties) GROUP BY key",
            parameters,
        ).fetchall()

    numbers: Counter[str] = Counter()
    for rows in (await store.over(start, end, work))[0]:
        for key, count in rows:
            numbers[key] += count
    return [name for name, _ in numbers.most_common(50)]


async def recent(
    store: EventStore, start: float, end: float, type_: str = "", size: int = 50, user: bytes | None = None
) -> list[EventRow]:
    """The newest events, of one type or pseudonym where asked."""
    where = "e.at >= ? AND e.at < ?"
    values: list[Any] = [round(start * 1000), round(end * 1000)]
    if type_:
        where += " AND t.name = ?"
        values.append(type_)
    if user is not None:
        where += " AND e.user = ?"
        values.append(user)

    sql = (
        "SELECT e.at, t.name, e.user, e.properties FROM event e JOIN type t ON t.id = e.type"  # noqa: S608 - fixed text
        f" WHERE {where} ORDER BY e.at DESC, e.id DESC LIMIT ?"
    )

    def work(raw: sqlite3.Connection) -> list[tuple[int, str, bytes | None, str]]:
        return raw.execute(sql, (*values, size)).fetchall()

    answers, _ = await store.over(start, end, work)
    rows = [row for day in answers for row in day][:size]
    return [
        EventRow(at / 1000, name, user_.hex() if user_ else "", msgspec.json.decode(text))
        for at, name, user_, text in rows
    ]
