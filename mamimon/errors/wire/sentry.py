"""Sentry's doors: `/api/<project>/envelope/`, `/store/`, `/security/`, `/cron/<slug>/…`, `/minidump/`.

What happens to each type of item is in `items`. Accepted items answer 200 with the event's id. A wrong
key answers 403, none at all 401, a body that is no envelope 400, one too large 413, a key over its
limit 429 with `Retry-After` and `X-Sentry-Rate-Limits`; each with `X-Sentry-Error` and a JSON
`detail`, as Relay does. A bad item is dropped alone. A tunnel is the same door: the key comes with the
envelope's `dsn`.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mamimon.config import ErrorSettings, ServerSettings
from mamimon.errors.ingest import Ingest
from mamimon.errors.issue_store import IssueStore
from mamimon.errors.lane import Lane
from mamimon.errors.limits import Limiter
from mamimon.errors.session_store import SessionStore
from mamimon.errors.wire.auth import key_of_dsn, key_of_request, may_send
from mamimon.errors.wire.checkins import CheckIn, read_check_in
from mamimon.errors.wire.envelope import Dropped, decode_json, parse_envelope
from mamimon.errors.wire.items import Items, Parcel
from mamimon.errors.wire.security import events_of
from mamimon.http import AsgiApp, Receive, Scope, Send, answer, decoded, decompress, header, query, read_body
from mamimon.problems import Kind, Problem, bad_input, too_large, unavailable
from mamimon.storage import Core

_Read = Callable[[Scope, bytes, int, str], tuple[str, Parcel]]
_UNSUPPORTED_S = 3600
# What is larger, packed or unpacked, would keep others waiting.
_SMALL = 64 << 10
_SMALL_INSIDE = 512 << 10
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)
_PREFLIGHT = (
    *_CORS,
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "X-Sentry-Auth, X-Requested-With, Origin, Accept, Content-Type, Content-Encoding, Authentication, "
        "Authorization, Sentry-Trace, Baggage, Traceparent",
    ),
    ("Access-Control-Allow-Private-Network", "true"),
    ("Access-Control-Max-Age", "3600"),
)


async def _nobody(_: CheckIn) -> None:
    raise bad_input("check-ins are not taken in here")


_PATH = re.compile(
    r"/api/(?P<project>\d{1,9})/(?P<door>[a-z]+)(?:/(?P<slug>[\w\-]{1,60})(?:/(?P<key>[0-9a-f]{32}))?)?/?\Z"
)


class SentryDoor:
    """The plain ASGI apps behind the paths; `keys` maps active public keys to projects."""

    def __init__(self, core: Core, ingest: Ingest, issues: IssueStore, sessions: SessionStore) -> None:
        self._core = core
        self._ingest = ingest
        self._issues = issues
        self._sessions = sessions
        self._settings: ErrorSettings = core.settings.errors
        self._server: ServerSettings = core.settings.server
        self._limiter = Limiter(core.clock, self._settings.events_per_minute)
        self._items = Items(core, ingest, self._limiter)
        self._busy = asyncio.Semaphore(4)
        self._lane: Lane[tuple[str, Parcel]] = Lane(ingest.turn)
        self._doors: dict[str, AsgiApp] = {
            "envelope": self.envelope,
            "store": self.store,
            "security": self.security,
            "csp": self.security,
            "cron": self.cron,
            "minidump": self.minidump,
            "unreal": self.minidump,
        }
        self.keys: dict[str, int] = {}
        self.on_check_in: Callable[[CheckIn], Awaitable[None]] = _nobody
        """Takes a job's report; raises a `Problem` where it cannot."""

    def at(self, path: str) -> AsgiApp | None:
        """The door of a path; None where it is none of Sentry's."""
        found = _PATH.match(path)
        door = self._doors.get(found["door"]) if found else None
        if found is None or door is None or (found["door"] == "cron") != bool(found["slug"]):
            return None
        asked = {"project": int(found["project"]), "slug": found["slug"], "key": found["key"]}

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            scope["path_params"] = asked
            scope["path_template"] = f"/api/{{project}}/{found['door']}/"
            await door(scope, receive, send)

        return run

    async def envelope(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/envelope/`."""
        await self._serve(scope, receive, send, self._read_envelope)

    async def store(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/store/`: one event as bare JSON."""
        await self._serve(scope, receive, send, self._read_store)

    async def security(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/security/`: reports that browsers send by themselves."""
        await self._serve(scope, receive, send, self._read_security)

    async def cron(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET` or `POST /api/<project>/cron/<slug>/<key>/?status=ok`: a check-in without a client."""
        await self._serve(scope, receive, send, self._read_cron)

    async def minidump(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/minidump/`: refused in words a client logs."""
        await self._refuse(send, bad_input("minidumps are not supported by this server"))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, read: _Read) -> None:
        if scope["method"] == "OPTIONS":
            await answer(send, 204, content_type="", headers=_PREFLIGHT)
            return
        if scope["method"] != "POST" and not (scope["method"] == "GET" and read == self._read_cron):
            await self._refuse(send, Problem(Kind.NOT_ALLOWED, "only POST is allowed here"))
            return
        project = int(scope["path_params"]["project"])
        try:
            if not may_send(header(scope, "origin"), self._settings.allowed_origins):
                raise Problem(Kind.FORBIDDEN, "event submission rejected with_reason: Cors")
            key = scope["path_params"].get("key") or key_of_request(scope)
            key = self._check(key, project, required=read != self._read_envelope)
            if key and self._limiter.full(key, "all"):
                raise self._over("error")
            if not self._core.writable():
                raise unavailable("the disk is full: events are not taken in", retry_after_s=60)
            raw = await read_body(receive, self._server.max_body_bytes)
            key, parcel = await self._read(scope, raw, project, key, read)
            await self._keep(parcel, project)
            if not parcel.rows and not parcel.taken:
                if parcel.problem:
                    raise bad_input(parcel.problem)
                if parcel.limited:
                    raise self._over(*sorted(parcel.limited))
        except Problem as problem:
            await self._refuse(send, problem)
            return
        body = msgspec.json.encode({"id": parcel.id} if parcel.id else {})
        await answer(send, 200, body, headers=(*_CORS, *self._limits(parcel.limited, parcel.unsupported)))

    async def _read(
        self, scope: Scope, raw: bytes, project: int, key: str, read: _Read
    ) -> tuple[str, Parcel]:
        """Read a body in a worker thread: a small one together with others, a large one by itself."""
        if len(raw) <= _SMALL:
            first = self._read_small if read == self._read_envelope else read
            try:
                return await self._lane.do(lambda: first(scope, raw, project, key))
            except Problem as problem:
                if problem.kind is not Kind.TOO_LARGE:
                    raise
        async with self._busy:
            return await asyncio.to_thread(read, scope, raw, project, key)

    async def _keep(self, parcel: Parcel, project: int) -> None:
        for event, one in parcel.feedback:
            await self._issues.add_feedback(project, event, one)
        if parcel.sessions:
            await self._sessions.add(parcel.sessions)
        for check_in in parcel.check_ins:
            try:
                await self.on_check_in(check_in)
            except Problem as problem:
                self._items.drop(Dropped("check_in", "invalid", problem.detail))
                parcel.taken -= 1
                parcel.problem = f"invalid check_in item: {problem.detail}"
        if parcel.rows:
            await self._ingest.append(parcel.rows)
            self._items.outcome("event", "stored", len(parcel.rows))
        if parcel.files:
            kept = await self._ingest.attach(project, parcel.owner, parcel.files)
            self._items.outcome("attachment", "stored", kept)
            self._items.outcome("attachment", "without_event", len(parcel.files) - kept)

    def _check(self, key: str, project: int, *, required: bool) -> str:
        """The key, where it may send to the project; an empty one where it comes with the envelope."""
        if not key:
            if required:
                raise Problem(Kind.UNAUTHENTICATED, "missing authorization information")
            return ""
        if key not in self.keys:
            raise Problem(Kind.FORBIDDEN, "bad sentry DSN public key")
        if self.keys[key] != project:
            raise Problem(Kind.FORBIDDEN, "the DSN's key does not belong to this project")
        return key

    def _read_small(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, Parcel]:
        return self._read_envelope(scope, raw, project, key, _SMALL_INSIDE)

    def _read_envelope(
        self, scope: Scope, raw: bytes, project: int, key: str, most: int | None = None
    ) -> tuple[str, Parcel]:
        limit = min(most or math.inf, self._settings.max_envelope_bytes)
        pieces = decoded(raw, header(scope, "content-encoding"), int(limit))
        envelope = parse_envelope(pieces, self._items.limit_of)
        if not key:
            named, _ = key_of_dsn(envelope.header.get("dsn"))
            key = self._check(named, project, required=True)
        return key, self._items.read(envelope, project, key, _address(scope))

    def _read_store(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, Parcel]:
        limit = self._settings.max_event_bytes
        body = decompress(raw, header(scope, "content-encoding"), limit)
        if not body.lstrip().startswith(b"{"):
            body = _legacy(body, limit)
        parcel = Parcel()
        if self._items.within_limits(key, "event", parcel):
            try:
                self._items.event(body, project, parcel, ip=_address(scope))
            except ValueError as error:
                raise bad_input(f"invalid event: {str(error)[:200]}") from None
        return key, parcel

    def _read_security(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, Parcel]:
        limit = self._settings.max_event_bytes
        body = decompress(raw, header(scope, "content-encoding"), limit)
        if len(body) > limit:
            raise too_large(f"the report is larger than {limit} bytes")
        asked = query(scope)
        told = {name: header(scope, name) for name in ("user-agent", "referer", "origin")}
        parcel = Parcel()
        try:
            found = events_of(
                decode_json(body), told, asked.get("sentry_release", ""), asked.get("sentry_environment", "")
            )
            for one in found:
                if self._items.within_limits(key, "event", parcel):
                    self._items.event({**one, "user": {"ip_address": _address(scope)}}, project, parcel)
        except ValueError as error:
            raise bad_input(f"invalid security report: {str(error)[:200]}") from None
        return key, parcel

    def _read_cron(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, Parcel]:
        said: dict[str, Any] = {**query(scope), "monitor_slug": scope["path_params"]["slug"]}
        parcel = Parcel()
        if self._items.within_limits(key, "check_in", parcel):
            try:
                sent = decode_json(raw) if raw.strip() else {}
                parcel.check_ins.append(read_check_in(said | sent if isinstance(sent, dict) else said))
            except ValueError as error:
                raise bad_input(f"invalid check-in: {str(error)[:200]}") from None
            parcel.taken += 1
            self._items.outcome("check_in", "stored")
        return key, parcel

    def _over(self, *categories: str) -> Problem:
        problem = Problem(
            Kind.TOO_MANY,
            f"rate limit of {self._settings.events_per_minute} a minute reached for {', '.join(categories)}",
            retry_after_s=self._limiter.retry_after_s,
        )
        problem.hint = ";".join(categories)
        return problem

    def _limits(self, limited: set[str], unsupported: set[str]) -> list[tuple[str, str]]:
        """`X-Sentry-Rate-Limits`: seconds, categories, scope and reason of each limit."""
        parts = []
        if limited:
            parts.append(f"{self._limiter.retry_after_s}:{';'.join(sorted(limited))}:key")
        if unsupported:
            parts.append(f"{_UNSUPPORTED_S}:{';'.join(sorted(unsupported))}:project:not_supported")
        return [("X-Sentry-Rate-Limits", ", ".join(parts))] if parts else []

    async def _refuse(self, send: Send, problem: Problem) -> None:
        headers = [*_CORS, ("X-Sentry-Error", problem.detail.encode("ascii", "replace").decode())]
        if problem.retry_after_s is not None:
            headers.append(("Retry-After", str(max(1, round(problem.retry_after_s)))))
        if problem.kind is Kind.TOO_MANY:
            headers += self._limits(set(filter(None, problem.hint.split(";"))) or {"error"}, set())
        body = msgspec.json.encode({"detail": problem.detail, "causes": []})
        await answer(send, problem.status, body, headers=headers)


def _legacy(body: bytes, limit: int) -> bytes:
    """What clients of old send to /store/: base64 of zlib of JSON."""
    try:
        packed = base64.b64decode(body, validate=True)
        engine = zlib.decompressobj()
        plain = engine.decompress(packed, limit)
    except (ValueError, zlib.error):
        raise bad_input("invalid event: not a JSON object") from None
    if engine.unconsumed_tail:
        raise too_large(f"the event is larger than {limit} bytes")
    return plain


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
