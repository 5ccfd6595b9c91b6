"""Sentry's doors: `/api/<project>/envelope/` and `/store/`.

What happens to each type of item:

| item | what happens |
|---|---|
| `event` | made regular, scrubbed, grouped, stored |
| `attachment` | name, type and size are kept with its event; the content is dropped |
| `feedback`, `user_report` | stored beside the event that it names |
| `session`, `sessions` | counted (`mamimon_errors_items_total`), not stored yet |
| `transaction`, `span`, `profile`, `profile_chunk` | counted, not stored: mamimon is no tracing back end |
| `check_in` | counted; heartbeats have their own door, `/ping/<uuid>` |
| `client_report` | its discarded events are counted (`mamimon_errors_client_discarded_total`) |
| `log`, `trace_metric`, `statsd`, `replay_*`, others | counted, not stored: they have doors of their own |

Accepted items answer 200 with the event's id. A wrong key answers 403, none at all 401, a body that
is no envelope 400, one too large 413, a key over its limit 429 with `Retry-After` and
`X-Sentry-Rate-Limits`; each with `X-Sentry-Error` and a JSON `detail`, as Relay does. A bad item is
dropped alone.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter

from mamimon.config import ErrorSettings, ServerSettings
from mamimon.errors.ingest import Ingest
from mamimon.errors.issue_store import IssueStore
from mamimon.errors.limits import CATEGORIES, Limiter
from mamimon.errors.model import Attachment, Feedback
from mamimon.errors.normalise import event_id, instant, text
from mamimon.errors.scrub import scrub_text
from mamimon.errors.wire.auth import key_of_dsn, key_of_request
from mamimon.errors.wire.envelope import Envelope, Item, decode_json, parse_envelope
from mamimon.http import Receive, Scope, Send, answer, decompress, header, read_body
from mamimon.problems import Kind, Problem, bad_input, too_large, unavailable
from mamimon.storage import Core

_log = logging.getLogger("mamimon.errors")
_KNOWN = {*CATEGORIES, "client_report"}
MAX_ATTACHMENTS = 20
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


class _Parcel(msgspec.Struct):
    """What an envelope holds for the stores, after the worker thread."""

    id: str
    rows: list[Any]
    feedback: list[tuple[str, Feedback]]
    limited: set[str]
    problem: str = ""


class SentryDoor:
    """The plain ASGI apps behind the two paths; `keys` maps active public keys to projects."""

    def __init__(self, core: Core, ingest: Ingest, issues: IssueStore) -> None:
        self._core = core
        self._ingest = ingest
        self._issues = issues
        self._settings: ErrorSettings = core.settings.errors
        self._server: ServerSettings = core.settings.server
        self._limiter = Limiter(core.clock, self._settings.events_per_minute)
        self._busy = asyncio.Semaphore(4)
        self.keys: dict[str, int] = {}
        self._count(core.registry)

    def _count(self, registry: CollectorRegistry) -> None:
        self._items = Counter(
            "mamimon_errors_items",
            "Items that Sentry clients sent, by type and what became of them.",
            ["item", "outcome"],
            registry=registry,
        )
        self._discarded = Counter(
            "mamimon_errors_client_discarded",
            "Events that clients say they discarded, by category and reason.",
            ["category", "reason"],
            registry=registry,
        )

    async def envelope(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/envelope/`."""
        await self._serve(scope, receive, send, self._read_envelope)

    async def store(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/store/`: one event as bare JSON."""
        await self._serve(scope, receive, send, self._read_store)

    async def minidump(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /api/<project>/minidump/`: refused in words a client logs."""
        await self._refuse(send, bad_input("minidumps are not supported by this server"))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, read: Any) -> None:
        if scope["method"] == "OPTIONS":
            await answer(send, 204, content_type="", headers=_PREFLIGHT)
            return
        if scope["method"] != "POST":
            await self._refuse(send, Problem(Kind.NOT_ALLOWED, "only POST is allowed here"))
            return
        project = int(scope["path_params"]["project"])
        key = ""
        try:
            key = self._check(key_of_request(scope), project, required=read == self._read_store)
            if key and self._limiter.full(key, "all"):
                raise self._over("error")
            if not self._core.writable():
                raise unavailable("the disk is full: events are not taken in", retry_after_s=60)
            raw = await read_body(receive, self._server.max_body_bytes)
            async with self._busy:
                key, parcel = await asyncio.to_thread(read, scope, raw, project, key)
            for event, one in parcel.feedback:
                await self._issues.add_feedback(project, event, one)
            if parcel.rows:
                await self._ingest.append(parcel.rows)
                self._items.labels("event", "stored").inc(len(parcel.rows))
            if parcel.problem and not parcel.rows and not parcel.feedback:
                raise bad_input(parcel.problem)
            if parcel.limited and not parcel.rows and not parcel.feedback:
                raise self._over(*sorted(parcel.limited))
        except Problem as problem:
            await self._refuse(send, problem)
            return
        body = msgspec.json.encode({"id": parcel.id} if parcel.id else {})
        headers = (*_CORS, *((self._limits(parcel.limited),) if parcel.limited else ()))
        await answer(send, 200, body, headers=headers)

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

    def _read_envelope(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, _Parcel]:
        body = decompress(raw, header(scope, "content-encoding"), self._settings.max_envelope_bytes)
        envelope = parse_envelope(body)
        if not key:
            named, _ = key_of_dsn(envelope.header.get("dsn"))
            if not named:
                raise Problem(Kind.UNAUTHENTICATED, "missing authorization information")
            key = self._check(named, project, required=True)
        for kind, reason in envelope.dropped:
            self._drop(kind, reason)
        parcel = _Parcel("", [], [], set())
        if envelope.header.get("event_id"):
            parcel.id = event_id(envelope.header["event_id"])
        attachments = _attachments(envelope)
        for item in envelope.items:
            if not self._within_limits(key, item, parcel):
                self._items.labels(_label(item.type), "rate_limited").inc()
                continue
            try:
                self._take(item, envelope, parcel, project, attachments, scope)
            except ValueError as error:
                self._drop(item.type, str(error))
                parcel.problem = f"invalid {item.type[:40]} item: {str(error)[:200]}"
        if not envelope.items and envelope.dropped:
            parcel.problem = f"invalid envelope: {envelope.dropped[0][1]}"
        return key, parcel

    def _within_limits(self, key: str, item: Item, parcel: _Parcel) -> bool:
        category = CATEGORIES.get(item.type, "default")
        self._limiter.take(key, "all")
        if self._limiter.take(key, category):
            return True
        parcel.limited.add(category)
        return False

    def _take(
        self,
        item: Item,
        envelope: Envelope,
        parcel: _Parcel,
        project: int,
        attachments: Sequence[Attachment],
        scope: Scope,
    ) -> None:
        """Bring one item to the parcel; raises `ValueError` for one that cannot be read."""
        if item.type == "event":
            payload = self._event(item.payload)
            payload.setdefault("event_id", envelope.header.get("event_id"))
            row = self._ingest.prepare(
                payload,
                project,
                sent_at=instant(envelope.header.get("sent_at")),
                attachments=attachments,
                ip=_address(scope),
            )
            parcel.rows.append(row)
            parcel.id = row.event.id
        elif item.type in {"feedback", "user_report"}:
            parcel.feedback.append(_feedback(self._event(item.payload), envelope, self._core.clock.now()))
            self._items.labels(item.type, "stored").inc()
        elif item.type == "client_report":
            self._report(self._event(item.payload))
            self._items.labels(item.type, "counted").inc()
        elif item.type == "attachment":
            self._items.labels(item.type, "named").inc()
        else:
            self._items.labels(_label(item.type), "counted").inc()

    def _event(self, payload: memoryview | bytes) -> dict[str, Any]:
        if len(payload) > self._settings.max_event_bytes:
            raise ValueError(f"larger than {self._settings.max_event_bytes} bytes")
        value = decode_json(payload)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value

    def _read_store(self, scope: Scope, raw: bytes, project: int, key: str) -> tuple[str, _Parcel]:
        limit = self._settings.max_event_bytes
        body = decompress(raw, header(scope, "content-encoding"), limit)
        if not body.lstrip().startswith(b"{"):
            body = _legacy(body, limit)
        parcel = _Parcel("", [], [], set())
        if not self._within_limits(key, Item("event", {}, memoryview(b"")), parcel):
            return key, parcel
        try:
            row = self._ingest.prepare(self._event(body), project, ip=_address(scope))
        except ValueError as error:
            raise bad_input(f"invalid event: {str(error)[:200]}") from None
        parcel.rows.append(row)
        parcel.id = row.event.id
        return key, parcel

    def _report(self, report: dict[str, Any]) -> None:
        rows = report.get("discarded_events")
        for row in rows[:100] if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get("quantity"), int) and row["quantity"] > 0:
                category, reason = text(row.get("category"), 30), text(row.get("reason"), 30)
                self._discarded.labels(
                    category if category in {*CATEGORIES.values(), "default"} else "other",
                    reason if reason in _REASONS else "other",
                ).inc(min(row["quantity"], 1_000_000))

    def _drop(self, kind: str, reason: str) -> None:
        self._items.labels(_label(kind), "invalid").inc()
        _log.info("dropped a %s item: %s", kind[:40], reason[:200])

    def _over(self, *categories: str) -> Problem:
        problem = Problem(
            Kind.TOO_MANY,
            f"rate limit of {self._settings.events_per_minute} a minute reached for {', '.join(categories)}",
            retry_after_s=self._limiter.retry_after_s,
        )
        problem.hint = ";".join(categories)
        return problem

    def _limits(self, categories: set[str]) -> tuple[str, str]:
        return "X-Sentry-Rate-Limits", f"{self._limiter.retry_after_s}:{';'.join(sorted(categories))}:key"

    async def _refuse(self, send: Send, problem: Problem) -> None:
        headers = [*_CORS, ("X-Sentry-Error", problem.detail.encode("ascii", "replace").decode())]
        if problem.retry_after_s is not None:
            headers.append(("Retry-After", str(max(1, round(problem.retry_after_s)))))
        if problem.kind is Kind.TOO_MANY:
            headers.append(self._limits(set(filter(None, problem.hint.split(";"))) or {"error"}))
        body = msgspec.json.encode({"detail": problem.detail, "causes": []})
        await answer(send, problem.status, body, headers=headers)


_REASONS = {
    "queue_overflow",
    "cache_overflow",
    "ratelimit_backoff",
    "network_error",
    "sample_rate",
    "before_send",
    "event_processor",
    "send_error",
    "internal_sdk_error",
    "buffer_overflow",
    "backpressure",
}


def _label(kind: str) -> str:
    return kind if kind in _KNOWN else "other"


def _attachments(envelope: Envelope) -> list[Attachment]:
    return [
        Attachment(
            name=text(item.header.get("filename"), 200) or "attachment",
            type=text(item.header.get("content_type"), 100),
            size=len(item.payload),
        )
        for item in envelope.items
        if item.type == "attachment"
    ][:MAX_ATTACHMENTS]


def _feedback(payload: dict[str, Any], envelope: Envelope, now: float) -> tuple[str, Feedback]:
    """The event that a person wrote about, and what: of a `user_report` or a `feedback` item."""
    contexts = payload.get("contexts")
    inner = contexts.get("feedback") if isinstance(contexts, dict) else None
    source = inner if isinstance(inner, dict) else payload
    about = source.get("associated_event_id") or payload.get("event_id") or envelope.header.get("event_id")
    said = text(source.get("message") or source.get("comments"), 4096)
    if not said:
        raise ValueError("no message")
    feedback = Feedback(
        at=now,
        name=scrub_text(text(source.get("name"), 200)),
        email=text(source.get("contact_email") or source.get("email"), 200),
        text=scrub_text(said),
    )
    return event_id(about), feedback


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
