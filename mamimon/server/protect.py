"""What stands in front of every request: host check, cross-site check, headers, language, metrics."""

from __future__ import annotations

import re
import time
from collections.abc import MutableMapping
from functools import lru_cache
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import Counter, Histogram

from mamimon.http import AsgiApp, AtOnce, Receive, Scope, Send, Whole, answer, denying, header
from mamimon.i18n import LOCALES, current_locale, negotiate
from mamimon.storage import Core

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", CSP.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_SAFE = {"GET", "HEAD", "OPTIONS"}
# Doors that other sites' pages may post to: the browser SDKs. They carry their own key.
_CROSS_SITE = re.compile(
    r"^(/p/[^/]+)?/(api/\d+/(envelope|store|security|csp|minidump|unreal)/?$|(capture|batch|e)/?$|sdk/)"
)
_Counts = tuple[Counter, Histogram, Counter | None]
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Protection:
    """See the module; the metrics of requests are counted here."""

    def __init__(self, core: Core) -> None:
        self._core = core
        labels = ["method", "path", "status"]
        self._total = Counter("http_requests", "HTTP requests answered.", labels, registry=core.registry)
        self._errors = Counter(
            "http_requests_errors", "HTTP requests answered with 5xx.", labels[:2], registry=core.registry
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer.",
            labels[:2],
            registry=core.registry,
            buckets=_BUCKETS,
        )
        self._known: dict[tuple[str, str, int], _Counts] = {}

    def _count(self, method: str, path: str, status: int, began: float) -> None:
        # Paths are templates, so there are few; looking a child up by its labels costs more than counting.
        key = (method if method in _METHODS else "other", path, status)
        counts = self._known.get(key)
        if counts is None:
            method = key[0]
            counts = self._known[key] = (
                self._total.labels(method, path, str(status)),
                self._duration.labels(method, path),
                self._errors.labels(method, path) if status >= 500 else None,
            )
        answered, took, failed = counts
        answered.inc()
        took.observe(time.perf_counter() - began)
        if failed is not None:
            failed.inc()

    def at_once(self, path: str, door: AtOnce) -> AtOnce:
        """Wrap a door; what is refused is left to the app, which says why."""

        def run(scope: Scope, body: bytes) -> Whole | None:
            began = time.perf_counter()
            if _refuse(scope, self._core):
                return None
            found = door(scope, body)
            if found is None:
                return None
            self._count(scope["method"], path, found.status, began)
            return found._replace(headers=found.headers + _HEADERS)

        return run

    def app(self, app: AsgiApp) -> AsgiApp:
        """Wrap an app."""

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            upgrade = scope["type"] == "websocket"
            if upgrade:
                send = denying(send)
            refusal = _refuse(scope, self._core)
            if refusal:
                await answer(send, 403, b'{"error":"' + refusal.encode() + b'","status":403}')
                return
            if upgrade:
                await app(scope, receive, send)
                return
            current_locale.set(_locale(scope, self._core.settings.server.locale))
            status = 500
            began = time.perf_counter()

            async def watched(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    headers = list(message.get("headers", ()))
                    sent = {key for key, _ in headers}
                    headers += (pair for pair in _HEADERS if pair[0] not in sent)
                    message = {**message, "headers": headers}
                await send(message)

            try:
                await app(scope, receive, watched)
            finally:
                self._count(scope["method"], str(scope.get("path_template") or "unmatched"), status, began)

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
