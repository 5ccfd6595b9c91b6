"""What becomes of each item of an envelope, and how large it may be.

| item | at most | what happens |
|---|---|---|
| `event` | `errors.max_event_bytes` | made regular, scrubbed, grouped, stored |
| `attachment` | 1 MiB | kept with its event; of a larger one name, type and size |
| `feedback`, `user_report` | as an event | stored beside the event that it names |
| `session`, `sessions` | 100 KiB | counted by release (`/errors/releases`) |
| `transaction`, `span` | as an event | measured (`mamimon_transaction_duration_seconds`), not stored |
| `check_in` | 100 KiB | pings the heartbeat of the monitor's name |
| `client_report` | 100 KiB | its discarded events are counted |
| `replay_*`, `profile*`, `log`, `trace_metric`, … | - | passed over; the answer tells the client so |

What is passed over is answered by a rate limit of its category with the reason `not_supported`, so a
client stops sending it for an hour. Every item's outcome is in `mamimon_errors_items_total`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter

from mamimon.errors.attachment_store import MAX_FILES
from mamimon.errors.attachments import keep
from mamimon.errors.ingest import Ingest
from mamimon.errors.limits import CATEGORIES, Limiter
from mamimon.errors.model import Attachment, Feedback
from mamimon.errors.scrub import scrub_text
from mamimon.errors.sessions import Sessions, read_aggregates, read_session
from mamimon.errors.suspect import suspicious
from mamimon.errors.values import event_id, instant, text
from mamimon.errors.wire.checkins import CheckIn, read_check_in
from mamimon.errors.wire.durations import Durations
from mamimon.errors.wire.envelope import Dropped, Envelope, Item, decode_json
from mamimon.errors.wire.payload import decode_event
from mamimon.storage import Core

_log = logging.getLogger("mamimon.errors")
MAX_ATTACHMENT_BYTES = 1 << 20
_SMALL = 100 * 1024
_KNOWN = {*CATEGORIES, "client_report"}
_PASSED_OVER = {
    "replay_event", "replay_recording", "replay_video", "profile", "profile_chunk", "log", "trace_metric",
    "statsd", "metric_buckets",
}  # fmt: skip
_REASONS = {
    "queue_overflow", "cache_overflow", "ratelimit_backoff", "network_error", "sample_rate", "before_send",
    "event_processor", "send_error", "internal_sdk_error", "buffer_overflow", "backpressure",
    "no_parent_span", "invalid", "ignored",
}  # fmt: skip


class Parcel(msgspec.Struct, kw_only=True):
    """What an envelope holds for the stores."""

    id: str = ""
    rows: list[Any] = []
    feedback: list[tuple[str, Feedback]] = []
    files: list[tuple[Attachment, bytes]] = []
    """Attachments without their event, which came before, and what is stored of them."""
    owner: str = ""
    """The id of that event."""
    sessions: list[Sessions] = []
    check_ins: list[CheckIn] = []
    limited: set[str] = set()
    unsupported: set[str] = set()
    taken: int = 0
    problem: str = ""


class Items:
    """Reads items; every method runs in worker threads."""

    def __init__(self, core: Core, ingest: Ingest, limiter: Limiter) -> None:
        self._core = core
        self._ingest = ingest
        self._limiter = limiter
        self._max_event = core.settings.errors.max_event_bytes
        self._durations = Durations(core.registry)
        self._count(core.registry)

    def _count(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
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

    def limit_of(self, kind: str) -> int:
        """The largest payload of an item's type in bytes; 0 passes it over."""
        if kind in {"session", "sessions", "check_in", "client_report"}:
            return _SMALL
        if kind == "attachment":
            return MAX_ATTACHMENT_BYTES
        known = {"event", "feedback", "user_report", "transaction", "span"}
        return self._max_event if kind in known else 0

    def outcome(self, kind: str, outcome: str, many: int = 1) -> None:
        """Count what became of an item."""
        self._outcomes.labels(kind if kind in _KNOWN else "other", outcome).inc(many)

    def drop(self, one: Dropped) -> None:
        """Count and log an item that was not read."""
        self.outcome(one.type, one.outcome)
        _log.info("dropped a %s item: %s", one.type[:40], one.reason[:200])

    def within_limits(self, key: str, kind: str, parcel: Parcel) -> bool:
        """Whether the key may send one more of the kind; notes it on the parcel where not."""
        category = CATEGORIES.get(kind, "default")
        self._limiter.take(key, "all")
        if self._limiter.take(key, category):
            return True
        parcel.limited.add(category)
        self.outcome(kind, "rate_limited")
        return False

    def read(self, envelope: Envelope, project: int, key: str, ip: str) -> Parcel:
        """Everything of an envelope that can be read."""
        parcel = Parcel()
        if envelope.header.get("event_id"):
            parcel.id = event_id(envelope.header["event_id"])
        for one in envelope.dropped:
            self.drop(one)
            if one.type != "attachment":
                parcel.problem = f"invalid {one.type} item: {one.reason}"
        attachments = _attachments(envelope)
        for item in envelope.items:
            if not self.within_limits(key, item.type, parcel):
                continue
            try:
                self._take(item, envelope, parcel, project, attachments, ip)
            except ValueError as error:
                self.drop(Dropped(item.type, "invalid", str(error)))
                parcel.problem = f"invalid {item.type} item: {str(error)[:200]}"
        alone = not any(one.type == "event" for one in envelope.items)
        if attachments and alone and "attachment" not in parcel.limited:
            parcel.files = [(about, keep(about, body)) for about, body in attachments]
            parcel.owner = parcel.feedback[0][0] if parcel.feedback else parcel.id
        if not envelope.items and envelope.dropped:
            parcel.problem = f"invalid envelope: {envelope.dropped[0].reason}"
        return parcel

    def event(
        self,
        payload: bytes | dict[str, Any],
        project: int,
        parcel: Parcel,
        *,
        fallback_id: Any = None,
        sent_at: float | None = None,
        attachments: Sequence[tuple[Attachment, bytes]] = (),
        ip: str = "",
    ) -> None:
        """Bring one event to the parcel; raises `ValueError` for one that cannot be read."""
        raw = self.table(payload, decode_event) if isinstance(payload, bytes) else payload
        raw.setdefault("event_id", fallback_id)
        row = self._ingest.prepare(
            raw,
            project,
            sent_at=sent_at,
            attachments=attachments,
            ip=ip,
            suspected=not isinstance(payload, bytes) or suspicious(payload),
        )
        parcel.rows.append(row)
        parcel.id = row.event.id

    def table(self, payload: bytes, decode: Callable[[bytes], Any] = decode_json) -> dict[str, Any]:
        """A JSON object within the limit of events; raises `ValueError` for anything else."""
        if len(payload) > self._max_event:
            raise ValueError(f"larger than {self._max_event} bytes")
        value = decode(payload)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value

    def _take(
        self,
        item: Item,
        envelope: Envelope,
        parcel: Parcel,
        project: int,
        attachments: list[tuple[Attachment, bytes]],
        ip: str,
    ) -> None:
        now, secret = self._core.clock.now(), self._ingest.secret
        outcome = "stored"
        if item.type == "event":
            head = envelope.header
            sent_at = instant(head.get("sent_at"))
            self.event(
                item.payload, project, parcel, fallback_id=head.get("event_id"), sent_at=sent_at,
                attachments=attachments, ip=ip,
            )  # fmt: skip
            return  # counted when it is committed
        if item.type in {"feedback", "user_report"}:
            parcel.feedback.append(_feedback(self.table(item.payload), envelope, now))
        elif item.type == "session":
            parcel.sessions.append(read_session(self.table(item.payload), project, now, secret))
        elif item.type == "sessions":
            parcel.sessions += read_aggregates(self.table(item.payload), project, now, secret)
        elif item.type == "check_in":
            parcel.check_ins.append(read_check_in(self.table(item.payload)))
        elif item.type == "transaction":
            self._durations.transaction(self.table(item.payload), project)
            outcome = "measured"
        elif item.type == "span":
            self._durations.spans(self.table(item.payload), project)
            outcome = "measured"
        elif item.type == "client_report":
            self._report(self.table(item.payload))
            outcome = "counted"
        elif item.type == "attachment":
            if not any(one.type == "event" for one in envelope.items):
                parcel.taken += 1
                return  # counted when its event is found
            outcome = "stored"
        else:
            outcome = "unsupported"
            if item.type in _PASSED_OVER:
                parcel.unsupported.add(CATEGORIES[item.type])
        parcel.taken += 1
        self.outcome(item.type, outcome)

    def _report(self, report: dict[str, Any]) -> None:
        rows = report.get("discarded_events")
        for row in rows[:100] if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get("quantity"), int) and row["quantity"] > 0:
                category, reason = text(row.get("category"), 30), text(row.get("reason"), 30)
                self._discarded.labels(
                    category if category in {*CATEGORIES.values(), "default"} else "other",
                    reason if reason in _REASONS else "other",
                ).inc(min(row["quantity"], 1_000_000))


def _attachments(envelope: Envelope) -> list[tuple[Attachment, bytes]]:
    found = [(one.header, one.size, one.payload) for one in envelope.items if one.type == "attachment"]
    # Of one that is too large its event still tells name, type and size.
    found += [(one.header, one.size, b"") for one in envelope.dropped if one.type == "attachment"]
    return [
        (
            Attachment(
                name=scrub_text(text(header.get("filename"), 200)) or "attachment",
                type=text(header.get("content_type"), 100),
                size=size,
            ),
            body,
        )
        for header, size, body in found[:MAX_FILES]
    ]


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
