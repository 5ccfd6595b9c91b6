"""The accounts room: signing in, people, tokens and the settings page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mamimon.accounts.model import Project
from mamimon.accounts.own_pages import own_handlers
from mamimon.accounts.pages import page_handlers
from mamimon.accounts.passkey_pages import passkey_handlers
from mamimon.accounts.passkey_store import PasskeyStore
from mamimon.accounts.passkeys import Passkeys
from mamimon.accounts.people import People
from mamimon.accounts.project_pages import member_page_handlers, project_page_handlers
from mamimon.accounts.project_routes import member_handlers, project_api_handlers
from mamimon.accounts.routes import api_handlers, token_handlers
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
            *project_api_handlers(people),
            *member_handlers(people, people.projects.first),
            *project_page_handlers(people),
        ]


class ProjectAccounts:
    """The room of a further project: its members, its tokens and its settings page.

    People, sessions and everything else of accounts are the server's and in its first project.
    """

    name = "accounts"

    def __init__(self, core: Core, people: People, project: Project) -> None:
        self._core = core
        self.people = people
        self._project = project

    async def open(self) -> None:
        """See `Room.open`."""

    async def close(self) -> None:
        """See `Room.close`."""

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return []

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *token_handlers(self.people, self._project),
            *member_handlers(self.people, self._project),
            *member_page_handlers(self._core, self.people, self._project),
        ]
