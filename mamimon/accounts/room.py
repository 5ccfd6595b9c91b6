"""The accounts room: signing in, people, tokens and the settings page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.accounts.own_pages import own_handlers
from mamimon.accounts.pages import page_handlers
from mamimon.accounts.passkey_pages import passkey_handlers
from mamimon.accounts.passkey_store import PasskeyStore
from mamimon.accounts.passkeys import Passkeys
from mamimon.accounts.people import People
from mamimon.accounts.routes import api_handlers
from mamimon.accounts.session_pages import session_handlers, sign_on_handlers
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


# How late the last use of a token may be written down.
NOTE_S = 60.0


class AccountRoom:
    """See `mamimon.room.Room`."""

    name = "accounts"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.people = People(core)
        self._passkeys = Passkeys(PasskeyStore(core.state), core.clock)

    async def open(self) -> None:
        """See `Room.open`."""
        await self.people.load()

    async def close(self) -> None:
        """See `Room.close`."""
        await self.people.note_use()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [Task("tokens", self._keep)]

    async def _keep(self) -> None:
        while True:
            await self._core.clock.sleep(NOTE_S)
            await self.people.note_use()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        core, people = self._core, self.people
        return [
            *api_handlers(people),
            *session_handlers(core, people),
            *sign_on_handlers(core, people),
            *own_handlers(core, people, self._passkeys.store),
            *passkey_handlers(core, people, self._passkeys),
            *page_handlers(core, people),
        ]
