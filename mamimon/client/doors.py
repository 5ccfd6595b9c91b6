"""Where batches go, what the answers mean, and when to knock again.

A bulk answer is judged document by document; 429, 5xx and silence close a door for a growing, jittered
time (Retry-After is honoured); 400 and its like give the batch up, because it would never be taken.
"""

from __future__ import annotations

import enum
import json
import re
import time
from collections.abc import Callable
from typing import Any, Optional

from mamimon.client.encode import pick
from mamimon.client.settings import Settings, parse_dsn, warn
from mamimon.client.spool import Batch
from mamimon.client.transport import Reply, Tick, Transport, TransportError

KINDS = ("log", "event", "error", "metrics")
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 15.0
MAX_RETRY_AFTER_S = 300.0
USER_AGENT = "mamimon-python/0.1.0"

# Nothing wrong with the batch: the other side is overloaded, misconfigured or does not know us yet.
_KNOCK_AGAIN = frozenset((401, 402, 403, 404, 405, 407, 408, 421, 423, 425, 429))


# How Elasticsearch, OpenSearch and mamimon begin where every document was taken: reading the whole answer
# costs as much as gzip does.
_ALL_TAKEN = re.compile(
    rb'\{\s*(?:"(?:took|ingest_took)":\s*\d+,\s*)*"errors":\s*false,'
    rb'\s*(?:"took":\s*\d+,\s*)?"items":\s*\[\{"create":'
)


class Verdict(enum.Enum):
    """What became of a batch."""

    TAKEN = "taken"
    PARTLY = "partly"
    LATER = "later"
    REFUSED = "refused"
    TOO_LARGE = "too large"


class _Door:
    __slots__ = ("attempts", "opens_at", "reason", "said")

    def __init__(self) -> None:
        self.attempts = 0
        self.opens_at = 0.0
        self.reason = ""
        self.said = False


class Doors:
    """The four destinations of one configuration. Used by the sender's thread only."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._monotonic = monotonic
        self._jitter = jitter
        self._doors = {kind: _Door() for kind in KINDS}
        self._dsn = parse_dsn(settings.dsn) if settings.dsn else None
        self._asked = self._dsn is None
        # Documents of the last partly taken batch that did arrive.
        self.accepted = 0

    def is_open(self, kind: str) -> bool:
        """Whether it makes sense to send now."""
        return self._monotonic() >= self._doors[kind].opens_at

    def next_opening(self) -> float:
        """When the first closed door may be tried again, in seconds of the monotonic clock."""
        return min(door.opens_at for door in self._doors.values())

    def try_again(self) -> None:
        """Open every door for one attempt (a flush was asked for)."""
        for door in self._doors.values():
            door.opens_at = 0.0

    def close_all(self, seconds: float) -> None:
        """Rest for a while."""
        for door in self._doors.values():
            door.opens_at = self._monotonic() + seconds

    def reason(self, kind: str) -> str:
        """Why the last batch of this kind was not taken."""
        return self._doors[kind].reason

    def fail(self, kind: str, reason: str, at_least_s: float = 0.0) -> None:
        """Close a door: exponential delay with full jitter in its upper half, said once an outage."""
        door = self._doors[kind]
        delay = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0**door.attempts)
        door.attempts = min(door.attempts + 1, 16)
        delay = max(delay * (0.5 + 0.5 * self._jitter()), at_least_s)
        door.opens_at = self._monotonic() + delay
        door.reason = reason
        if not door.said:
            door.said = True
            warn(f"{kind} records cannot be delivered, they are kept and sent later: {reason}")

    def _succeed(self, kind: str) -> None:
        door = self._doors[kind]
        if door.said:
            warn(f"{kind} records are delivered again")
        door.attempts, door.opens_at, door.said = 0, 0.0, False

    def send(self, batch: Batch, deadline: float, tick: Tick) -> tuple[Verdict, list[Batch]]:
        """Send one batch; returns what became of it and what has to be sent again."""
        self.accepted = 0
        headers = {"User-Agent": USER_AGENT, "Content-Encoding": "gzip", "Accept": "application/json"}
        url = self._address(batch.kind, headers, deadline, tick)
        if not url:
            return Verdict.LATER, [batch]
        reply = self._transport.send("POST", url, batch.body, headers, deadline, tick)
        return self._judge(batch, reply)

    def _address(self, kind: str, headers: dict[str, str], deadline: float, tick: Tick) -> str:
        settings = self._settings
        if kind == "error":
            if self._dsn is None and not self._ask_dsn(deadline, tick):
                return ""
            assert self._dsn is not None
            headers["Content-Type"] = "application/x-sentry-envelope"
            headers["X-Sentry-Auth"] = (
                f"Sentry sentry_version=7, sentry_client={USER_AGENT}, sentry_key={self._dsn.key}"
            )
            return self._dsn.envelope_url
        if settings.bulk_auth:
            headers["Authorization"] = settings.bulk_auth
        if kind == "log":
            headers["Content-Type"] = "application/x-ndjson"
            return settings.bulk_url
        headers["Content-Type"] = "application/json"
        return settings.url + ("/v1/metrics" if kind == "metrics" else "/batch/")

    def _ask_dsn(self, deadline: float, tick: Tick) -> bool:
        """Ask the server for the DSN of its first project; its host and port are those we know it by."""
        settings = self._settings
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if settings.bulk_auth:
            headers["Authorization"] = settings.bulk_auth
        url = settings.url + "/api/mamimon/errors/dsn"
        reply = self._transport.send("GET", url, b"", headers, deadline, tick)
        answer = _json(reply.body)
        dsn = parse_dsn(str(answer.get("dsn", ""))) if reply.status == 200 and answer else None
        if dsn is None:
            self.fail("error", f"{url} answered {reply.status} and no DSN")
            return False
        self._dsn = dsn._replace(envelope_url=f"{settings.url}/api/{dsn.project}/envelope/")
        return True

    def _judge(self, batch: Batch, reply: Reply) -> tuple[Verdict, list[Batch]]:
        kind, status = batch.kind, reply.status
        said = f"{status} {reply.body[:160].decode('utf-8', 'replace')!r}"
        if 200 <= status < 300:
            if kind == "log":
                return self._judge_bulk(batch, reply, said)
            self._succeed(kind)
            return Verdict.TAKEN, []
        if status in _KNOCK_AGAIN or status >= 500:
            if kind == "error" and status in (401, 403) and self._asked:
                self._dsn = None
            self.fail(kind, f"the answer was {said}", _retry_after(reply))
            return Verdict.LATER, [batch]
        self._doors[kind].reason = f"the answer was {said}"
        return (Verdict.TOO_LARGE if status == 413 else Verdict.REFUSED), []

    def _judge_bulk(self, batch: Batch, reply: Reply, said: str) -> tuple[Verdict, list[Batch]]:
        if _ALL_TAKEN.match(reply.body) and reply.body.endswith(b"}"):
            self._succeed("log")
            return Verdict.TAKEN, []
        answer = _json(reply.body)
        items = answer.get("items") if answer else None
        if not isinstance(items, list) or not isinstance(answer and answer.get("errors"), bool):
            raise TransportError(f"the answer is not one of Elasticsearch's: {said}")
        self._succeed("log")
        if not answer or not answer["errors"]:
            return Verdict.TAKEN, []
        again: list[int] = []
        for at, item in enumerate(items[: batch.records]):
            outcome: Any = next(iter(item.values()), {}) if isinstance(item, dict) else {}
            status = int(outcome.get("status", 200)) if isinstance(outcome, dict) else 200
            if status < 300 or status == 409:
                self.accepted += 1
            elif status == 429 or status >= 500:
                again.append(at)
            else:
                self._doors["log"].reason = f"refused: {str(outcome.get('error'))[:160]}"
        if again:
            self.fail("log", "the other side is busy", _retry_after(reply))
            return Verdict.PARTLY, [pick(batch, again)]
        return Verdict.PARTLY, []


def _json(body: bytes) -> Optional[dict[str, Any]]:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _retry_after(reply: Reply) -> float:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3: a number or a date), bounded."""
    text = reply.headers.get("retry-after", "")
    if not text:
        return 0.0
    if text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, min(parsedate_to_datetime(text).timestamp() - time.time(), MAX_RETRY_AFTER_S))
    except (TypeError, ValueError):
        return 0.0
