"""Builds the rooms, opens them in order and hands their doors to the app."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import Project
from mamimon.accounts.people import People
from mamimon.accounts.room import AccountRoom, ProjectAccounts
from mamimon.alerts.room import AlertRoom
from mamimon.clock import Clock
from mamimon.config import Settings
from mamimon.dashboards.room import DashboardRoom
from mamimon.errors.room import ErrorRoom
from mamimon.events.room import EventRoom
from mamimon.forward.room import ForwardRoom
from mamimon.health.room import HealthRoom
from mamimon.http import PROJECTS
from mamimon.logs.room import LogRoom
from mamimon.metrics.room import MetricRoom
from mamimon.retention.room import RetentionRoom
from mamimon.room import Badged, Room, Task
from mamimon.storage import Core, Database, DiskGuard, migrate

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

_log = logging.getLogger("mamimon.server")


class House:
    """The rooms of one project over one data directory.

    The house of a further `project` is built beside the `first` one, which has the accounts and the
    guard of the disk.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        clock: Clock,
        *,
        first: House | None = None,
        project: Project | None = None,
    ) -> None:
        self.first = first or self
        self.project = project
        self.settings = settings
        self.data_dir = data_dir
        self.clock = clock
        self.core: Core | None = None
        self.rooms: list[Room] = []
        self.people: People | None = None
        self._guard: DiskGuard | None = None

    @property
    def root(self) -> str:
        """Where its pages are; empty for the first project's."""
        return f"{PROJECTS}{self.project.slug}" if self.project is not None else ""

    async def open(self) -> Core:
        """Open the state database and every room; on a failure what was opened is closed again."""
        state = await Database.open(
            self.data_dir / "mamimon.db",
            synchronous="FULL",
            readers=self.settings.storage.readers,
            busy_timeout_s=self.settings.storage.busy_timeout_s,
        )
        try:
            await migrate(state, "state")
            self.core = Core(self.settings, self.clock, self.data_dir, state)
            self.core.project = self.project.slug if self.project is not None else ""
            self.core.writable = self._watch_disk(self.core)
            for room in self._build(self.core):
                await room.open()
                self.rooms.append(room)
        except BaseException:
            await self.close()
            await state.close()
            raise
        return self.core

    def _watch_disk(self, core: Core) -> Callable[[], bool]:
        if self.first is not self:
            assert self.first.core is not None
            return self.first.core.writable
        self._guard = DiskGuard(self.data_dir, self.settings.storage, self.clock)
        self._guard.look()
        core.registry.register(self._guard)
        return self._guard.writable

    def _build(self, core: Core) -> Sequence[Room]:
        """The rooms in the order they open; a later one may be handed an earlier one."""
        accounts: AccountRoom | ProjectAccounts
        if self.project is None:
            accounts = AccountRoom(core)
        else:
            assert self.first.people is not None
            accounts = ProjectAccounts(core, self.first.people, self.project)
        self.people = accounts.people
        logs = LogRoom(core)
        metrics = MetricRoom(core)
        errors = ErrorRoom(core)
        events = EventRoom(core)
        health = HealthRoom(core)
        errors.door.on_check_in = health.take_check_in
        alerts = AlertRoom(core, logs, metrics, errors, health)
        dashboards = DashboardRoom(core, logs, metrics, errors, events, health)
        dashboards.alerts = alerts
        forward = ForwardRoom(core, logs, metrics)
        retention = RetentionRoom(core, logs, metrics, errors, events)
        return [accounts, logs, metrics, errors, events, health, alerts, dashboards, forward, retention]

    def tasks(self) -> list[Task]:
        """Every room's background tasks."""
        guard = [Task("disk guard", self._guard.run)] if self._guard is not None else []
        return [*guard, *(task for room in self.rooms for task in room.tasks())]

    def handlers(self) -> list[ControllerRouterHandler]:
        """Every room's doors and pages."""
        return [handler for room in self.rooms for handler in room.handlers()]

    def badges(self) -> dict[str, int]:
        """Counts shown in the navigation; a room that has some offers `badge() -> {key: count}`.

        Who may not read the project sees none.
        """
        if "read" not in current_actor.get().allowed:
            return {}
        return {k: n for room in self.rooms if isinstance(room, Badged) for k, n in room.badge().items()}

    async def close(self) -> None:
        """Close the rooms, last opened first, then the state database; idempotent."""
        for room in reversed(self.rooms):
            try:
                await room.close()
            except Exception:
                _log.exception("closing %s failed", room.name)
        self.rooms.clear()
        if self.core is not None:
            await self.core.state.close()
            self.core = None
