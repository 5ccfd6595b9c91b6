"""What a check found, and what state that makes."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

State = Literal["up", "down", "degraded", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """One run of a check: what it saw, before retries and suspension are judged."""

    state: State
    message: str
    latency_s: float = 0.0


class CheckStatus(msgspec.Struct, kw_only=True):
    """A check as it stands now; times are epoch seconds, None before the first run."""

    name: str
    kind: str
    target: str
    state: State = "unknown"
    since: float
    last_at: float | None = None
    latency_s: float | None = None
    message: str = ""


class Change(msgspec.Struct, frozen=True):
    """From `at` (epoch seconds) on a check was in `state`."""

    at: float
    state: State
    message: str = ""


class Heartbeat(msgspec.Struct):
    """A job that reports by itself, at most `grace_s` late; times are epoch seconds.

    It is expected every `period_s`, or at the times of `schedule` (a cron expression) in `zone`.
    """

    id: str
    name: str
    period_s: float
    grace_s: float
    created_at: float
    started_at: float | None = None
    """Since when a run that was announced by `/start` is under way."""
    last_at: float | None = None
    last_kind: str = ""
    due_at: float | None = None
    """When the next ping is expected; None before the first."""
    schedule: str = ""
    zone: str = "UTC"

    @property
    def rhythm(self) -> str:
        """How often it is expected, for people."""
        return f"{self.schedule} ({self.zone})" if self.schedule else f"every {self.period_s:g} s"


class Ping(msgspec.Struct, frozen=True):
    """One report: `kind` is success, start, fail or log."""

    at: float
    kind: str
    exit_code: int | None = None
    duration_s: float | None = None
    source: str = ""
    body: str = ""


class Slot(msgspec.Struct, frozen=True):
    """A slice of a check's history: its worst state and the share of known time it was up."""

    start: float
    end: float
    state: State
    up: float | None


_WORST: dict[State, int] = {"up": 0, "unknown": 1, "degraded": 2, "down": 3}


def history(changes: list[Change], start: float, end: float, slots: int) -> list[Slot]:
    """Cut `[start, end)` into equal slots; time before the first change is unknown.

    "Up" counts degraded too and leaves unknown time out, so a night asleep lowers nobody's uptime.
    """
    width = (end - start) / slots
    edges = [(change.at, change.state) for change in changes]
    spans = [
        (max(at, start), min(following, end), state)
        for (at, state), (following, _) in zip(
            [(start, "unknown"), *edges], [*edges, (end, "unknown")], strict=True
        )
        if following > start and at < end
    ]
    out: list[Slot] = []
    for index in range(slots):
        low, high = start + index * width, start + (index + 1) * width
        inside = [(min(b, high) - max(a, low), state) for a, b, state in spans if min(b, high) > max(a, low)]
        known = sum(length for length, state in inside if state != "unknown")
        down = sum(length for length, state in inside if state == "down")
        worst: State = "unknown" if not known else max((s for _, s in inside), key=_WORST.__getitem__)
        if known and worst == "unknown":
            worst = "up"
        out.append(Slot(low, high, worst, 1 - down / known if known else None))
    return out


def uptime(slots: list[Slot]) -> float | None:
    """The mean share of up time over the slots that know; None where none does."""
    known = [slot.up for slot in slots if slot.up is not None]
    return sum(known) / len(known) if known else None


def shown_target(target: str) -> str:
    """`target` without the user, password and query that a URL may carry."""
    if "://" not in target:
        return target
    parts = urlsplit(target)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def worst_first(statuses: list[CheckStatus]) -> list[CheckStatus]:
    """Down, degraded, unknown, up; by name among equals."""
    order: dict[State, int] = {"down": 0, "degraded": 1, "unknown": 2, "up": 3}
    return sorted(statuses, key=lambda one: (order[one.state], one.name.lower()))
