"""Signing in and telling who asks: passwords, sessions, tokens, throttling."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from typing import TypeVar

from mamimon.accounts.credentials import decoded, presented
from mamimon.accounts.model import (
    FIRST,
    LOCAL,
    OWN_ROLES,
    ROLES,
    SCOPES,
    Actor,
    Link,
    Opened,
    Project,
    Session,
    Token,
    User,
)
from mamimon.accounts.oidc import Identity, role_of
from mamimon.accounts.passwords import dummy, hashed, verified
from mamimon.accounts.projects import Projects
from mamimon.accounts.second_factor import SecondFactor
from mamimon.accounts.sign_in_store import SignInStore
from mamimon.accounts.store import AccountStore
from mamimon.problems import Kind, Problem, bad_input, not_found
from mamimon.storage import Core

_log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")
_THROTTLE_S = 900.0
_REMEMBER_S = 300.0
_BOUND = 10_000
# How long a code may be typed after the password was right, and how often it may be wrong.
_HALF_S = 300.0
_HALF_TRIES = 5
INVITATION_S = 7 * 86_400.0
RESET_S = 86_400.0


class People:
    """Who may do what on this server.

    Open (everybody may do everything) while no account exists; the first account closes it. The
    local secret is made a start, kept in `server.json` (mode 0600) and lets commands on the same
    machine in: who can read the data directory could change it anyway.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = AccountStore(core.state)
        self.sign_ins = SignInStore(core.state)
        self.projects = Projects(core)
        self.factor = SecondFactor(self.sign_ins, core.clock, core.data_dir)
        self.local_secret = secrets.token_urlsafe(32)
        self._users = 0
        self._tokens: dict[bytes, Token] = {}
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        # argon2 costs 50 ms by design; programs that send Basic on each request pay it once in a while.
        self._remembered: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self._pepper = secrets.token_bytes(32)
        self._halves: OrderedDict[bytes, tuple[User, float, int]] = OrderedDict()
        self._used: dict[int, float] = {}

    async def load(self) -> None:
        """Read accounts and tokens; after this `closed` is true to the database."""
        self._users = len(await self.store.users())
        self._tokens = dict(await self.store.tokens())
        self._remembered.clear()
        await self.projects.load()

    @property
    def closed(self) -> bool:
        """Whether requests need to say who they are."""
        return self._users > 0 or bool(self._core.settings.accounts.oidc_issuer)

    async def add_user(self, name: str, role: str, password: str, actor: str) -> None:
        """Add a person; raises `Problem` for a bad name, role or password."""
        _check_name(name)
        _check_role(role)
        digest = await hashed(password)
        await self.store.add_user(name, role, digest, self._core.clock.now(), actor)
        await self.load()

    async def set_role(self, name: str, role: str, actor: str) -> None:
        """Give a person another role."""
        _check_role(role)
        await self.store.set_role(name, role, self._core.clock.now(), actor)
        await self.load()

    async def invite(self, name: str, role: str, actor: str) -> str:
        """A secret by which a new person sets a password within `INVITATION_S`."""
        _check_name(name)
        _check_role(role)
        return await self._add_link(name, role, INVITATION_S, actor)

    async def reset_link(self, name: str, actor: str) -> str:
        """A secret by which a person sets a new password within `RESET_S`."""
        return await self._add_link(name, None, RESET_S, actor)

    async def _add_link(self, name: str, role: str | None, lasts_s: float, actor: str) -> str:
        return await self._keep_link(Link(name, role, actor, self._core.clock.now() + lasts_s))

    async def invite_to(self, project: Project, name: str, role: str, actor: str) -> str:
        """A secret by which a new person joins with a role in one further project, and in no other."""
        _check_name(name)
        if role not in ROLES:
            raise bad_input(f"a role is one of {', '.join(ROLES)}")
        until = self._core.clock.now() + INVITATION_S
        return await self._keep_link(Link(name, "none", actor, until, project.id, role), project.slug)

    async def _keep_link(self, link: Link, project: str = "") -> str:
        secret = secrets.token_urlsafe(32)
        await self.sign_ins.add_link(_digest(secret), link, self._core.clock.now(), project)
        return secret

    async def link(self, secret: str) -> Link:
        """What a link's secret is for; raises NOT_FOUND where it was used or is over."""
        found = await self.sign_ins.link(_digest(secret), self._core.clock.now())
        if found is None:
            raise not_found("this link was used already or is over", "ask an administrator for a new one")
        return found

    async def use_link(self, secret: str, password: str) -> str:
        """Set the password a link was made for; returns the person's name."""
        await self.link(secret)
        digest = await hashed(password)
        name = await self.sign_ins.use_link(_digest(secret), digest, self._core.clock.now())
        self._failures.pop(name.lower(), None)
        await self.load()
        return name

    async def change_password(self, user: User, old: str, new: str, cookie: str) -> None:
        """A new password for who knows the old one; other sessions end."""
        if await self._check(user.name, old) is None:
            raise bad_input("the present password is wrong")
        digest = await hashed(new)
        now = self._core.clock.now()
        await self.sign_ins.set_password(user.id, user.name, digest, _digest(cookie), now)
        await self.load()

    async def remove_user(self, name: str, actor: str) -> None:
        """Remove a person and end the sessions."""
        await self.store.remove_user(name, self._core.clock.now(), actor)
        await self.load()

    async def remove_factor(self, name: str, actor: str) -> None:
        """Take the second factor away from a person who lost it."""
        await self.sign_ins.drop_factor(name, self._core.clock.now(), actor)
        await self.load()

    async def tokens(self, project: Project) -> list[Token]:
        """A project's tokens, without their secrets."""
        return [token for _, token in await self.store.tokens() if token.project_id == project.id]

    async def add_token(self, name: str, scope: str, actor: str, project: Project | None = None) -> str:
        """Make an API token of a project (the first if None) and return its secret, which is not kept."""
        if scope not in SCOPES:
            raise bad_input(f"a scope is one of {', '.join(SCOPES)}")
        if not name or len(name) > 100 or not name.isprintable():
            raise bad_input("a token needs a name of 1 to 100 printable characters")
        secret = "mmt_" + secrets.token_urlsafe(32)
        place = project or self.projects.first
        await self.store.add_token(_digest(secret), name, scope, place, self._core.clock.now(), actor)
        await self.load()
        return secret

    async def remove_token(self, token_id: int, actor: str, project: Project | None = None) -> None:
        """Revoke a token of a project (the first if None); it stops working at once."""
        place = project or self.projects.first
        await self.store.remove_token(token_id, place, self._core.clock.now(), actor)
        await self.load()

    async def sign_in(self, name: str, password: str, device: str) -> Opened:
        """Check a password and open a session, or half of one where a second factor is due.

        Raises UNAUTHENTICATED for a wrong name or password (the same words for both) and TOO_MANY
        past `accounts.login_attempts` failures in 15 minutes.
        """
        user = await self._check(name, password)
        if user is None:
            raise Problem(Kind.UNAUTHENTICATED, "the name or the password is wrong")
        if not user.second_factor:
            return Opened(cookie=await self.open_session(user, device))
        half = secrets.token_urlsafe(32)
        _remember(self._halves, _digest(half), (user, self._core.clock.monotonic() + _HALF_S, 0))
        return Opened(half=half)

    async def finish(self, half: str, code: str, device: str) -> str:
        """The second half of a sign-in; returns the cookie's value.

        Raises BAD_INPUT for a wrong code, and UNAUTHENTICATED where to begin again.
        """
        key = _digest(half)
        user, until, tries = self._halves.get(key, (None, 0.0, 0))
        if user is None or self._core.clock.monotonic() > until:
            raise Problem(Kind.UNAUTHENTICATED, "this took too long; sign in again")
        # Counted before it is looked at, so that many at once have no more tries than one by one.
        self._throttle(user.name)
        if tries + 1 >= _HALF_TRIES:
            self._halves.pop(key, None)
        else:
            self._halves[key] = (user, until, tries + 1)
        if not await self.factor.proven(user, code):
            self._failed(user.name)
            raise bad_input("this code is not right")
        self._halves.pop(key, None)
        self._failures.pop(user.name.lower(), None)
        return await self.open_session(user, device)

    async def sign_on(self, identity: Identity, device: str) -> str:
        """A session of who the identity provider vouches for; made known at the first time.

        The role follows the groups there at each sign-in, but the last administrator stays one.
        """
        role = role_of(self._core.settings.accounts, identity.groups)
        if not role:
            raise Problem(Kind.FORBIDDEN, "none of your groups may sign in here")
        found = await self.sign_ins.by_subject(identity.subject)
        if found is None:
            _check_name(identity.name)
            now = self._core.clock.now()
            await self.sign_ins.add_subject(identity.subject, identity.name, role, now)
            await self.load()
            name = identity.name
        else:
            name, had = found
            if had != role:
                try:
                    await self.set_role(name, role, "identity provider")
                except Problem as problem:
                    _log.warning("%s stays %s: %s", name, had, problem.detail)
        user = await self.store.password(name)
        if user is None:
            raise not_found(f"there is no user {name}")
        return await self.open_session(user[0], device)

    async def open_session(self, user: User, device: str) -> str:
        """A session of a person who proved to be one; returns the cookie's value."""
        value = secrets.token_urlsafe(32)
        now = self._core.clock.now()
        lasts = self._core.settings.accounts.session_days * 86_400.0
        await self.store.add_session(_digest(value), user.id, now, now + lasts, device[:200])
        return value

    async def signed_in(self, cookie: str) -> User | None:
        """Whose session a cookie value is."""
        return await self.store.session_user(_digest(cookie), self._core.clock.now()) if cookie else None

    async def sessions(self, user: User, cookie: str) -> list[tuple[Session, bool]]:
        """A person's open sessions, and whether it is the one of this cookie."""
        mine = _digest(cookie)
        found = await self.sign_ins.sessions(user.id, self._core.clock.now())
        return [(one, one.hash == mine) for one in found]

    async def end_others(self, user: User, cookie: str) -> int:
        """End a person's sessions but this one; returns how many."""
        return await self.sign_ins.end_others(user.id, _digest(cookie))

    async def sign_out(self, cookie: str) -> None:
        """End the session of a cookie value."""
        await self.store.remove_session(_digest(cookie))

    async def identify(self, authorization: str, cookie: str, project_id: int = FIRST) -> Actor | None:
        """Who a request's `Authorization` and session cookie say it is, with the role in a project.

        None where they say nobody.
        """
        if authorization:
            return await self._by_header(authorization, project_id)
        if cookie:
            user = await self.store.session_user(_digest(cookie), self._core.clock.now())
            return None if user is None else self._actor(user, project_id)
        return None

    def _actor(self, user: User, project_id: int) -> Actor:
        return Actor.as_user(user, self.projects.role(user, project_id))

    def project_of(self, authorization: str) -> int:
        """The project whose token a request presents; the first where it presents none."""
        token = self._presented(authorization)
        return FIRST if token is None else token.project_id

    def _presented(self, authorization: str) -> Token | None:
        found = (self._tokens.get(_digest(one)) for one in presented(authorization))
        # With a project its tokens go, too.
        return next((one for one in found if one is not None and self.projects.known(one.project_id)), None)

    def at_hand(self, authorization: str, project_id: int) -> Actor | None:
        """Who presents a token or this machine's secret; None where an account has to be asked for."""
        local = self.local_secret.encode()
        if any(hmac.compare_digest(one.encode(), local) for one in presented(authorization)):
            return LOCAL
        token = self._presented(authorization)
        if token is None:
            return None
        self._used[token.id] = self._core.clock.now()
        return Actor.as_token(token, project_id)

    async def _by_header(self, authorization: str, project_id: int) -> Actor | None:
        found = self.at_hand(authorization, project_id)
        if found is not None:
            return found
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        name, _, password = decoded(value.strip()).partition(":")
        user = await self._check(name, password)
        if user is not None and user.second_factor:
            raise Problem(
                Kind.UNAUTHENTICATED, "this account has a second factor; a program uses an API token"
            )
        return None if user is None else self._actor(user, project_id)

    async def note_use(self) -> None:
        """Write down when tokens were used last."""
        used, self._used = self._used, {}
        if used:
            await self.store.tokens_used(used)

    async def _check(self, name: str, password: str) -> User | None:
        now = self._core.clock.monotonic()
        key = hmac.digest(self._pepper, f"{name}\0{password}".encode(), "sha256")
        remembered = self._remembered.get(key)
        if remembered is not None and now - remembered[0] < _REMEMBER_S:
            return remembered[1]
        self._throttle(name)
        found = await self.store.password(name)
        # An unknown name costs the same time, so names cannot be told by it.
        digest = found[1] if found else await asyncio.to_thread(dummy)
        right = await asyncio.to_thread(verified, digest, password)
        if found is None or not right:
            self._failed(name)
            return None
        # With a second factor only the right code clears them, or whoever has the password could guess on.
        if not found[0].second_factor:
            self._failures.pop(name.lower(), None)
        _remember(self._remembered, key, (now, found[0]))
        return found[0]

    def _throttle(self, name: str) -> None:
        failures = self._recent(name)
        if len(failures) >= self._core.settings.accounts.login_attempts:
            raise Problem(
                Kind.TOO_MANY,
                "too many failed sign-ins with this name",
                retry_after_s=_THROTTLE_S - (self._core.clock.monotonic() - failures[0]),
            )

    def _failed(self, name: str) -> None:
        failures = [*self._recent(name), self._core.clock.monotonic()]
        _remember(self._failures, name.lower(), failures)

    def _recent(self, name: str) -> list[float]:
        now = self._core.clock.monotonic()
        return [t for t in self._failures.get(name.lower(), ()) if now - t < _THROTTLE_S]


def _check_name(name: str) -> None:
    if not name or len(name) > 100 or not name.isprintable() or ":" in name:
        raise bad_input("a user name has 1 to 100 printable characters and no colon")


def _check_role(role: str) -> None:
    if role not in OWN_ROLES:
        raise bad_input(f"a role is one of {', '.join(ROLES)}, or none")


def _remember(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > _BOUND:
        table.popitem(last=False)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
