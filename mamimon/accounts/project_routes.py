"""The API of projects and teams, for the server's administrators, and of a project's members, for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import FIRST, Grant, Project, Team
from mamimon.accounts.people import People
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """A project to make; without a name the slug is shown."""

    slug: str
    name: str = ""


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """A name for something."""

    name: str


class NewGrant(msgspec.Struct, forbid_unknown_fields=True):
    """A role for a user or a team; "none" takes it away."""

    kind: str
    name: str
    role: str


class NewMember(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody who is not known here yet, and the role to be."""

    name: str
    role: str


def project_api_handlers(people: People) -> list[ControllerRouterHandler]:
    """`/api/mamimon/projects` and `/api/mamimon/teams`."""
    projects = people.projects

    @get("/api/mamimon/projects", sync_to_thread=False)
    def list_projects() -> list[Project]:
        """Every project, archived ones too."""
        return projects.all()

    @post("/api/mamimon/projects")
    async def add_project(data: JSONBody[NewProject]) -> Project:
        """Make a project; it is served at `/p/<slug>/` from now on."""
        return await projects.create(data.slug, data.name, current_actor.get().name)

    @post("/api/mamimon/projects/{slug:str}/name", status_code=200)
    async def rename_project(slug: FromPath[str], data: JSONBody[Named]) -> Project:
        """Give a project another name; the slug stays."""
        await projects.rename(slug, data.name, current_actor.get().name)
        return projects.find(slug)

    @post("/api/mamimon/projects/{slug:str}/archive", status_code=200)
    async def archive_project(slug: FromPath[str]) -> Project:
        """Take a project out of service; its data stay."""
        await projects.archive(slug, True, current_actor.get().name)
        return projects.find(slug)

    @post("/api/mamimon/projects/{slug:str}/return", status_code=200)
    async def return_project(slug: FromPath[str]) -> Project:
        """Put an archived project into service again."""
        await projects.archive(slug, False, current_actor.get().name)
        return projects.find(slug)

    @delete("/api/mamimon/projects/{slug:str}")
    async def delete_project(slug: FromPath[str], confirm: FromQuery[str] = "") -> None:
        """Delete a project and all its data; `confirm` is its slug once more."""
        await projects.delete(slug, confirm, current_actor.get().name)

    @get("/api/mamimon/teams")
    async def list_teams() -> list[Team]:
        """Every team and its people."""
        return await projects.teams()

    @post("/api/mamimon/teams")
    async def add_team(data: JSONBody[Named]) -> dict[str, str]:
        """Make a team."""
        await projects.add_team(data.name, current_actor.get().name)
        return {"name": data.name}

    @delete("/api/mamimon/teams/{team:str}")
    async def remove_team(team: FromPath[str]) -> None:
        """Forget a team; its people lose the roles it gave."""
        await projects.remove_team(team, current_actor.get().name)

    @post("/api/mamimon/teams/{team:str}/members")
    async def join(team: FromPath[str], data: JSONBody[Named]) -> dict[str, str]:
        """Put a person into a team."""
        await projects.set_member(team, data.name, True, current_actor.get().name)
        return {"team": team, "name": data.name}

    @delete("/api/mamimon/teams/{team:str}/members/{name:str}")
    async def leave(team: FromPath[str], name: FromPath[str]) -> None:
        """Take a person out of a team."""
        await projects.set_member(team, name, False, current_actor.get().name)

    return [
        list_projects,
        add_project,
        rename_project,
        archive_project,
        return_project,
        delete_project,
        list_teams,
        add_team,
        remove_team,
        join,
        leave,
    ]


def member_handlers(people: People, project: Project) -> list[ControllerRouterHandler]:
    """`/api/mamimon/members`: who was given a role in one project."""

    @get("/api/mamimon/members")
    async def members() -> list[Grant]:
        """The roles that people and teams were given; administrators of the server have theirs anyway."""
        return await people.projects.members(project)

    @post("/api/mamimon/members", status_code=200)
    async def grant(data: JSONBody[NewGrant]) -> dict[str, str]:
        """Give a user or a team a role here, or take it away ("none")."""
        actor = current_actor.get().name
        await people.projects.grant(project, data.kind, data.name, data.role, actor)
        return {"kind": data.kind, "name": data.name, "role": data.role}

    @post("/api/mamimon/members/invite")
    async def invite(data: JSONBody[NewMember]) -> dict[str, str]:
        """A path by which a new person joins with a role here and in no other project, once."""
        if project.id == FIRST:
            raise bad_input("in the first project an account's own role counts; POST /api/mamimon/users")
        secret = await people.invite_to(project, data.name, data.role, current_actor.get().name)
        return {"name": data.name, "path": f"/join/{secret}"}

    return [members, grant, invite]
