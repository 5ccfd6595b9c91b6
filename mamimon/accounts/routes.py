"""The accounts API: users, tokens and the audit log, for administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import AuditEntry, Token, User
from mamimon.accounts.people import People

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A person to add."""

    name: str
    role: str
    password: str


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

    @get("/api/mamimon/tokens")
    async def tokens() -> list[Token]:
        """Every token, without its secret."""
        return [token for _, token in await people.store.tokens()]

    @post("/api/mamimon/tokens")
    async def add_token(data: JSONBody[NewToken]) -> dict[str, str]:
        """Make a token; the secret is in this answer only."""
        secret = await people.add_token(data.name, data.scope, current_actor.get().name)
        return {"name": data.name, "scope": data.scope, "token": secret}

    @delete("/api/mamimon/tokens/{token_id:int}")
    async def remove_token(token_id: FromPath[int]) -> None:
        """Revoke a token."""
        await people.remove_token(token_id, current_actor.get().name)

    @get("/api/mamimon/settings/audit")
    async def audit() -> list[AuditEntry]:
        """The newest changes of accounts."""
        return await people.store.audit()

    return [users, add_user, remove_user, tokens, add_token, remove_token, audit]
