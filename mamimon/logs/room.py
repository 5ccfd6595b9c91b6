"""The logs room: its life, tasks and doors, and what other rooms ask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.catalogue import Catalogue
from mamimon.logs.clauses import All, Ids
from mamimon.logs.cursor import Cursor
from mamimon.logs.ingest import LogIngest
from mamimon.logs.listeners import Listeners
from mamimon.logs.model import LogHit, LogRecord
from mamimon.logs.patterns.room import PatternRoom
from mamimon.logs.query import DayBackend, LogBackend, hit_of
from mamimon.logs.sealing import Sealer
from mamimon.logs.selflog import SelfLog
from mamimon.logs.store import definitions
from mamimon.logs.store.day import Stored
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.tail import TailHub
from mamimon.problems import not_found
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

_SYNC_S = 1.0


class LogRoom:
    """See `mamimon.room.Room`."""

    name = "logs"

    def __init__(self, core: Core) -> None:
        self._core = core
        settings = core.settings
        self.store = LogDays(core.data_dir / "logs", settings.logs.block_rows, settings.storage.readers)
        self.local = DayBackend(self.store, settings.logs, core.clock)
        self.patterns = PatternRoom(core, self.store, self.local)
        self.backend: LogBackend = self.local
        self.catalogue = Catalogue(self.store)
        self.aliases: dict[str, dict[str, dict[str, Any]]] = {}
        """Other names of indices: alias, index, options; as they are in the state."""
        self.ingest = LogIngest(
            self.store,
            settings.logs,
            core.clock,
            core.registry,
            lambda: core.writable(),  # noqa: PLW0108 - the server sets it later
        )
        self.tail = TailHub(core.registry)
        self.ingest.listeners.append(self.tail.publish)
        self._totals = core.tally("mamimon_logs", "Log lines by level and dataset.", ["level", "dataset"])
        self.ingest.listeners.append(self._count)
        self._sealer = Sealer(self.store, core.clock, lambda: core.writable())  # noqa: PLW0108 - as above
        self.listeners = Listeners(self.ingest, core.clock, core.registry)
        self._self_log = (
            SelfLog(self.ingest, core.clock, core.registry, core.project)
            if settings.server.self_log
            else None
        )

    async def open(self) -> None:
        """See `Room.open`."""
        self._core.on_stop.append(self.tail.close)
        self.store.scan_folder()
        kept = await self._core.state.read(partial(definitions.read, kind="_alias"))
        self.aliases = {one.name: msgspec.json.decode(one.body) for one in kept}
        await self.patterns.open()
        self.ingest.open()
        if self._self_log is not None:
            self._self_log.attach()
        from mamimon.logs.wire.sockets import open_listeners

        try:
            await open_listeners(self.listeners, self.ingest, self._core)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `Room.close`."""
        self.tail.close()
        await self.listeners.close()
        if self._self_log is not None:
            await self._self_log.finish()
        await self.ingest.close()
        await self.patterns.close()
        await self.store.close()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        tasks = [
            Task("logs.sync", self._sync),
            Task("logs.tail", self.tail.run),
            Task("logs.patterns", self.patterns.run),
            Task("logs.seal", self._sealer.run),
        ]
        tasks += self.listeners.tasks()
        if self._self_log is not None:
            tasks.append(Task("logs.self", self._self_log.run))
        return tasks

    def _count(self, lines: Sequence[LogRecord], stored: Sequence[Stored]) -> None:
        """Keep `mamimon_logs_total`, for alert rules and panels."""
        found = Counter(
            (line.level or "none", line.dataset)
            for line, outcome in zip(lines, stored, strict=True)
            if not outcome.conflict
        )
        for (level, dataset), count in found.items():
            self._totals.add(level, dataset, count=count)

    async def _sync(self) -> None:
        while True:
            await self._core.clock.sleep(_SYNC_S)
            await self.store.sync()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        from mamimon.logs.line_page import line_handlers
        from mamimon.logs.pages import page_handlers
        from mamimon.logs.patterns import pages as pattern_pages
        from mamimon.logs.patterns import routes as pattern_routes
        from mamimon.logs.reading_routes import reading_handlers
        from mamimon.logs.routes import route_handlers
        from mamimon.logs.search_routes import search_handlers
        from mamimon.logs.wire.elasticsearch.app import elasticsearch_handlers
        from mamimon.logs.wire.gelf import gelf_handlers
        from mamimon.logs.wire.loki.app import loki_handlers
        from mamimon.logs.wire.otlp import otlp_handlers

        return [
            *route_handlers(self, self._core),
            *pattern_routes.route_handlers(self, self._core),
            *pattern_pages.page_handlers(self, self._core),
            *reading_handlers(self, self._core),
            *page_handlers(self, self._core),
            *line_handlers(self),
            *search_handlers(self._core),
            *elasticsearch_handlers(self, self._core),
            *gelf_handlers(self, self._core),
            *loki_handlers(self, self._core),
            *otlp_handlers(self, self._core),
        ]

    async def line(self, line_id: str) -> LogHit:
        """One line by its id; raises `NOT_FOUND`."""
        plan = Plan(clause=Ids([line_id]))
        days = self.days()[::-1]
        # An id that was given here begins with its day; any other may be of every day.
        own = f"{line_id[:4]}-{line_id[4:6]}-{line_id[6:8]}"
        days.sort(key=lambda day: day != own)
        for day in days:
            hit, _ = await self.store.read(
                day, plan, lambda view: next(map(hit_of, view.by_id(line_id)), None)
            )
            if hit is not None:
                return hit
        raise not_found("this line is not here, or not any more")

    def days(self) -> list[str]:
        """Every day (`YYYY-MM-DD`) that has lines, oldest first."""
        return self.store.days()

    async def oldest(self) -> float | None:
        """Epoch seconds of the minute of the first line; None without one."""
        for day in self.days()[:1]:
            created = [info.created for info in await self.catalogue.day(day) if info.docs]
            return min(created, default=None)
        return None

    def day_path(self, day: str) -> Path:
        """The file of a day."""
        return self.store.path(day)

    async def drop_day(self, day: str) -> None:
        """Delete a day with all its lines."""
        await self.store.drop(day)

    async def snapshot_day(self, day: str, target: Path) -> None:
        """Write a consistent copy of a day's file to `target`, which must not exist."""
        await self.store.snapshot(day, target)

    async def read_after(self, cursor: str, limit: int) -> tuple[list[LogHit], str]:
        """Lines that were acknowledged after `cursor`, at most `limit`, and the cursor after them.

        An empty cursor is before the oldest line. A day's lines come in the order of their
        acknowledgement; between days the older day comes first.
        """
        place = Cursor.read(cursor)
        hits: list[LogHit] = []
        days = self.store.days()
        place.forget_except(days)
        for day in days:
            known = place.seqs.get(day, 0)
            if len(hits) >= limit:
                break
            if known and known == self.store.last_seq.get(day):
                continue
            need = limit - len(hits)

            def work(view: View, known: int = known, need: int = need) -> tuple[list[LogHit], int]:
                found = [hit_of(row) for row in view.after(known, need)]
                # Deleted rows are not shown but passed, so that the place moves on behind them.
                last = found[-1].seq if len(found) >= need else view.file.next_seq - 1
                return found, last

            answer, _ = await self.store.read(day, Plan(clause=All()), work)
            if answer is not None:
                hits += answer[0]
                place.seqs[day] = max(known, answer[1])
        return hits, place.text()

    async def cursor_now(self) -> str:
        """The cursor after the newest line that is acknowledged by now."""
        place = Cursor({})
        for day in self.store.days():
            async with self.store.using(day) as file:
                if file is not None:
                    place.seqs[day] = file.next_seq - 1
        return place.text()
