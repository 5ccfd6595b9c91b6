"""The events room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import asgi

from mamimon.events import query
from mamimon.events.ingest import Ingest
from mamimon.events.model import EventRow
from mamimon.events.pages import page_handlers
from mamimon.events.routes import api_handlers, key_handlers
from mamimon.events.store import EventStore, PseudonymKeys
from mamimon.events.wire.doors import capture_door
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler, Receive, Scope, Send


class EventRoom:
    """See `mamimon.room.Room`."""

    name = "events"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = EventStore(core.data_dir / "events")
        self.keys = PseudonymKeys(core)
        self.ingest = Ingest(core, self.store, self.keys)

    async def open(self) -> None:
        """See `Room.open`."""
        await self.keys.current()

    async def close(self) -> None:
        """See `Room.close`."""
        await self.store.close()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [Task("events.sync", self._sync), Task("events.keys", self._forget)]

    async def _forget(self) -> None:
        """Drop keys under which no kept event can stand any more."""
        settings = self._core.settings.events
        kept_s = (settings.retention_days + settings.pseudonym_days) * 86_400.0
        while True:
            await self.keys.drop(self._core.clock.now() - kept_s)
            await self._core.clock.sleep(86_400.0)

    async def _sync(self) -> None:
        while True:
            await self._core.clock.sleep(1.0)
            await self.store.sync()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        door = capture_door(self._core, self.ingest)

        # Not mounted: Litestar matches mounts by bare prefix, and "/e" would take "/errors/1" with it.
        @asgi(["/capture", "/batch", "/e"], copy_scope=True)
        async def capture(scope: Scope, receive: Receive, send: Send) -> None:
            mutable: Any = scope
            await door(mutable, receive, send)  # type: ignore[arg-type]

        return [
            capture,
            *api_handlers(self._core, self.store, self.ingest),
            *key_handlers(self._core, self.keys),
            *page_handlers(self._core, self.store, self.keys),
        ]

    async def counts(self, start: float, end: float, step_s: float) -> dict[str, list[int]]:
        """Events by type in steps of `step_s` seconds over `[start, end)`."""
        return await query.counts(self.store, start, end, step_s)

    async def of_requests(self, ids: Sequence[str], start: float, end: float, size: int) -> list[EventRow]:
        """The events of requests or traces in `[start, end)`."""
        return await query.of_requests(self.store, ids, start, end, size)

    def days(self) -> list[str]:
        """The UTC days that have events, oldest first, as `YYYY-MM-DD`."""
        return self.store.days()

    def day_path(self, day: str) -> Path:
        """The file of a day."""
        return self.store.path(day)

    async def snapshot_day(self, day: str, target: Path) -> None:
        """A consistent copy of a day's file at `target`."""
        await self.store.snapshot(day, target)

    async def drop_day(self, day: str) -> None:
        """Delete a day's file."""
        await self.store.drop(day)

    async def drop_before(self, day: str) -> list[str]:
        """Delete every day before `day`; returns which."""
        old = [one for one in self.store.days() if one < day]
        for one in old:
            await self.store.drop(one)
        return old
