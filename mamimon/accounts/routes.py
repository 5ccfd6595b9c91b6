"""The accounts API: users, tokens and the audit log, for administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import AuditEntry, Project, Token, User
from mamimon.accounts.people import People

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A person to add."""

    name: str
    role: str
    password: str


class NewRole(msgspec.Struct, forbid_unknown_fields=True):
    """A person's new role."""

    role: str


class NewLink(msgspec.Struct, forbid_unknown_fields=True):
    """What a link is for: an invitation names the role, a reset none."""

    role: str | None = None


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """A token to make."""

    name: str
    scope: str


def api_handlers(people: People) -> list[ControllerRouterHandler]:
    """`/api/mamimon/users`, `/api/mamimon/tokens` and `/api/mamimon/settings/audit`."""

    @get("/api/mamimon/users")
    async def users() -> list[User]:
        """Everybody who can sign in."""
        return await people.store.users()

    @post("/api/mamimon/users")
    async def add_user(data: JSONBody[NewUser]) -> dict[str, str]:
        """Add a person; the first one closes the server."""
        await people.add_user(data.name, data.role, data.password, current_actor.get().name)
        return {"name": data.name, "role": data.role}

    @delete("/api/mamimon/users/{name:str}")
    async def remove_user(name: FromPath[str]) -> None:
        """Remove a person."""
        await people.remove_user(name, current_actor.get().name)

    @post("/api/mamimon/users/{name:str}/role", status_code=200)
    async def set_role(name: FromPath[str], data: JSONBody[NewRole]) -> dict[str, str]:
        """Give a person another role."""
        await people.set_role(name, data.role, current_actor.get().name)
        return {"name": name, "role": data.role}

    @post("/api/mamimon/users/{name:str}/link", status_code=201)
    async def link(name: FromPath[str], data: JSONBody[NewLink]) -> dict[str, str]:
        """A path by which a new person (with a role) or one there is sets a password, once."""
        actor = current_actor.get().name
        secret = (
            await people.reset_link(name, actor)
            if data.role is None
            else await people.invite(name, data.role, actor)
        )
        return {"name": name, "path": f"/join/{secret}"}

    @delete("/api/mamimon/users/{name:str}/second-factor")
    async def remove_factor(name: FromPath[str]) -> None:
        """Take the second factor away from a person who lost it."""
        await people.remove_factor(name, current_actor.get().name)

    @get("/api/mamimon/settings/audit")
    async def audit(limit: FromQuery[int] = 50) -> list[AuditEntry]:
        """The newest changes first; 100,000 at most."""
        return await people.store.audit(min(max(limit, 1), 100_000))

    return [
        users,
        add_user,
        remove_user,
        set_role,
        link,
        remove_factor,
        audit,
        *token_handlers(people, people.projects.first),
    ]


def token_handlers(people: People, project: Project) -> list[ControllerRouterHandler]:
    """`/api/mamimon/tokens`: the tokens of one project."""

    @get("/api/mamimon/tokens")
    async def tokens() -> list[Token]:
        """The project's tokens, without their secrets."""
        return await people.tokens(project)

    @post("/api/mamimon/tokens")
    async def add_token(data: JSONBody[NewToken]) -> dict[str, str]:
        """Make a token; the secret is in this answer only."""
        secret = await people.add_token(data.name, data.scope, current_actor.get().name, project)
        return {"name": data.name, "scope": data.scope, "token": secret}

    @delete("/api/mamimon/tokens/{token_id:int}")
    async def remove_token(token_id: FromPath[int]) -> None:
        """Revoke a token."""
        await people.remove_token(token_id, current_actor.get().name, project)

    return [tokens, add_token, remove_token]
