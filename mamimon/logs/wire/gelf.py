"""GELF 1.1: messages by HTTP (`POST /gelf`), TCP (ended by NUL) and UDP (chunked, compressed).

Source: Graylog's "GELF payload specification". A message that is no GELF is still a line, with a
`gelf_error`, where the sender cannot be told; over HTTP it is refused.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar import asgi

from mamimon.http import answer as send_answer
from mamimon.http import decompress, header, read_body
from mamimon.logs.ingest import Refusal
from mamimon.logs.wire.document import add, dataset_named, line, timestamp
from mamimon.logs.wire.syslog import LEVELS
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.clock import Clock
    from mamimon.http import Receive, Scope, Send
    from mamimon.logs.model import LogRecord
    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_SERVICES = (
    "service", "service_name", "application", "application_name", "app", "app_name", "container_name", "tag",
)  # fmt: skip
_LOGGERS = ("logger", "logger_name", "LoggerName", "facility")
_OWN = frozenset(("version", "host", "short_message", "full_message", "timestamp", "level", "message"))
_CHUNK = b"\x1e\x0f"
_MOST_CHUNKS = 128
_MOST_PENDING = 1_000
_PENDING_BYTES = 16 * 1024 * 1024
_CHUNK_AGE_S = 5.0
_THREAD_BYTES = 64 * 1024


def document(data: bytes) -> dict[str, Any]:
    """The line of one message; raises `ValueError` with the reason for one that is no GELF."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {str(error)[:150]}") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    text = found.get("short_message")
    if text is None:
        text = found.get("message")
    if not isinstance(text, (str, int, float)):
        raise ValueError("short_message is missing")
    out: dict[str, Any] = {}
    if (when := found.get("timestamp")) is not None:
        out["@timestamp"] = _time(when)
    level = _level(found.get("level"))
    if level:
        out["level"] = level
    out["message"] = str(text)
    if isinstance(found.get("host"), str) and found["host"]:
        out["host"] = found["host"]
    full = found.get("full_message")
    if isinstance(full, str) and full and full != out["message"]:
        out["full_message"] = full
    fields = {name.removeprefix("_"): value for name, value in found.items() if name not in _OWN}
    for key, names in (("service", _SERVICES), ("logger", _LOGGERS)):
        name = next((n for n in names if isinstance(fields.get(n), str) and fields[n]), None)
        if name is not None:
            out[key] = fields.pop(name)
    add(out, fields)
    return out


def _time(when: Any) -> Any:
    """Seconds since the epoch, which the specification asks for, with what a float holds of them."""
    if isinstance(when, bool) or not isinstance(when, (int, float)) or not 0 < when < 1e11:
        return str(when)
    return timestamp(round(when * 1_000_000) * 1000)


def _level(value: Any) -> str:
    """Syslog's numbers; several senders write names."""
    if isinstance(value, str):
        return LEVELS[int(value)] if value in {"0", "1", "2", "3", "4", "5", "6", "7"} else value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 7:
        return LEVELS[int(value)]
    return ""


class Chunks:
    """Puts messages that came in several datagrams together; bounded in number, size and age."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._pending: dict[tuple[str, bytes], tuple[float, list[bytes | None]]] = {}
        self._bytes = 0

    def take(self, data: bytes, peer: str) -> bytes | None:
        """The message that a datagram completes; raises `ValueError` for one that cannot be read."""
        if data[:2] == _CHUNK:
            whole = self._chunk(data, peer)
            return None if whole is None else self._plain(whole)
        return self._plain(data) if data.strip(b"\0 \r\n") else None

    def _chunk(self, data: bytes, peer: str) -> bytes | None:
        if len(data) < 12:
            raise ValueError("a chunk is cut short")
        number, count = data[10], data[11]
        if not 0 < count <= _MOST_CHUNKS or number >= count:
            raise ValueError("a chunk's number is out of range")
        now = self._clock.monotonic()
        self._expire(now)
        key = (peer, data[2:10])
        _, parts = self._pending.setdefault(key, (now, [None] * count))
        if len(parts) != count:
            raise ValueError("chunks of one message disagree on their number")
        if parts[number] is None:
            parts[number] = data[12:]
            self._bytes += len(data) - 12
        if None in parts:
            return None
        self._forget(key)
        return b"".join(part for part in parts if part is not None)

    def _expire(self, now: float) -> None:
        for key in list(self._pending):
            crowded = len(self._pending) >= _MOST_PENDING or self._bytes > _PENDING_BYTES
            if not crowded and now - self._pending[key][0] <= _CHUNK_AGE_S:
                return  # the oldest come first
            self._forget(key)

    def _forget(self, key: tuple[str, bytes]) -> None:
        _, parts = self._pending.pop(key)
        self._bytes -= sum(len(part) for part in parts if part is not None)

    def _plain(self, data: bytes) -> bytes:
        try:
            return _decompressed(data, "", self._limit)[: self._limit]
        except Problem as problem:
            raise ValueError(problem.detail) from None


def _decompressed(data: bytes, encodings: str, limit: int) -> bytes:
    """By its first octets, as Graylog does; graypy says `gzip,deflate` of what is only one of them."""
    if data[:2] == b"\x1f\x8b":
        encodings = "gzip"
    elif data[:1] == b"\x78":
        encodings = "deflate"
    return decompress(data, encodings, limit)


class NulFrames:
    """Cuts a stream at NUL octets."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._skip = False
        self.cut = 0

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framer.feed`."""
        *whole, rest = (self._rest + data).split(b"\0")
        if self._skip and whole:
            whole, self._skip = whole[1:], False
        if self._skip:
            rest = b""
        elif len(rest) > self._limit:
            whole, rest = [*whole, rest[: self._limit]], b""
            self._skip = True
            self.cut += 1
        self._rest = rest
        return [message[: self._limit] for message in whole if message.strip()]

    def flush(self) -> list[bytes]:
        """See `Framer.flush`."""
        rest, self._rest = self._rest, b""
        return [rest] if rest.strip() else []


def dataset(found: dict[str, Any], default: str) -> str:
    """The dataset of a message: its service, else the one that is set."""
    service = found.get("service")
    return dataset_named(service if isinstance(service, str) else "", default)


def gelf_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The HTTP door."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await _take(room, core, cast("Scope", scope), cast("Receive", receive))
        except Problem as problem:
            await _refuse(cast("Send", send), problem)
        else:
            await send_answer(cast("Send", send), 202, content_type="")

    return [asgi("/gelf", copy_scope=False)(app)]


async def _take(room: LogRoom, core: Core, scope: Scope, receive: Receive) -> None:
    if scope["method"] != "POST":
        raise Problem(Kind.NOT_ALLOWED, "GELF is sent by POST")
    limits = core.settings.server
    body = await read_body(receive, limits.max_body_bytes)
    encodings = header(scope, "content-encoding")

    def work() -> tuple[list[LogRecord], list[str]]:
        plain = _decompressed(body, encodings, limits.max_body_bytes)
        return _records(room, core.settings.gelf.dataset, plain)

    records, errors = await asyncio.to_thread(work) if len(body) > _THREAD_BYTES else work()
    await room.ingest.append(records)
    if errors:
        raise bad_input(f"{len(errors)} messages refused, {len(records)} kept: {errors[0]}")


def _records(room: LogRoom, default: str, body: bytes) -> tuple[list[LogRecord], list[str]]:
    """The lines of a body: one message, or one a line."""
    records: list[LogRecord] = []
    errors: list[str] = []
    parts = [body]
    if b"\n" in body.strip():
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            parts = [part for part in body.split(b"\n") if part.strip()]
    for part in parts:
        try:
            found = document(part)
            records.append(line(room.ingest, found, dataset(found, default)))
        except (ValueError, Refusal) as error:
            errors.append(str(error))
    return records, errors


async def _refuse(send: Send, problem: Problem) -> None:
    headers = []
    if problem.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(problem.retry_after_s)))))
    body = msgspec.json.encode({"type": "ApiError", "message": problem.detail})
    await send_answer(send, problem.status, body, headers=headers)
