"""What stands in front of every request: host check, cross-site check, headers, language, metrics."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import MutableMapping
from functools import cache, lru_cache
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import Counter, Histogram

from mamimon.http import AsgiApp, Receive, Scope, Send, answer, denying, header
from mamimon.i18n import LOCALES, current_locale, negotiate
from mamimon.storage import Core

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", CSP.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_SAFE = {"GET", "HEAD", "OPTIONS"}
# Doors that other sites' pages may post to: the browser SDKs. They carry their own key.
_CROSS_SITE = re.compile(
    r"^(/p/[^/]+)?/(api/\d+/(envelope|store|security|csp|minidump|unreal)/?$|(capture|batch|e)/?$|sdk/)"
)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def protect(app: AsgiApp, core: Core) -> AsgiApp:
    """Wrap the app; see the module."""
    labels = ["method", "path", "status"]
    total = Counter("http_requests", "HTTP requests answered.", labels, registry=core.registry)
    errors = Counter(
        "http_requests_errors", "HTTP requests answered with 5xx.", labels[:2], registry=core.registry
    )
    duration = Histogram(
        "http_request_duration_seconds",
        "Time to answer.",
        labels[:2],
        registry=core.registry,
        buckets=_BUCKETS,
    )

    @cache
    def counts(method: str, path: str, status: int) -> tuple[Counter, Histogram, Counter | None]:
        # Paths are templates, so there are few; looking a child up by its labels costs more than counting.
        return (
            total.labels(method, path, str(status)),
            duration.labels(method, path),
            errors.labels(method, path) if status >= 500 else None,
        )

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        upgrade = scope["type"] == "websocket"
        if upgrade:
            send = denying(send)
        refusal = _refuse(scope, core)
        if refusal:
            await answer(send, 403, b'{"error":"' + refusal.encode() + b'","status":403}')
            return
        if upgrade:
            await app(scope, receive, send)
            return
        current_locale.set(_locale(scope, core.settings.server.locale))
        receive = _hurried(receive, core.settings.server.body_deadline_s)
        status = 500
        began = time.perf_counter()

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = {key for key, _ in message.get("headers", [])}
                message = {
                    **message,
                    "headers": [
                        *message.get("headers", []),
                        *(pair for pair in _HEADERS if pair[0] not in sent),
                    ],
                }
            await send(message)

        try:
            await app(scope, receive, watched)
        finally:
            path = str(scope.get("path_template") or "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            answered, took, failed = counts(method, path, status)
            answered.inc()
            took.observe(time.perf_counter() - began)
            if failed is not None:
                failed.inc()

    return run


def _hurried(receive: Receive, deadline_s: float) -> Receive:
    """`receive` that calls a client gone who has not sent the whole body in time (slow-body attacks)."""
    ends = time.monotonic() + deadline_s
    whole = False

    async def run() -> MutableMapping[str, Any]:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return run


_METHODS = _SAFE | {"POST", "PUT", "DELETE", "PATCH"}


def _refuse(scope: Scope, core: Core) -> str:
    """Why the request must not pass, or an empty string (DNS rebinding and cross-site posts)."""
    host = header(scope, "host")
    settings = core.settings.server
    if host and not _known_host(host, settings.host, settings.public_url, tuple(settings.allowed_hosts)):
        return "this Host is not ours; add it to server.allowed_hosts"
    # Any page may open a WebSocket to anywhere and read it, so it is held to what changes something is.
    if scope.get("method") in _SAFE or _CROSS_SITE.match(scope["path"]):
        return ""
    site = header(scope, "sec-fetch-site")
    if site and site not in {"same-origin", "none"}:
        return "cross-site requests may not change anything here"
    origin = header(scope, "origin")
    if origin and origin != "null" and not site and urlsplit(origin).netloc != host:
        return "cross-site requests may not change anything here"
    return ""


@lru_cache(maxsize=256)
def _known_host(host: str, own: str, public_url: str, allowed: tuple[str, ...]) -> bool:
    name = (urlsplit(f"//{host}").hostname or "").lower()
    public = urlsplit(public_url).hostname or ""
    known = {"localhost", "127.0.0.1", "::1", own.lower(), public.lower(), *allowed}
    return name in known or name.endswith(".localhost") or own in {"0.0.0.0", "::"}  # noqa: S104 - compared


def _locale(scope: Scope, setting: str) -> str:
    if setting in LOCALES:
        return setting
    raw = header(scope, "cookie")
    if "mamimon_locale" in raw:
        chosen = SimpleCookie(raw).get("mamimon_locale")
        if chosen is not None and chosen.value in LOCALES:
            return chosen.value
    return negotiate(header(scope, "accept-language"))
