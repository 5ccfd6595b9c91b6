"""The forward room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.metrics.room import MetricRoom


class ForwardRoom:
    """See `mamimon.room.Room`."""

    name = "forward"

    def __init__(self, core: Core, logs: LogRoom, metrics: MetricRoom) -> None:
        self._core = core
        self._logs = logs
        self._metrics = metrics

    async def open(self) -> None:
        """See `Room.open`."""

    async def close(self) -> None:
        """See `Room.close`."""

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return []

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return []
