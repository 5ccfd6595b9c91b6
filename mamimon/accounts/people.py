"""Signing in and telling who asks: passwords, sessions, tokens, throttling."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, TypeVar

from mamimon.accounts.model import LOCAL, ROLES, SCOPES, Actor, Token, User
from mamimon.accounts.store import AccountStore
from mamimon.problems import Kind, Problem, bad_input
from mamimon.storage import Core

if TYPE_CHECKING:
    from argon2 import PasswordHasher

K = TypeVar("K")
V = TypeVar("V")
_THROTTLE_S = 900.0
_REMEMBER_S = 300.0
_BOUND = 10_000
MIN_PASSWORD = 8


class People:
    """Who may do what on this server.

    Open (everybody may do everything) while no account exists; the first account closes it. The
    local secret is made a start, kept in `server.json` (mode 0600) and lets commands on the same
    machine in: who can read the data directory could change it anyway.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = AccountStore(core.state)
        self.local_secret = secrets.token_urlsafe(32)
        self._users = 0
        self._tokens: dict[bytes, Token] = {}
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        # argon2 costs 50 ms by design; programs that send Basic on each request pay it once in a while.
        self._remembered: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self._pepper = secrets.token_bytes(32)

    async def load(self) -> None:
        """Read accounts and tokens; after this `closed` is true to the database."""
        self._users = len(await self.store.users())
        self._tokens = dict(await self.store.tokens())
        self._remembered.clear()

    @property
    def closed(self) -> bool:
        """Whether requests need to say who they are."""
        return self._users > 0

    async def add_user(self, name: str, role: str, password: str, actor: str) -> None:
        """Add a person; raises `Problem` for a bad name, role or password."""
        if not name or len(name) > 100 or not name.isprintable() or ":" in name:
            raise bad_input("a user name has 1 to 100 printable characters and no colon")
        if role not in ROLES:
            raise bad_input(f"a role is one of {', '.join(ROLES)}")
        if len(password) < MIN_PASSWORD or len(password) > 1000:
            raise bad_input(f"a password has at least {MIN_PASSWORD} characters")
        digest = await asyncio.to_thread(lambda: _hasher().hash(password))
        await self.store.add_user(name, role, digest, self._core.clock.now(), actor)
        await self.load()

    async def remove_user(self, name: str, actor: str) -> None:
        """Remove a person and end the sessions."""
        await self.store.remove_user(name, self._core.clock.now(), actor)
        await self.load()

    async def add_token(self, name: str, scope: str, actor: str) -> str:
        """Make an API token and return its secret, which is not kept."""
        if scope not in SCOPES:
            raise bad_input(f"a scope is one of {', '.join(SCOPES)}")
        if not name or len(name) > 100 or not name.isprintable():
            raise bad_input("a token needs a name of 1 to 100 printable characters")
        secret = "mmt_" + secrets.token_urlsafe(32)
        await self.store.add_token(_digest(secret), name, scope, self._core.clock.now(), actor)
        await self.load()
        return secret

    async def remove_token(self, token_id: int, actor: str) -> None:
        """Revoke a token; it stops working at once."""
        await self.store.remove_token(token_id, self._core.clock.now(), actor)
        await self.load()

    async def sign_in(self, name: str, password: str) -> str:
        """Check a password and open a session; returns the cookie's value.

        Raises UNAUTHENTICATED for a wrong name or password (the same words for both) and TOO_MANY
        past `accounts.login_attempts` failures in 15 minutes.
        """
        user = await self._check(name, password)
        if user is None:
            raise Problem(Kind.UNAUTHENTICATED, "the name or the password is wrong")
        value = secrets.token_urlsafe(32)
        now = self._core.clock.now()
        lasts = self._core.settings.accounts.session_days * 86_400.0
        await self.store.add_session(_digest(value), user.id, now, now + lasts)
        return value

    async def sign_out(self, cookie: str) -> None:
        """End the session of a cookie value."""
        await self.store.remove_session(_digest(cookie))

    async def identify(self, authorization: str, cookie: str) -> Actor | None:
        """Who a request's `Authorization` and session cookie say it is; None where nobody."""
        if authorization:
            return await self._by_header(authorization)
        if cookie:
            user = await self.store.session_user(_digest(cookie), self._core.clock.now())
            return None if user is None else Actor.user(user)
        return None

    async def _by_header(self, authorization: str) -> Actor | None:
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() in {"bearer", "token"}:
            return self._by_secret(value)
        if scheme.lower() == "apikey":
            # Elasticsearch's form is base64("id:secret"); ours may also come plain.
            return self._by_secret(value) or self._by_secret(_decoded(value).partition(":")[2])
        if scheme.lower() == "basic":
            name, _, password = _decoded(value).partition(":")
            by_secret = self._by_secret(password)
            if by_secret is not None:
                return by_secret
            user = await self._check(name, password)
            return None if user is None else Actor.user(user)
        return None

    def _by_secret(self, secret: str) -> Actor | None:
        if not secret:
            return None
        if hmac.compare_digest(secret.encode(), self.local_secret.encode()):
            return LOCAL
        token = self._tokens.get(_digest(secret))
        return None if token is None else Actor.token(token)

    async def _check(self, name: str, password: str) -> User | None:
        now = self._core.clock.monotonic()
        key = hmac.digest(self._pepper, f"{name}\0{password}".encode(), "sha256")
        remembered = self._remembered.get(key)
        if remembered is not None and now - remembered[0] < _REMEMBER_S:
            return remembered[1]
        failures = [t for t in self._failures.get(name.lower(), ()) if now - t < _THROTTLE_S]
        if len(failures) >= self._core.settings.accounts.login_attempts:
            raise Problem(
                Kind.TOO_MANY,
                "too many failed sign-ins with this name",
                retry_after_s=_THROTTLE_S - (now - failures[0]),
            )
        found = await self.store.password(name)
        # An unknown name costs the same time, so names cannot be told by it.
        digest = found[1] if found else await asyncio.to_thread(_dummy)
        right = await asyncio.to_thread(_verify, digest, password)
        if found is None or not right:
            _remember(self._failures, name.lower(), [*failures, now])
            return None
        self._failures.pop(name.lower(), None)
        _remember(self._remembered, key, (now, found[0]))
        return found[0]


def session_cookie(header: str, name: str) -> str:
    """The session's value in a `Cookie` header, or an empty string."""
    if name not in header:
        return ""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _remember(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > _BOUND:
        table.popitem(last=False)


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


_DUMMY: list[str] = []


def _dummy() -> str:
    if not _DUMMY:
        _DUMMY.append(_hasher().hash(secrets.token_urlsafe(16)))
    return _DUMMY[0]


def _verify(digest: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(digest, password)
    except (VerificationError, InvalidHashError):
        return False


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""
