"""From what a client sent to what is stored: checked, anonymised, bounded, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from prometheus_client import Counter

from mamimon.events.anonymise import Pseudonym, scrub, scrub_text
from mamimon.events.model import Event, Incoming, Receipt, Refusal
from mamimon.events.store import EventStore, PseudonymKeys
from mamimon.problems import too_many, unavailable
from mamimon.storage import Core

MAX_NAME = 200
MAX_PROPERTIES_BYTES = 32_768
MAX_WAITING = 50_000
_FUTURE_S = 86_400.0
_COUNTED_TYPES = 200


class Ingest:
    """The one way into the event store."""

    def __init__(self, core: Core, store: EventStore, keys: PseudonymKeys) -> None:
        self._core = core
        self._store = store
        self._keys = keys
        self._waiting = 0
        self._names: set[str] = set()
        self._stored = Counter(
            "mamimon_events", "Product events stored, by type.", ["event"], registry=core.registry
        )
        self._lost = Counter(
            "mamimon_events_refused", "Product events not stored.", ["reason"], registry=core.registry
        )
        for reason in ("malformed", "opted_out", "overload"):
            self._lost.labels(reason)

    def opted_out(self, count: int) -> None:
        """Count events that were dropped because their sender asked not to be tracked."""
        self._lost.labels("opted_out").inc(count)

    async def append(
        self, incoming: Sequence[tuple[int, Incoming]], refused: Sequence[Refusal] = ()
    ) -> Receipt:
        """Anonymise and store; durable when it returns. `refused` are those that were unreadable.

        Raises `TOO_MANY` when too much waits for the disk and `UNAVAILABLE` when it is full;
        nothing of the batch was kept then.
        """
        if not self._core.writable():
            raise unavailable("the disk is full: events are not taken in", retry_after_s=60)
        if self._waiting + len(incoming) > MAX_WAITING:
            self._lost.labels("overload").inc(len(incoming))
            raise too_many("too many events wait for the disk", 2.0)
        self._waiting += len(incoming)
        try:
            pseudonym = await self._keys.current()
            events, bad = await self._anonymise(incoming, pseudonym)
            added = await self._store.append(events) if events else 0
        finally:
            self._waiting -= len(incoming)
        for event in events:
            self._stored.labels(self._counted(event.type)).inc()
        every = sorted([*refused, *bad], key=lambda one: one.index)
        self._lost.labels("malformed").inc(len(every))
        return Receipt(added, len(events) - added, every)

    async def _anonymise(
        self, incoming: Sequence[tuple[int, Incoming]], pseudonym: Pseudonym
    ) -> tuple[list[Event], list[Refusal]]:
        now = self._core.clock.now()
        oldest = now - self._core.settings.events.retention_days * 86_400
        if len(incoming) < 50:
            return _anonymise(incoming, pseudonym, now, oldest)
        return await asyncio.to_thread(_anonymise, incoming, pseudonym, now, oldest)

    def _counted(self, name: str) -> str:
        if name not in self._names and len(self._names) >= _COUNTED_TYPES:
            return "other"
        self._names.add(name)
        return name


def _anonymise(
    incoming: Sequence[tuple[int, Incoming]], pseudonym: Pseudonym, now: float, oldest: float
) -> tuple[list[Event], list[Refusal]]:
    events: list[Event] = []
    bad: list[Refusal] = []
    for index, one in incoming:
        at = now if one.at is None else one.at
        if at > now + _FUTURE_S:
            bad.append(Refusal(index, "its time lies more than a day ahead"))
            continue
        if at < oldest:
            bad.append(Refusal(index, "it is older than events are kept (events.retention_days)"))
            continue
        properties = msgspec.json.encode(scrub(one.properties, pseudonym))
        if len(properties) > MAX_PROPERTIES_BYTES:
            bad.append(Refusal(index, f"its properties are larger than {MAX_PROPERTIES_BYTES} bytes"))
            continue
        events.append(
            Event(
                at=at,
                type=scrub_text(one.type)[:MAX_NAME],
                user=pseudonym(one.user) if one.user else None,
                uuid=pseudonym("uuid:" + one.uuid) if one.uuid else None,
                properties=properties,
            )
        )
    return events, bad
