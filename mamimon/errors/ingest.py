"""From a payload to a committed event: regular, scrubbed, grouped, written, counted.

Everything that costs CPU is in `prepare`, which runs in a worker thread. `append` joins what waits
into one transaction: whoever finds the writer idle writes for all, so an answer means committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mamimon.errors.apply_store import Change
from mamimon.errors.attachments import keep
from mamimon.errors.batch_store import Prepared
from mamimon.errors.event_store import EventStore, month_of
from mamimon.errors.grouping import group
from mamimon.errors.issue_store import IssueStore
from mamimon.errors.model import Attachment, Event
from mamimon.errors.normalise import AUTO, normalise
from mamimon.errors.packing import pack
from mamimon.errors.people import hide_people, identity
from mamimon.errors.rules import Rules
from mamimon.errors.scrub import scrub
from mamimon.problems import too_many, unavailable
from mamimon.storage import Core

_log = logging.getLogger("mamimon.errors")
MAX_WAITING = 5_000
MAX_BATCH = 1_000
MAX_KNOWN = 100_000
_NO_RULES = Rules()


class _Waiting(msgspec.Struct):
    rows: list[Prepared]
    done: bool = False
    error: BaseException | None = None


class Ingest:
    """The way in, shared by every door."""

    def __init__(self, core: Core, events: EventStore, issues: IssueStore) -> None:
        self._core = core
        self._events = events
        self._issues = issues
        self.secret = b""
        """The key of what stands for people: hashes, never their names."""
        self.rules: dict[int, Rules] = {}
        """What people wrote about each project's grouping and owners."""
        self._waiting: list[_Waiting] = []
        self.turn = asyncio.Lock()
        """Held to read events and to write them: both want the interpreter, and a writer beside a reader
        waits for it at every statement.
        """
        self._known: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._behind = True
        self._totals = core.tally(
            "mamimon_errors_events", "Error events by level and project number.", ["level", "project"]
        )
        self.on_change: Callable[[list[Change]], None] = lambda _: None
        self.improve: Callable[[Event], bool] = lambda _: False
        """Changes a regular event before it is scrubbed and grouped, in the worker thread; says whether."""

    async def open(self, secret: bytes) -> None:
        """Take over what a crash left between the two files."""
        self.secret = secret
        await self._catch_up()

    def prepare(
        self,
        raw: dict[str, Any],
        project: int,
        *,
        sent_at: float | None = None,
        attachments: Sequence[tuple[Attachment, bytes]] = (),
        ip: str = "",
        suspected: bool = True,
    ) -> Prepared:
        """A decoded payload as a row; never raises for strange values.

        `suspected` says whether anything in it may be a secret.
        """
        event = normalise(raw, project, self._core.clock.now(), sent_at)
        event.attachments = [one for one, _ in attachments]
        if event.user is not None and event.user.ip == AUTO:
            event.user.ip = ip
        suspected |= self.improve(event)
        who = identity(event.user, self.secret) if event.user is not None else b""
        scrub(event, suspected=suspected)
        aliases = hide_people(event, self.secret)
        event.grouping = group(event, self.rules.get(project, _NO_RULES))
        files = [keep(one, body) for one, body in attachments]
        return Prepared(event=event, body=pack(event), user=who, aliases=aliases, files=files)

    async def append(self, rows: list[Prepared]) -> None:
        """Write events; returns when they are committed and counted.

        Raises `TOO_MANY` when too much waits and `UNAVAILABLE` when the disk takes no more.
        """
        if not self._core.writable():
            raise unavailable("the disk is full; error events are refused until there is room")
        if sum(len(one.rows) for one in self._waiting) + len(rows) > MAX_WAITING:
            raise too_many("too many events wait to be written")
        mine = _Waiting(rows)
        self._waiting.append(mine)
        async with self.turn:
            while not mine.done:
                await self._flush()
        if mine.error is not None:
            raise mine.error

    async def attach(self, project: int, event_id: str, files: Sequence[tuple[Attachment, bytes]]) -> int:
        """Add files to an event that came before them; returns how many are new."""
        async with self.turn:
            return await self._events.attach(project, event_id, files)

    async def _flush(self) -> None:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].rows) <= MAX_BATCH):
            batch.append(self._waiting.pop(0))
            size += len(batch[-1].rows)
        error: BaseException | None = None
        try:
            await self._write([row for one in batch for row in one.rows])
        except Exception as problem:
            error = problem
        for one in batch:
            one.done, one.error = True, error

    async def _write(self, rows: list[Prepared]) -> None:
        if self._behind:
            await self._catch_up()
        unknown = [row.event for row in rows if _key(row) not in self._known]
        if unknown:
            self._known.update(await self._issues.issues_of(unknown, self._owner))
        months: dict[str, list[Prepared]] = {}
        for row in rows:
            row.issue = self._known[_key(row)]
            self._known.move_to_end(_key(row))
            months.setdefault(month_of(row.event.time), []).append(row)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        for month, part in months.items():
            number, deltas = await self._events.append(month, part)
            if not deltas:
                continue
            levels = Counter((row.event.level, str(row.event.project)) for row in part if row.fresh)
            for (level, project), count in levels.items():
                self._totals.add(level, project, count=count)
            self._behind = True
            changes = await self._issues.apply(month, number, deltas, self._core.clock.now())
            self._behind = False
            if changes:
                self.on_change(changes)

    def _owner(self, event: Event) -> str:
        return self.rules.get(event.project, _NO_RULES).owner(event)

    async def _catch_up(self) -> None:
        applied = await self._issues.applied()
        for month in self._events.months()[-2:]:
            for number, deltas in await self._events.unapplied(month, applied.get(month, 0)):
                _log.info("taking over batch %d of %s after an interruption", number, month)
                changes = await self._issues.apply(month, number, deltas, self._core.clock.now())
                if changes:
                    self.on_change(changes)
        self._behind = False


def _key(row: Prepared) -> tuple[int, str]:
    return row.event.project, row.event.grouping.hash
