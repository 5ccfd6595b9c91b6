"""The houses of one server: the first project's, and one for each further project that is in service.

A further house is opened in the background after the server is ready, so that its rules, scrapes and checks
run, and its app, which is the larger part of its memory, is made when somebody first asks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from contextvars import Context
from pathlib import Path
from typing import Any, TypeVar

from mamimon.accounts.model import FIRST, Project
from mamimon.home import current_project
from mamimon.http import AsgiApp
from mamimon.problems import Kind, Problem, unavailable
from mamimon.server.app import create_app
from mamimon.server.house import House
from mamimon.server.project_settings import project_settings
from mamimon.server.supervisor import Supervisor
from mamimon.storage.data_dir import DataDirLock

T = TypeVar("T")
_log = logging.getLogger("mamimon.server")
_RETRY_S = 60.0
_GONE = ".deleted-"


class _Further:
    """The house of a further project: open or not, with what it was opened with."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.turn = asyncio.Lock()
        self.house: House | None = None
        self.app: AsgiApp | None = None
        self.supervisor: Supervisor | None = None
        self.held = ExitStack()
        self.why = ""


class Houses:
    """See the module; `first` is open for as long as this is used.

    `local_url` is the main listener's address on this machine.
    """

    def __init__(self, first: House, local_url: str) -> None:
        assert first.core is not None and first.people is not None
        self.first = first
        self._core = first.core
        self._local_url = local_url
        self._closed = False
        self._projects = first.people.projects
        self._app = create_app(first, first.core)
        self._further: dict[int, _Further] = {}
        self._following = asyncio.Lock()
        self._projects.on_change = self.follow
        self._projects.erase = self._erase
        self._projects.room_for = self._room_for

    def folder(self, project: Project) -> Path:
        """Where a further project's data are."""
        return self._core.data_dir / "projects" / project.slug

    async def app(self, project: Project) -> AsgiApp:
        """See `gate.Houses`: the house is opened where it is not yet."""
        if project.id == FIRST:
            return self._app
        one = self._further.setdefault(project.id, _Further(project))
        return one.app if one.app is not None else await self._apart(self._made(one), project.slug)

    @staticmethod
    async def _apart(work: Coroutine[Any, Any, T], slug: str = "") -> T:
        """Do it whatever becomes of who asked, with nothing of the request around it, for a project."""
        return await asyncio.shield(asyncio.create_task(work, context=_context(slug)))

    async def _made(self, one: _Further) -> AsgiApp:
        async with one.turn:
            if self._closed or self._projects.by_id(one.project.id) is None:
                raise Problem(Kind.NOT_FOUND, "there is no such project")
            await self._open(one)
            if one.app is None:
                assert one.house is not None and one.house.core is not None
                one.app = await asyncio.to_thread(create_app, one.house, one.house.core)
            return one.app

    def public_status(self, project: Project) -> bool:
        """See `gate.Houses`."""
        if project.id == FIRST:
            return self._core.settings.health.public_status_page
        one = self._further.get(project.id)
        return one is not None and one.house is not None and one.house.settings.health.public_status_page

    async def run(self) -> None:
        """Open what is in service and is not open yet, for ever."""
        await asyncio.to_thread(self._sweep)
        while True:
            await self.follow()
            await self._core.clock.sleep(_RETRY_S)

    async def follow(self) -> None:
        """Open the houses of projects in service, close the others."""
        await self._apart(self._follow())

    async def _follow(self) -> None:
        async with self._following:
            if self._closed:
                return
            for number in [number for number in self._further if self._projects.by_id(number) is None]:
                one = self._further[number]
                await self._apart(self._shut(one), one.project.slug)
                del self._further[number]
            for project in self._projects.live()[1:]:
                if self._closed:
                    return
                one = self._further.setdefault(project.id, _Further(project))
                async with one.turn:
                    try:
                        await self._apart(self._open(one), project.slug)
                    except Problem as problem:
                        if one.why != problem.detail:
                            _log.error("%s", problem.detail)
                        one.why = problem.detail

    async def _open(self, one: _Further) -> None:
        if one.house is not None:
            return
        folder = self.folder(one.project)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            settings = project_settings(self._core.settings, folder)
            one.held.enter_context(DataDirLock(folder))
            house = House(settings, folder, self._core.clock, first=self.first, project=one.project)
            core = await house.open()
        except Exception as error:
            one.held.close()
            _log.debug("opening project %s", one.project.slug, exc_info=error)
            raise unavailable(
                f"project {one.project.slug} cannot be opened: {type(error).__name__}: {error}",
                retry_after_s=_RETRY_S,
            ) from error
        core.base_url = self._core.base_url + house.root
        core.ports = self._core.ports
        one.supervisor = Supervisor(self._core.clock, core.registry)
        for task in house.tasks():
            one.supervisor.start(task)
        one.house, one.why = house, ""
        assert self.first.people is not None
        record(folder, self._local_url + house.root, {}, self.first.people.local_secret)

    async def _close(self, one: _Further) -> None:
        house, supervisor = one.house, one.supervisor
        one.house = one.app = one.supervisor = None
        if house is not None and supervisor is not None:
            for end in house.core.on_stop if house.core is not None else []:
                end()
            await supervisor.stop()
            await house.close()
            (house.data_dir / "server.json").unlink(missing_ok=True)
        one.held.close()

    def open_houses(self) -> Iterator[House]:
        """The first house and the further ones that are open."""
        yield self.first
        yield from (one.house for one in self._further.values() if one.house is not None)

    def on_stop(self) -> None:
        """The server begins to stop."""
        self._all("on_stop")

    def on_hangup(self) -> None:
        """SIGHUP came."""
        self._all("on_hangup")

    def _all(self, what: str) -> None:
        for house in self.open_houses():
            calls: list[Callable[[], None]] = getattr(house.core, what, [])
            for call in calls:
                _context(house.core.project if house.core is not None else "").run(call)

    async def close(self) -> None:
        """Close the further houses; none is opened any more."""
        self._closed = True
        async with self._following:
            closing = (self._apart(self._shut(one), one.project.slug) for one in self._further.values())
            for outcome in await asyncio.gather(*closing, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    _log.error("closing a project failed", exc_info=outcome)
            self._further.clear()

    async def _shut(self, one: _Further) -> None:
        async with one.turn:
            await self._close(one)

    def _room_for(self, slug: str) -> None:
        folder = self._core.data_dir / "projects" / slug
        if folder.exists():
            raise Problem(
                Kind.CONFLICT, f"{folder} has data of an earlier project", hint="move the folder away first"
            )

    async def _erase(self, project: Project) -> None:
        """Delete the data of a project that is closed: renamed at once, so that no half of it is found."""
        folder = self.folder(project)
        gone = folder.with_name(f"{_GONE}{project.id}-{project.slug}")
        if folder.exists():
            await asyncio.to_thread(folder.rename, gone)
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        for gone in (self._core.data_dir / "projects").glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)


def _context(slug: str) -> Context:
    """A context of nobody's request, in which a project's work is done."""
    made = Context()
    made.run(current_project.set, slug)
    return made


def record(folder: Path, url: str, ports: dict[str, int], secret: str) -> None:
    """Write `server.json`, by which commands on this machine find the server of a data directory."""
    path = folder / "server.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": url, "pid": os.getpid(), "ports": ports, "secret": secret}, file)
