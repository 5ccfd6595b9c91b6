"""uvicorn's HTTP protocol, leaner for many small answers.

Head and body of an answer leave in one write. What has to be noticed later - a client that does not send its
request, a connection that nobody uses - is looked for once a second on every connection, not by a timer a
request. And a few doors (`AtOnce`) are asked as soon as a request is whole, without a task: what they cannot
answer from memory goes the usual way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from mamimon.http import AtOnce

_MOST_HELD = 64 * 1024
"""Bytes of a body that are collected for a door that is asked at once."""
_MOST_IN_A_ROW = 8
"""Requests of one read that are answered at once: others want their turn, too."""
Headers = tuple[tuple[bytes, bytes], ...]


class Manners(msgspec.Struct, frozen=True):
    """How this server deals with its clients."""

    at_once: Mapping[str, AtOnce]
    """By path."""
    ports: frozenset[int]
    """Of the listeners that show these paths at their root."""
    deadline_s: float
    """Seconds a client has to send a request; then it counts as gone."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        manners: Manners,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._manners = manners
        self._doors: Mapping[str, AtOnce] = {}
        self._door: AtOnce | None = None
        self._held = b""
        self._in_a_row = 0
        """Answers given at once to what came in one read."""
        self._idle_since = self.loop.time()
        """When the last answer was given; 0.0 while there is a request."""
        self._asked_at = 0.0
        """When a request began to come that is not whole yet; 0.0 without."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if self.server is not None and self.server[1] in self._manners.ports:
            self._doors = self._manners.at_once

    def look(self, now: float) -> None:
        """Let go of a client that takes too long; called once a second, `now` is the loop's time."""
        if self._asked_at and now - self._asked_at > self._manners.deadline_s:
            self._asked_at = 0.0
            if self._door is not None:
                self._begin()
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()
            else:
                cast("_Cycle", self.cycle).late = True
                self.cycle.keep_alive = False
                self.cycle.message_event.set()
        elif self._idle_since and now - self._idle_since > self.timeout_keep_alive:
            self.timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._in_a_row = 0
        super().data_received(data)

    # -- what httptools calls ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._idle_since, self._asked_at = 0.0, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is here."""
        self.scope["method"] = method = self.parser.get_method().decode("ascii")
        version = self.parser.get_http_version()
        if version != "1.1":
            self.scope["http_version"] = version
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        url = httptools.parse_url(self.url)
        raw = url.path
        path = raw.decode("ascii")
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = raw
        self.scope["query_string"] = url.query or b""
        door = self._doors.get(path)
        free = self.cycle is None or self.cycle.response_complete
        if door is None or not free or method not in ("GET", "POST") or self.expect_100_continue:
            self._begin()
        else:
            self._door, self._held = door, b""

    def on_body(self, body: bytes) -> None:
        """A part of a body is here."""
        if self._door is None:
            super().on_body(body)
            return
        self._held += body
        if len(self._held) > _MOST_HELD:
            self._begin()

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._asked_at = 0.0
        if self._door is not None:
            if self._answered(self._door):
                self._door = None
                return
            self._begin()
        super().on_message_complete()

    def _answered(self, door: AtOnce) -> bool:
        """Ask a door that may answer at once."""
        if self.flow.write_paused or self._in_a_row >= _MOST_IN_A_ROW:
            return False
        self._in_a_row += 1
        found = door(cast("dict[str, Any]", self.scope), self._held)
        if found is None:
            return False
        close = not self.parser.should_keep_alive()
        parts = [_head(found.status, found.headers)]
        parts += [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        if close:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(found.body))
        parts.append(found.body)
        self.transport.write(b"".join(parts))
        if close:
            self.transport.close()
        self.on_response_complete()
        return True

    def _begin(self) -> None:
        """Have the app answer the request whose head is here."""
        before = self.cycle
        cycle = self.cycle = _Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if self._door is not None:
            self._door = None
            cycle.body += self._held
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_response_complete(self) -> None:
        """An answer is given."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()


class _Cycle(RequestResponseCycle):
    """One request and its answer."""

    late = False
    """Whether the client took too long to send its body."""
    _head = b""
    """What is to be written before the next piece of the body."""

    async def receive(self) -> ASGIReceiveEvent:
        """See ASGI."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete or self.late):
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete or self.late:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"an answer begins with its head, not with {message['type']}")
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] != "http.response.body" or self.response_complete:
            raise RuntimeError(f"{message['type']} does not belong here")
        else:
            self._continue(message.get("body", b""), more=message.get("more_body", False))

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Write the head, or rather hold it until the first piece of the body is here."""
        self.response_started = True
        self.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        closes = False
        for name, value in (*self.default_headers, *headers):
            key = _name(name)
            if HEADER_VALUE_RE.search(value):
                raise RuntimeError("invalid value of an HTTP header")
            if key == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif key == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length, self.chunked_encoding = 0, True
            elif key == b"connection" and b"close" in [one.strip() for one in value.lower().split(b",")]:
                self.keep_alive, closes = False, True
            parts += (key, b": ", value, b"\r\n")
        if not self.keep_alive and not closes:
            parts.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        self._head = b"".join(parts)
        asyncio.get_running_loop().call_soon(self._write, b"")

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = body if more else body + b"0\r\n\r\n"
        elif len(body) > self.expected_content_length:
            raise RuntimeError("the body is longer than its head says")
        else:
            self.expected_content_length -= len(body)
        if not more and self.expected_content_length:
            raise RuntimeError("the body is shorter than its head says")
        self._write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write(self, body: bytes) -> None:
        head, self._head = self._head, b""
        if head:
            body = head + body
        if body and not self.disconnected:
            self.transport.write(body)


@lru_cache(maxsize=256)
def _name(name: bytes) -> bytes:
    """A header's name as it is sent."""
    if HEADER_RE.search(name):
        raise RuntimeError("invalid name of an HTTP header")
    return name.lower()


@lru_cache(maxsize=256)
def _head(status: int, headers: Headers) -> bytes:
    """Status line and headers of an answer that was given at once."""
    if any(HEADER_VALUE_RE.search(value) for _, value in headers):
        raise RuntimeError("invalid value of an HTTP header")
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % (_name(name), value) for name, value in headers)
