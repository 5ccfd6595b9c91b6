"""Projects and teams: which there are, who has which role where, and changing that.

A project is a set of rooms with data of its own. The first one is always there; in it an account's own
role counts, beside what teams give. In the others a role is given to a person or a team, and the higher
counts. An account with the role "admin" administers the server, and so every project.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Literal

from mamimon.accounts.model import FIRST, OWN_ROLES, ROLES, Actor, Grant, Project, Team, User, higher
from mamimon.accounts.project_store import ProjectStore, Standing
from mamimon.problems import Kind, Problem, bad_input, not_found
from mamimon.storage import Core

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
# Names of folders and pages that would read as something else.
_RESERVED = {"default", "all", "new"}
MOST = 200


class Projects:
    """What is known of projects, in memory, and the changes to it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = ProjectStore(core.state)
        self._standing = Standing({}, {})
        self.on_change: Callable[[], Awaitable[None]] = _nothing
        """Awaited after a project came, went or was archived: the server opens and closes its rooms."""
        self.erase: Callable[[Project], Awaitable[None]] = _erase_nothing
        """Deletes the data of a project that is closed."""
        self.room_for: Callable[[str], None] = lambda _: None
        """Raises where a new project's data have no place."""

    async def load(self) -> None:
        """Read projects and roles again."""
        self._standing = await self.store.standing()

    def all(self) -> list[Project]:
        """Every project, the first one first."""
        return list(self._standing.projects.values())

    def live(self) -> list[Project]:
        """The projects that are served."""
        return [one for one in self.all() if one.live]

    @property
    def first(self) -> Project:
        """The project that is always there."""
        return self._standing.projects[FIRST]

    @property
    def several(self) -> bool:
        """Whether there is more than the first one."""
        return len(self._standing.projects) > 1

    def known(self, number: int) -> bool:
        """Whether there is a project of this number, in service or not."""
        return number in self._standing.projects

    def by_id(self, number: int) -> Project | None:
        """A project that is served, by its number."""
        found = self._standing.projects.get(number)
        return found if found is not None and found.live else None

    def by_slug(self, slug: str) -> Project | None:
        """A project that is served, by its slug."""
        return next((one for one in self.live() if one.slug == slug), None)

    def find(self, slug: str) -> Project:
        """A project, also an archived one, by its slug; raises NOT_FOUND."""
        found = next((one for one in self.all() if one.slug == slug), None)
        if found is None:
            raise not_found(f"there is no project {slug}")
        return found

    def role(self, user: User, project_id: int) -> str:
        """The role that a person has in a project; "none" where there is none."""
        if user.role == "admin":
            return "admin"
        own = user.role if project_id == FIRST else "none"
        return higher(own, self._standing.roles.get((user.id, project_id), "none"))

    def of_actor(self, actor: Actor) -> list[Project]:
        """The projects that somebody may open."""
        if actor.user is not None:
            return [one for one in self.live() if self.role(actor.user, one.id) != "none"]
        everything = actor.belongs and "self" in actor.allowed
        return self.live() if everything else []

    async def create(self, slug: str, name: str, actor: str) -> Project:
        """A new project, served from now on."""
        if not _SLUG.fullmatch(slug) or slug in _RESERVED:
            raise bad_input(
                "a project's short name has 1 to 40 small letters, digits and hyphens between them"
            )
        if len(self.all()) >= MOST:
            raise Problem(Kind.CONFLICT, f"{MOST} projects are the most a server has")
        self.room_for(slug)
        await self.store.add(slug, _named(name or slug), self._core.clock.now(), actor)
        await self._changed()
        return self.find(slug)

    async def rename(self, slug: str, name: str, actor: str) -> None:
        """Another name for people; the short name in addresses stays."""
        await self.store.rename(self.find(slug), _named(name), self._core.clock.now(), actor)
        await self.load()

    async def archive(self, slug: str, archived: bool, actor: str) -> None:
        """Take a project out of service, or back into it."""
        project = self._further(slug)
        if project.live == archived:
            await self.store.archive(project, archived, self._core.clock.now(), actor)
            await self._changed()

    async def delete(self, slug: str, typed: str, actor: str) -> None:
        """Delete a project and all its data; `typed` must be its short name."""
        project = self._further(slug)
        if typed != slug:
            raise bad_input(f"type {slug} to delete it with all its data")
        await self.archive(slug, True, actor)
        await self.erase(project)
        await self.store.remove(project, self._core.clock.now(), actor)
        await self._changed()

    def _further(self, slug: str) -> Project:
        project = self.find(slug)
        if project.id == FIRST:
            raise Problem(Kind.CONFLICT, "the first project stays")
        return project

    async def _changed(self) -> None:
        await self.load()
        await self.on_change()

    async def members(self, project: Project) -> list[Grant]:
        """Who was given a role in a project."""
        return await self.store.grants(project.id)

    async def grant(self, project: Project, kind: str, name: str, role: str, actor: str) -> None:
        """Give a person or a team a role in a project; "none" takes it away."""
        if role not in OWN_ROLES:
            raise bad_input(f"a role is one of {', '.join(ROLES)}, or none")
        if kind not in {"user", "team"}:
            raise bad_input("a role is given to a user or to a team")
        who: Literal["user", "team"] = "user" if kind == "user" else "team"
        if project.id == FIRST and who == "user":
            raise bad_input("in the first project an account's own role counts; change that")
        await self.store.grant(project, who, name, role, self._core.clock.now(), actor)
        await self.load()

    async def teams(self) -> list[Team]:
        """Every team."""
        return await self.store.teams()

    async def add_team(self, name: str, actor: str) -> None:
        """A new team; a slash would end its name in addresses."""
        if "/" in name:
            raise bad_input("a team's name has no slash")
        await self.store.add_team(_named(name), self._core.clock.now(), actor)

    async def remove_team(self, name: str, actor: str) -> None:
        """Forget a team; its people lose the roles it gave."""
        await self.store.remove_team(name, self._core.clock.now(), actor)
        await self.load()

    async def set_member(self, team: str, user: str, member: bool, actor: str) -> None:
        """Put a person into a team or take them out."""
        await self.store.set_member(team, user, member, self._core.clock.now(), actor)
        await self.load()


async def _nothing() -> None:
    """Nobody serves projects: a command works on the data directory."""


async def _erase_nothing(project: Project) -> None:
    raise Problem(Kind.CONFLICT, f"{project.slug} can be deleted while the server runs only")


def _named(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise bad_input("a name has 1 to 100 printable characters")
    return name
