"""The pages of projects: `/settings/projects` of the server, and the settings of a further project."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import OWN_ROLES, ROLES, SCOPES, AuditEntry, Project
from mamimon.accounts.pages import AUDIT_EXPORT, audit_table, effective
from mamimon.accounts.people import People
from mamimon.accounts.store import AccountStore
from mamimon.http import PROJECTS
from mamimon.problems import Problem, bad_input
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

# Sections that are not a project's to see.
_OF_SERVER = ("server", "storage", "accounts")
Form = URLEncodedBody[dict[str, str]]


def project_page_handlers(people: People) -> list[ControllerRouterHandler]:
    """The server's page of projects and teams, with its forms."""
    projects = people.projects

    async def show(message: str = "", status: int = 200) -> Template:
        grants = await projects.store.grants()
        roles = {(one.name, one.project_id): one.role for one in grants if one.kind == "team"}
        context = {
            "section": "/settings",
            "projects_here": projects.all(),
            "teams": await projects.teams(),
            "team_roles": roles,
            "users": await people.store.users(),
            "own_roles": OWN_ROLES,
            "closed": people.closed,
            "message": message,
        }
        return Template("accounts/projects.html", status_code=status, context=context)

    @get("/settings/projects", include_in_schema=False)
    async def page() -> Template:
        return await show()

    @post("/settings/projects/{what:str}", include_in_schema=False)
    async def change(what: FromPath[str], data: Form) -> Template | Redirect:
        try:
            await _change(people, what, data, current_actor.get().name)
        except Problem as problem:
            return await show(problem.detail, problem.status)
        return Redirect("/settings/projects", status_code=303)

    return [page, change, _opening(people)]


async def _change(people: People, what: str, data: dict[str, str], actor: str) -> None:
    projects = people.projects
    slug, name, team = (data.get(key, "") for key in ("slug", "name", "team"))
    if what == "add":
        await projects.create(slug.strip().lower(), name, actor)
    elif what == "rename":
        await projects.rename(slug, name, actor)
    elif what in {"archive", "return"}:
        await projects.archive(slug, what == "archive", actor)
    elif what == "delete":
        await projects.delete(slug, data.get("confirm", ""), actor)
    elif what == "add-team":
        await projects.add_team(name, actor)
    elif what == "remove-team":
        await projects.remove_team(team, actor)
    elif what in {"join", "leave"}:
        await projects.set_member(team, name, what == "join", actor)
    elif what == "team-role":
        await projects.grant(projects.find(slug), "team", team, data.get("role", ""), actor)
    else:
        raise bad_input("there is no such change")


def _opening(people: People) -> ControllerRouterHandler:
    @get("/projects/open", include_in_schema=False, sync_to_thread=False)
    def opening(to: FromQuery[str] = "") -> Redirect:
        """The switch of projects, for browsers with and without scripts."""
        project = people.projects.find(to)
        return Redirect(f"{PROJECTS}{project.slug}/", status_code=303)

    return opening


def member_page_handlers(core: Core, people: People, project: Project) -> list[ControllerRouterHandler]:
    """`/settings` of a further project: its members, its tokens, what was changed and its settings."""

    async def show(message: str = "", secret: str = "", link: str = "", status: int = 200) -> Template:
        context = {
            "section": "/settings",
            "project": people.projects.find(project.slug),
            "members": await people.projects.members(project),
            "closed": people.closed,
            "actor": current_actor.get(),
            "tokens": await people.tokens(project),
            "audit": await _audit(core, people, project, 20),
            "own_roles": OWN_ROLES,
            "roles": ROLES,
            "scopes": SCOPES,
            "rows": effective(core, without=_OF_SERVER),
            "data_dir": str(core.data_dir),
            "message": message,
            "secret": secret,
            "link": link,
        }
        return Template("accounts/project.html", status_code=status, context=context)

    @get("/settings", include_in_schema=False)
    async def page() -> Template:
        return await show()

    @get("/settings/audit.csv", include_in_schema=False)
    async def audit_csv() -> Response[str]:
        return audit_table(await _audit(core, people, project, AUDIT_EXPORT))

    @get("/api/mamimon/settings/audit")
    async def audit(limit: FromQuery[int] = 50) -> list[AuditEntry]:
        """The newest changes first; 100,000 at most."""
        return await _audit(core, people, project, min(max(limit, 1), AUDIT_EXPORT))

    @post("/settings/{what:str}", include_in_schema=False)
    async def change(what: FromPath[str], data: Form) -> Template | Redirect:
        actor, name, role = current_actor.get().name, data.get("name", ""), data.get("role", "")
        try:
            if what == "add-token":
                return await show(secret=await people.add_token(name, data.get("scope", ""), actor, project))
            if what == "invite":
                secret = await people.invite_to(project, name, role, actor)
                server = urlsplit(core.base_url)
                return await show(link=f"{server.scheme}://{server.netloc}/join/{secret}")
            if what == "remove-token" and data.get("id", "").isdigit():
                await people.remove_token(int(data["id"]), actor, project)
            elif what == "grant":
                await people.projects.grant(project, data.get("kind", ""), name, role, actor)
            else:
                raise bad_input("there is no such change")
        except Problem as problem:
            return await show(message=problem.detail, status=problem.status)
        return Redirect("/settings", status_code=303)

    return [page, audit_csv, audit, change, _opening(people)]


async def _audit(core: Core, people: People, project: Project, limit: int) -> list[AuditEntry]:
    """What changed inside a project and who was let into it; the newest first."""
    inside = await AccountStore(core.state).audit(limit)
    of_members = await people.store.audit(limit, project.slug)
    return sorted([*inside, *of_members], key=lambda one: one.at, reverse=True)[:limit]
