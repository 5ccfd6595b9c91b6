"""What a check found, and what state that makes."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from mamimon.health.said import Said, quoted

State = Literal["up", "down", "degraded", "unknown", "maintenance"]


class Finding(msgspec.Struct, frozen=True):
    """One run of a check: what it saw, before retries and suspension are judged."""

    state: State
    said: Said
    latency_s: float = 0.0
    facts: dict[str, float] = {}
    """What else was measured, by the names of metrics."""


class CheckStatus(msgspec.Struct, kw_only=True):
    """A check as it stands now; times are epoch seconds, None before the first run."""

    name: str
    kind: str
    target: str
    state: State = "unknown"
    found: State = "unknown"
    """What the last runs make of it; `state` differs during maintenance, and where we could not store it."""
    since: float
    last_at: float | None = None
    latency_s: float | None = None
    message: str = ""
    """What it last said, in English."""
    said: Said = msgspec.field(default_factory=lambda: quoted(""))
    """The same as a sentence and its values."""
    on_status_page: bool = True
    alert_on: Literal["degraded", "down", "nothing"] = "down"
    """The mildest state that becomes an alert."""

    def tell(self, words: Said) -> None:
        """Take what it said last."""
        self.said, self.message = words, str(words)

    @property
    def words(self) -> str:
        """What it last said, in the language of the current request."""
        return self.said.translated()


class Change(msgspec.Struct, frozen=True):
    """From `at` (epoch seconds) on a check was in `state`."""

    at: float
    state: State
    said: Said = msgspec.field(default_factory=lambda: quoted(""))


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


class Window(msgspec.Struct, kw_only=True):
    """Planned work on what `checks` (globs of names) and `matchers` (Alertmanager's form) name."""

    id: str
    name: str
    checks: list[str] = []
    matchers: str = ""
    starts_at: float | None = None
    """Epoch seconds; None where `schedule`, a cron expression read in `zone`, says when."""
    duration_s: float
    schedule: str = ""
    zone: str = "UTC"
    made_by: str = ""
    made_at: float = 0.0


class Slot(msgspec.Struct, frozen=True):
    """A slice of a check's history: its worst state, the share of known time it was up, and that time."""

    start: float
    end: float
    state: State
    up: float | None
    known_s: float = 0.0


class Run(msgspec.Struct, frozen=True):
    """Slots side by side in one state; those that are not well stand alone, with their share."""

    place: int
    length: int
    slot: Slot


class Outage(msgspec.Struct, frozen=True):
    """A time that a check was down; `end` is None while it is."""

    name: str
    start: float
    end: float | None


def runs(slots: list[Slot]) -> list[Run]:
    """The slots as few drawn parts."""
    out: list[Run] = []
    for place, slot in enumerate(slots):
        last = out[-1] if out else None
        if last is not None and last.slot.state == slot.state and slot.state not in {"down", "degraded"}:
            out[-1] = Run(last.place, last.length + 1, last.slot)
        else:
            out.append(Run(place, 1, slot))
    return out


def outages(name: str, changes: list[Change]) -> list[Outage]:
    """The times a check was down, oldest first; unknown time and maintenance end none, they hide it."""
    found: list[Outage] = []
    for change in changes:
        last = found[-1] if found else None
        ongoing = last is not None and last.end is None
        if change.state == "down" and not ongoing:
            found.append(Outage(name, change.at, None))
        elif change.state in {"up", "degraded"} and ongoing:
            assert last is not None
            found[-1] = Outage(name, last.start, change.at)
    return found


_WORST = {"up": 0, "degraded": 1, "down": 2}
_UNCOUNTED = {"unknown", "maintenance"}


def history(changes: list[Change], start: float, end: float, slots: int) -> list[Slot]:
    """Cut `[start, end)` into equal slots; time before the first change is unknown.

    "Up" counts degraded too and leaves unknown time and maintenance out, so neither a night asleep nor
    planned work lowers anybody's uptime.
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
    worst: State
    for index in range(slots):
        low, high = start + index * width, start + (index + 1) * width
        inside = [(min(b, high) - max(a, low), state) for a, b, state in spans if min(b, high) > max(a, low)]
        known = sum(length for length, state in inside if state not in _UNCOUNTED)
        down = sum(length for length, state in inside if state == "down")
        if known:
            worst = max((state for _, state in inside if state not in _UNCOUNTED), key=_WORST.__getitem__)
        else:
            worst = "maintenance" if any(state == "maintenance" for _, state in inside) else "unknown"
        out.append(Slot(low, high, worst, 1 - down / known if known else None, known))
    return out


def uptime(slots: list[Slot]) -> float | None:
    """The share of known time that was up; None where nothing is known."""
    known = sum(slot.known_s for slot in slots)
    return sum(slot.up * slot.known_s for slot in slots if slot.up is not None) / known if known else None


def shown_target(target: str) -> str:
    """`target` without the user, password and query that a URL may carry."""
    if "://" not in target:
        return target
    parts = urlsplit(target)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def worst_first(statuses: list[CheckStatus]) -> list[CheckStatus]:
    """Down, degraded, unknown, in maintenance, up; by name among equals."""
    order: dict[State, int] = {"down": 0, "degraded": 1, "unknown": 2, "maintenance": 3, "up": 4}
    return sorted(statuses, key=lambda one: (order[one.state], one.name.lower()))
