"""The dashboards room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.dashboards.boards import Boards
from mamimon.dashboards.changed import changed_handlers
from mamimon.dashboards.edit import edit_handlers
from mamimon.dashboards.explore import explore_handlers
from mamimon.dashboards.overview import overview_handlers
from mamimon.dashboards.pages import dashboard_handlers
from mamimon.dashboards.provisioned import Provisioned
from mamimon.dashboards.request_trail import request_handlers
from mamimon.dashboards.routes import api_handlers
from mamimon.dashboards.share import share_handlers
from mamimon.dashboards.sources import AlertSource, Sources
from mamimon.dashboards.store import DashboardStore
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom
    from mamimon.events.room import EventRoom
    from mamimon.health.room import HealthRoom
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.room import MetricRoom


class DashboardRoom:
    """See `mamimon.room.Room`."""

    name = "dashboards"

    def __init__(
        self,
        core: Core,
        logs: LogRoom,
        metrics: MetricRoom,
        errors: ErrorRoom,
        events: EventRoom,
        health: HealthRoom,
    ) -> None:
        self._core = core
        self.store = DashboardStore(core)
        self.sources = Sources(logs, metrics, errors, events, health)
        self.provisioned = Provisioned(core)
        self.boards = Boards(core, self.sources, self.store, self.provisioned)

    @property
    def alerts(self) -> AlertSource | None:
        """The alerts room; the house sets it, because siblings do not import each other."""
        return self.sources.alerts

    @alerts.setter
    def alerts(self, source: AlertSource) -> None:
        self.sources.alerts = source

    async def open(self) -> None:
        """See `Room.open`."""
        await self.provisioned.load()

    async def close(self) -> None:
        """See `Room.close`."""

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [Task("dashboards.folder", self.provisioned.run)] if self.provisioned.folder else []

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *overview_handlers(self._core, self.sources),
            *dashboard_handlers(self.boards),
            *edit_handlers(self.boards),
            *share_handlers(self.boards),
            *explore_handlers(self._core, self.sources),
            *request_handlers(self._core, self.sources),
            *changed_handlers(self._core, self.sources),
            *api_handlers(self.boards),
        ]
