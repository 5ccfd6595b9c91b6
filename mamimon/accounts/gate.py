"""The gate in front of every door: which project, who asks, may they; a refusal is in the door's own dialect.

A request is for the project that its path names (`/p/<slug>/…`), else for the one whose token it presents,
else for the first. A project in which somebody has no role is not there for them.
"""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

from mamimon import otlp
from mamimon.accounts.access import of_server, requirement
from mamimon.accounts.credentials import session_cookie
from mamimon.accounts.model import ANYBODY, FIRST, Actor, Project
from mamimon.accounts.people import People
from mamimon.home import current_project
from mamimon.http import (
    PROJECTS,
    AsgiApp,
    AtOnce,
    Receive,
    Scope,
    Send,
    Whole,
    answer,
    header,
    moved,
    split_project,
)
from mamimon.problems import Kind, Problem
from mamimon.storage import Core

FORBIDDEN = "/forbidden"
current_actor: ContextVar[Actor] = ContextVar("mamimon_actor", default=ANYBODY)
_KINDS = {401: Kind.UNAUTHENTICATED, 403: Kind.FORBIDDEN, 404: Kind.NOT_FOUND, 429: Kind.TOO_MANY}
_SLASH = re.compile("%2f", re.IGNORECASE)
_ERROR_TYPES = {401: "unauthorized", 404: "not_found"}


class _Call(NamedTuple):
    """A request inside its project; `asked` is its scope as it came."""

    scope: Scope
    receive: Receive
    send: Send
    asked: Scope


class Houses(Protocol):
    """The rooms of every project."""

    async def app(self, project: Project) -> AsgiApp:
        """A project's app; raises `Problem` where its rooms cannot be opened."""
        ...

    def public_status(self, project: Project) -> bool:
        """Whether its status page is for everybody."""
        ...


def cookie_name(core: Core) -> str:
    """`__Host-` binds the cookie to this host under TLS; browsers refuse that prefix on plain HTTP."""
    return "__Host-mamimon" if core.settings.server.public_url.startswith("https://") else "mamimon_session"


class Gate:
    """One app of all projects' apps: while the server is closed, only those who may pass do."""

    def __init__(self, houses: Houses, core: Core, people: People) -> None:
        self._houses = houses
        self._people = people
        self._projects = people.projects
        self._cookie = cookie_name(core)

    def at_once(self, door: AtOnce) -> AtOnce:
        """A door of the first project behind the gate; who is not known from memory is left to the app."""

        def run(scope: Scope, body: bytes) -> Whole | None:
            return door(scope, body) if self._may(scope) else None

        return run

    def _may(self, scope: Scope) -> bool:
        authorization, path = header(scope, "authorization"), scope["path"]
        project = self._choose("", path, authorization)
        if project is None or project.id != FIRST:
            return False
        if not self._people.closed:
            return True
        actor = self._people.at_hand(authorization, FIRST)
        return actor is not None and requirement(scope["method"], path) in actor.allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        slug = split_project(scope["path"])[0]
        if not slug:
            await self._decide("", _Call(scope, receive, send, scope))
            return
        inner = moved(scope, lambda path: split_project(path)[1])
        raw = scope.get("raw_path") or scope["path"].encode()
        if not (raw + b"/").startswith(f"{PROJECTS}{slug}/".encode()):
            # Spelled so that the path and what a door reads of it would be cut at different places.
            await _refuse(inner, send, 404, "there is no such project")
            return
        await self._decide(slug, _Call(inner, receive, send, scope))
        scope["path_template"] = inner.get("path_template")

    def _choose(self, slug: str, path: str, authorization: str) -> Project | None:
        if slug:
            found = self._projects.first if slug == "default" else self._projects.by_slug(slug)
            # Signing in and the like are the server's, not a project's.
            return None if found is not None and found.id != FIRST and of_server(path) else found
        if authorization and self._projects.several and not of_server(path):
            return self._projects.by_id(self._people.project_of(authorization))
        return self._projects.first

    async def _decide(self, slug: str, call: _Call) -> None:
        scope = call.scope
        authorization, path = header(scope, "authorization"), scope["path"]
        project = self._choose(slug, path, authorization)
        if not self._people.closed:
            await (self._absent(ANYBODY, call) if project is None else self._serve(project, ANYBODY, call))
            return
        cookie = session_cookie(header(scope, "cookie"), self._cookie)
        number = project.id if project is not None else 0
        try:
            known = authorization or cookie
            actor = await self._people.identify(authorization, cookie, number) if known else None
        except Problem as problem:
            await _refuse(scope, call.send, problem.status, problem.detail, problem.retry_after_s)
            return
        public = project is not None and self._houses.public_status(project)
        # A WebSocket is asked for by GET.
        needed = requirement(scope.get("method", "GET"), path, public_status=public)
        if project is not None and (needed is None or (actor is not None and needed in actor.allowed)):
            await self._serve(project, actor or Actor("anybody", frozenset()), call)
        elif actor is None:
            await _introduce(call)
        elif project is None or (slug and not actor.belongs):
            await self._absent(actor, call)
        else:
            await self._forbid(project, actor, needed or "", call)

    async def _serve(self, project: Project, actor: Actor, call: _Call) -> None:
        current_actor.set(actor)
        current_project.set("" if project.id == FIRST else project.slug)
        try:
            app = await self._houses.app(project)
        except Problem as problem:
            await _refuse(call.scope, call.send, problem.status, problem.detail, problem.retry_after_s)
            return
        await app(call.scope, call.receive, call.send)

    async def _absent(self, actor: Actor, call: _Call) -> None:
        """A project that is not there, or not for them."""
        if _is_navigation(call.scope):
            # The app of the first project has no such page and says so as one.
            asked = _Call(call.asked, call.receive, call.send, call.asked)
            await self._serve(self._projects.first, actor, asked)
        else:
            await _refuse(call.scope, call.send, 404, "there is no such project")

    async def _forbid(self, project: Project, actor: Actor, needed: str, call: _Call) -> None:
        scope = call.scope
        if not _is_navigation(scope):
            detail = f"{actor.name} may not do this; it needs the scope {needed}"
            await _refuse(scope, call.send, 403, detail)
            return
        others = self._projects.of_actor(actor)
        if not actor.belongs and others:
            # Who has a role in other projects only begins in the first of those.
            place = f"{PROJECTS}{others[0].slug}{quote(scope['path'])}"
            query = scope.get("query_string", b"").decode("latin-1")
            headers = [("location", f"{place}?{query}" if query else place)]
            await answer(call.send, 303, headers=headers, content_type="")
            return
        # A person is told on a page; the app has one at this address.
        page = _Call(moved(scope, lambda _: FORBIDDEN), call.receive, call.send, call.asked)
        await self._serve(project, actor, page)


async def _introduce(call: _Call) -> None:
    """Who says nothing about themselves is asked: by the sign-in page, or by 401."""
    scope = call.scope
    if not _is_navigation(scope):
        await _refuse(scope, call.send, 401, "missing or wrong credentials")
        return
    query = scope.get("query_string", b"").decode()
    target = quote(call.asked["path"] + (f"?{query}" if query else ""))
    await answer(call.send, 303, headers=[("location", f"/login?next={target}")], content_type="")


def _needs(scope: Scope, public_status: bool) -> list[str]:
    """What a request needs, by its path as the framework and as a door may read it.

    Some doors split the path before it is decoded, as an encoded slash may be part of a name.
    """
    method, path, raw = scope["method"], scope["path"], scope.get("raw_path") or b""
    paths = [path]
    if b"%2f" in raw.lower():
        paths.append(unquote(_SLASH.sub("\0", raw.decode("latin-1"))))
    found = (requirement(method, one, public_status=public_status) for one in paths)
    return [one for one in found if one is not None]


def _is_navigation(scope: Scope) -> bool:
    return scope.get("method") == "GET" and "text/html" in header(scope, "accept")


async def _refuse(
    scope: Scope, send: Send, status: int, detail: str, retry_after_s: float | None = None
) -> None:
    headers = [("www-authenticate", 'Basic realm="mamimon", charset="UTF-8"')] if status == 401 else []
    if retry_after_s is not None:
        headers.append(("retry-after", str(max(1, round(retry_after_s)))))
    path = scope["path"]
    if path.startswith("/v1/"):
        problem = _KINDS.get(status, Kind.UNAVAILABLE)
        try:
            encoding = otlp.content_type(scope)
        except Problem:
            encoding = otlp.JSON
        refused = otlp.status_body(Problem(problem, detail), encoding)
        await answer(send, status, refused, content_type=encoding, headers=headers)
        return
    if path.startswith("/loki/"):
        await answer(
            send, status, f"{detail}\n".encode(), content_type="text/plain; charset=utf-8", headers=headers
        )
        return
    if path == "/es" or path.startswith("/es/"):
        headers.append(("x-elastic-product", "Elasticsearch"))
        kind = "resource_not_found_exception" if status == 404 else "security_exception"
        cause = {"type": kind, "reason": detail}
        body: object = {"error": {"root_cause": [cause], **cause}, "status": status}
    elif path.startswith("/api/v1/"):
        body = {"status": "error", "errorType": _ERROR_TYPES.get(status, "forbidden"), "error": detail}
    elif path.startswith("/alertmanager/"):
        body = {"code": status, "message": detail}
    else:
        body = {"error": detail, "status": status}
    await answer(send, status, json.dumps(body).encode(), headers=headers)
