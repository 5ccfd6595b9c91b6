"""Questions about events: how many, by how many people, by which property, and which ones."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from mamimon.events.model import EventRow, Summary, TypeCount
from mamimon.events.store import EventStore, questions
from mamimon.problems import bad_input

_MOST_STEPS = 10_000
_PROPERTY = re.compile(r"[^\x00\"]{1,100}")


async def counts(store: EventStore, start: float, end: float, step_s: float) -> dict[str, list[int]]:
    """Events by type in steps of `step_s` from `start`; the last step may be cut short by `end`."""
    steps = int(-(-(end - start) // step_s))
    if not 0 < steps <= _MOST_STEPS:
        raise bad_input(f"{steps} steps are not between 1 and {_MOST_STEPS}")
    low, high = _ms(start), _ms(end)
    answers, _ = await store.over(start, end, lambda raw: questions.steps(raw, low, high, step_s * 1000))
    found: dict[str, list[int]] = {}
    for rows in answers:
        for name, step, count in rows:
            found.setdefault(name, [0] * steps)[min(step, steps - 1)] += count
    return found


async def summary(store: EventStore, start: float, end: float) -> Summary:
    """Totals of the window: events and different pseudonyms, by type and in all.

    A person whose pseudonym key rotated inside the window counts once a key.
    """
    numbers: Counter[str] = Counter()
    people: defaultdict[str, set[bytes]] = defaultdict(set)
    answers, partial = await store.over(
        start, end, lambda raw: questions.by_person(raw, _ms(start), _ms(end))
    )
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
    answers, _ = await store.over(
        start, end, lambda raw: questions.values(raw, _ms(start), _ms(end), type_, name)
    )
    numbers: Counter[str] = Counter()
    for rows in answers:
        for value, count in rows:
            numbers["" if value is None else str(value)] += count
    return numbers.most_common(size)


async def property_names(store: EventStore, start: float, end: float, type_: str) -> list[str]:
    """The property names seen in the newest events of a type, most frequent first."""
    answers, _ = await store.over(start, end, lambda raw: questions.names(raw, _ms(start), _ms(end), type_))
    numbers: Counter[str] = Counter()
    for rows in answers:
        for key, count in rows:
            numbers[key] += count
    return [name for name, _ in numbers.most_common(50)]


async def recent(
    store: EventStore, start: float, end: float, type_: str = "", size: int = 50, user: bytes | None = None
) -> list[EventRow]:
    """The newest events, of one type or pseudonym where asked."""
    answers, _ = await store.over(
        start, end, lambda raw: questions.newest(raw, _ms(start), _ms(end), type_, user, size)
    )
    return _rows(answers)[:size]


async def of_requests(
    store: EventStore, ids: Sequence[str], start: float, end: float, size: int
) -> list[EventRow]:
    """The events of requests or traces in `[start, end)`, by their properties request_id and trace_id."""
    answers, _ = await store.over(
        start, end, lambda raw: questions.of_requests(raw, _ms(start), _ms(end), list(ids), size)
    )
    return _rows(answers)[:size]


def _rows(answers: Sequence[Sequence[tuple[int, str, bytes | None, str]]]) -> list[EventRow]:
    return [
        EventRow(at / 1000, name, pseudonym.hex() if pseudonym else "", msgspec.json.decode(text))
        for day in answers
        for at, name, pseudonym, text in day
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
