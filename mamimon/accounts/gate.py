"""The gate in front of every door: who asks, may they, and the refusal in the door's own dialect."""

from __future__ import annotations

import json
from contextvars import ContextVar
from urllib.parse import quote

from mamimon import otlp
from mamimon.accounts.access import requirement
from mamimon.accounts.model import ANYBODY, Actor
from mamimon.accounts.people import People, session_cookie
from mamimon.http import AsgiApp, Receive, Scope, Send, answer, header
from mamimon.problems import Kind, Problem
from mamimon.storage import Core

FORBIDDEN = "/forbidden"
current_actor: ContextVar[Actor] = ContextVar("mamimon_actor", default=ANYBODY)


def cookie_name(core: Core) -> str:
    """`__Host-` binds the cookie to this host under TLS; browsers refuse that prefix on plain HTTP."""
    return "__Host-mamimon" if core.settings.server.public_url.startswith("https://") else "mamimon_session"


def gate(app: AsgiApp, core: Core, people: People) -> AsgiApp:
    """Wrap the app: while the server is closed, only those who may pass do."""
    name = cookie_name(core)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if not people.closed:
            current_actor.set(ANYBODY)
            await app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        needed = requirement(method, path, public_status=core.settings.health.public_status_page)
        authorization = header(scope, "authorization")
        cookie = session_cookie(header(scope, "cookie"), name)
        try:
            actor = await people.identify(authorization, cookie) if authorization or cookie else None
        except Problem as problem:
            await _refuse(scope, send, problem.status, problem.detail, problem.retry_after_s)
            return
        if needed is None or (actor is not None and needed in actor.allowed):
            current_actor.set(actor or Actor("anybody", frozenset()))
            await app(scope, receive, send)
        elif actor is not None and _is_navigation(scope):
            # A person is told on a page; the app has one at this address.
            current_actor.set(actor)
            await app({**scope, "path": FORBIDDEN, "raw_path": FORBIDDEN.encode()}, receive, send)
        elif actor is not None:
            await _refuse(scope, send, 403, f"{actor.name} may not do this; it needs the scope {needed}")
        elif _is_navigation(scope):
            target = quote(path + ("?" + scope["query_string"].decode() if scope.get("query_string") else ""))
            await answer(send, 303, headers=[("location", f"/login?next={target}")], content_type="")
        else:
            await _refuse(scope, send, 401, "missing or wrong credentials")

    return run


def _is_navigation(scope: Scope) -> bool:
    return scope["method"] == "GET" and "text/html" in header(scope, "accept")


async def _refuse(
    scope: Scope, send: Send, status: int, detail: str, retry_after_s: float | None = None
) -> None:
    headers = [("www-authenticate", 'Basic realm="mamimon", charset="UTF-8"')] if status == 401 else []
    if retry_after_s is not None:
        headers.append(("retry-after", str(max(1, round(retry_after_s)))))
    path = scope["path"]
    if path.startswith("/v1/"):
        problem = (
            Kind.UNAUTHENTICATED if status == 401 else Kind.FORBIDDEN if status == 403 else Kind.TOO_MANY
        )
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
        cause = {"type": "security_exception", "reason": detail}
        body: object = {"error": {"root_cause": [cause], **cause}, "status": status}
    elif path.startswith("/api/v1/"):
        kind = "unauthorized" if status == 401 else "forbidden"
        body = {"status": "error", "errorType": kind, "error": detail}
    elif path.startswith("/alertmanager/"):
        body = {"code": status, "message": detail}
    else:
        body = {"error": detail, "status": status}
    await answer(send, status, json.dumps(body).encode(), headers=headers)
