"""The health room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mamimon.config import ConfigError
from mamimon.config_checks import CheckSettings
from mamimon.health.check_ins import Reported, take_check_in
from mamimon.health.heartbeats import Heartbeats
from mamimon.health.ledger import Ledger
from mamimon.health.maintenance import Maintenance
from mamimon.health.maintenance_routes import maintenance_handlers
from mamimon.health.maintenance_store import MaintenanceStore
from mamimon.health.model import CheckStatus, worst_first
from mamimon.health.monitor import Figures, Monitor
from mamimon.health.notices import Notices
from mamimon.health.notices_routes import notice_handlers
from mamimon.health.notices_store import NoticeStore
from mamimon.health.numbers import HealthNumbers
from mamimon.health.pages import health_pages
from mamimon.health.routes import heartbeat_routes
from mamimon.health.status_pages import status_handlers
from mamimon.health.store import HealthStore
from mamimon.health.subscribers import Subscribers
from mamimon.health.subscribers_store import SubscriberStore
from mamimon.problems import Problem
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

_SAVE_S = 60.0


class HealthRoom:
    """See `mamimon.room.Room`."""

    name = "health"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = HealthStore(core.state)
        self.maintenance = Maintenance(core.clock, MaintenanceStore(core.state))
        self.maintenance.is_check = lambda name: name in self.names()
        ledger = Ledger(core.clock, self.store, self.maintenance.of_check)
        self.monitor = Monitor(core.clock, self.store, ledger)
        self.heartbeats = Heartbeats(core.clock, self.store, ledger, self._writable)

        self.subscribers = Subscribers(core, SubscriberStore(core.state), self._shown)
        self.notices = Notices(core, NoticeStore(core.state), self._shown)

    def _shown(self) -> set[str]:
        return {status.name for status in self.statuses() if status.on_status_page}

    def _writable(self) -> bool:
        return self._core.writable()

    async def open(self) -> None:
        """See `Room.open`. Raises `ConfigError` where two checks have one name."""
        settings = self._core.settings.health
        checks = msgspec.convert(settings.checks, list[CheckSettings])
        names = [check.name for check in checks]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"health.checks: two checks are named {name!r}; names must differ")
        if settings.host_checks:
            checks += [check for check in self._host_checks() if check.name not in names]
        await self.maintenance.open()
        await self.monitor.restore(
            [(c, c.interval_s or settings.interval_s, c.timeout_s or settings.timeout_s) for c in checks]
        )
        await self.heartbeats.restore()
        self._core.registry.register(HealthNumbers(self._figures))

    def _figures(self) -> list[Figures]:
        return self.monitor.figures() + [Figures(status) for status in self.heartbeats.statuses()]

    def _host_checks(self) -> list[CheckSettings]:
        folder = str(self._core.data_dir)
        own = [
            CheckSettings(name="disk", kind="disk", target=folder),
            CheckSettings(name="memory", kind="memory"),
            CheckSettings(name="inodes", kind="inodes", target=folder, on_status_page=False),
            CheckSettings(name="swap", kind="swap", on_status_page=False),
            CheckSettings(name="load", kind="load", on_status_page=False),
            CheckSettings(name="clock", kind="clock", on_status_page=False),
        ]
        # sd_booted(3): only there is somebody to ask.
        if Path("/run/systemd/system").is_dir():
            own.append(CheckSettings(name="systemd units", kind="systemd", on_status_page=False))
        return own

    async def close(self) -> None:
        """See `Room.close`."""
        try:
            await self.monitor.save()
        except Problem:
            # A full disk only costs precision: the gap until the next start shows a minute longer.
            return

    def statuses(self) -> list[CheckStatus]:
        """Every check and heartbeat as it stands, the worst first, then by name; from memory."""
        return worst_first(self.monitor.statuses() + self.heartbeats.statuses())

    def names(self) -> set[str]:
        """The names of every check and heartbeat."""
        return {status.name for status in self.monitor.statuses() + self.heartbeats.statuses()}

    async def take_check_in(self, reported: Reported) -> None:
        """A cron monitor's report; raises `Problem` for one that has no heartbeat and no schedule."""
        await take_check_in(self.heartbeats, self.names(), reported)

    def badge(self) -> dict[str, int]:
        """See `mamimon.room.Badged`: how many checks are down."""
        return {"checks": sum(status.state == "down" for status in self.statuses())}

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [
            *(Task(f"check {name}", partial(self.monitor.run, name)) for name in self.monitor.names()),
            Task("check times", self._keep_saving),
            Task("heartbeats", self.heartbeats.run),
            Task("maintenance", self.monitor.follow_maintenance),
            Task("status mail", self.subscribers.run),
        ]

    async def _keep_saving(self) -> None:
        while True:
            await self._core.clock.sleep(_SAVE_S)
            await self.monitor.save()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *health_pages(self._core, self.monitor, self.heartbeats, self.store),
            *status_handlers(
                self._core, self.statuses, self.store, self.maintenance, self.subscribers, self.notices
            ),
            *notice_handlers(self._core, self.notices, self.subscribers, self._shown),
            *heartbeat_routes(self._core, self.monitor, self.heartbeats, self.store),
            *maintenance_handlers(self._core, self.maintenance, lambda: list(self.names())),
        ]
