"""ASGI middleware for any framework; see `ASGIMiddleware`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Optional

from mamimon.client import exposition, templates
from mamimon.client.exchange import Exchange, Options, begin
from mamimon.client.logs import ensure_local

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class ASGIMiddleware:
    """Request id, one log line, timing and metrics around an ASGI application.

    `metrics_path` serves the application's metrics there (None: not at all). `trust_headers=False` gives
    every request a new `X-Request-ID` and trace, for servers that face strangers. A request slower than
    `slow_s` is logged as a warning with `slow: true`; paths in `quiet` are counted but not logged.
    """

    def __init__(
        self,
        app: App,
        *,
        metrics_path: Optional[str] = "/metrics",
        trust_headers: bool = True,
        log_requests: bool = True,
        slow_s: float = 1.0,
        quiet: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._options = Options(metrics_path, trust_headers, log_requests, slow_s, frozenset(quiet))
        self._django = templates.is_django(app)
        ensure_local()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one ASGI scope."""
        kind = scope["type"]
        if kind == "http":
            if scope["path"] == self._options.metrics_path and scope["method"] in ("GET", "HEAD"):
                await exposition.answer(scope, send)
            else:
                await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _begin(self, scope: Scope, method: str) -> Exchange:
        request_id = traceparent = ""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value.decode("latin-1")
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
        client = scope.get("client")
        path = scope["path"]
        return begin(method, path, client[0] if client else "", request_id, traceparent, self._options)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._begin(scope, scope["method"])
        base = str(scope.get("root_path", ""))

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                exchange.saw(message["status"])
                message = {**message, "headers": _with_ids(message.get("headers", ()), exchange)}
            elif message["type"] == "http.response.body":
                exchange.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except BaseException as error:
            exchange.error = error if isinstance(error, Exception) else None
            exchange.status = (exchange.status or 500) if exchange.error else 499
            raise
        finally:
            exchange.status = exchange.status or 500
            exchange.end(templates.of_scope(scope, base, exchange.status, self._django), self._options)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._begin(scope, "WEBSOCKET")
        base = str(scope.get("root_path", ""))

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "websocket.accept":
                exchange.status = 101
                message = {**message, "headers": _with_ids(message.get("headers", ()), exchange)}
            elif message["type"] == "websocket.close" and not exchange.status:
                exchange.status = 403
            elif message["type"] == "websocket.send":
                exchange.sent += len(message.get("bytes") or message.get("text") or "")
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            exchange.error, exchange.status = error, 500
            raise
        finally:
            exchange.status = exchange.status or 499
            exchange.end(
                templates.of_scope(scope, base, exchange.status, self._django),
                self._options._replace(slow_s=1e9),
            )


def _with_ids(headers: Iterable[tuple[bytes, bytes]], exchange: Exchange) -> list[tuple[bytes, bytes]]:
    kept = list(headers)
    present = [name.lower() for name, _ in kept]
    for name, value in exchange.headers():
        raw = name.encode()
        if raw not in present:
            kept.append((raw, value.encode()))
    return kept
