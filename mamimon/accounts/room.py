"""The accounts room: signing in, people, tokens and the settings page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.accounts.pages import page_handlers
from mamimon.accounts.people import People
from mamimon.accounts.routes import api_handlers
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class AccountRoom:
    """See `mamimon.room.Room`."""

    name = "accounts"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.people = People(core)

    async def open(self) -> None:
        """See `Room.open`."""
        await self.people.load()

    async def close(self) -> None:
        """See `Room.close`."""

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return []

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [*api_handlers(self.people), *page_handlers(self._core, self.people)]
