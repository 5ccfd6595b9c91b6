"""The metrics room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class MetricRoom:
    """See `mamimon.room.Room`."""

    name = "metrics"

    def __init__(self, core: Core) -> None:
        self._core = core

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
