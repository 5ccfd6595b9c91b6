"""Planned work: its windows, what they cover, and which are open now.

A window that recurs opens at each time of a cron expression in a time zone and stays open for its
duration, whatever the clocks do meanwhile.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
import secrets
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from mamimon.clock import Clock
from mamimon.health.maintenance_store import MaintenanceStore
from mamimon.health.model import CheckStatus, Window
from mamimon.health.schedule import check as check_schedule
from mamimon.health.schedule import following, latest
from mamimon.problems import bad_input, not_found

_MOST = 500
_LONGEST_S = 31 * 86_400.0
_KEEP_S = 92 * 86_400.0


class Occurrence(msgspec.Struct, frozen=True):
    """One time that a window is open (epoch seconds)."""

    start: float
    end: float


class Muting(msgspec.Struct, frozen=True):
    """An open window that keeps an alert quiet, who made it, and until when."""

    name: str
    by: str
    until: float


class _Known(msgspec.Struct, frozen=True):
    """What was worked out about a window, and between which instants that holds."""

    since: float
    until: float
    occurrence: Occurrence | None


class Maintenance:
    """The windows of one server; asked from memory."""

    def __init__(self, clock: Clock, store: MaintenanceStore) -> None:
        self._clock = clock
        self._store = store
        self._windows: dict[str, Window] = {}
        self._known: dict[str, _Known] = {}
        self.read_matchers: Callable[[str], object] = lambda text: None
        """Raises `Problem` for matchers that cannot be; the alerts room, which knows them, sets it."""
        self.is_check: Callable[[str], bool] = lambda name: False
        """Whether there is a check or heartbeat of a name."""

    async def open(self) -> None:
        """Read the windows back, and forget those that are long over."""
        now = self._clock.now()
        windows = await self._store.all()
        over = [
            w.id for w in windows if w.starts_at is not None and w.starts_at + w.duration_s < now - _KEEP_S
        ]
        if over:
            await self._store.remove(over)
        self._windows = {one.id: one for one in windows if one.id not in over}

    def all(self) -> list[Window]:
        """Every window: open ones first, then by when they open next, those that are over last."""
        now = self._clock.now()

        def rank(one: Window) -> tuple[bool, float, str]:
            coming = self.coming(one, now)
            return coming is None, coming.start if coming else 0.0, one.name

        return sorted(self._windows.values(), key=rank)

    async def add(
        self,
        name: str,
        *,
        duration_s: float,
        checks: list[str],
        matchers: str = "",
        starts: float | str | None = None,
        schedule: str = "",
        zone: str = "UTC",
        by: str = "",
    ) -> Window:
        """Plan work; `starts` is epoch seconds, an ISO 8601 time (in `zone` where it has none) or None
        for now. Raises `Problem`."""
        name, matchers, schedule = name.strip(), matchers.strip(), schedule.strip()
        checks = [one.strip() for one in checks if one.strip()]
        if not 1 <= len(name) <= 100:
            raise bad_input("a maintenance window needs a name of at most 100 characters")
        if not (math.isfinite(duration_s) and 60 <= duration_s <= _LONGEST_S):
            raise bad_input("a maintenance window lasts from a minute to 31 days")
        if not checks and not matchers:
            raise bad_input("a maintenance window needs checks or matchers of alerts", "checks: ['*'] is all")
        if len(checks) > 200 or any(len(one) > 100 for one in checks):
            raise bad_input("at most 200 checks of at most 100 characters")
        if len(self._windows) >= _MOST:
            raise bad_input(f"there are {_MOST} maintenance windows already")
        if matchers:
            self.read_matchers(matchers)
        now = self._clock.now()
        starts_at = None
        if schedule:
            check_schedule(schedule, zone)
        else:
            starts_at = now if starts in (None, "") else _instant(starts, zone)
            if starts_at + duration_s <= now:
                raise bad_input("this maintenance window is over already")
        one = Window(
            id=secrets.token_hex(6),
            name=name,
            checks=checks,
            matchers=matchers,
            starts_at=starts_at,
            duration_s=duration_s,
            schedule=schedule,
            zone=zone,
            made_by=by,
            made_at=now,
        )
        await self._store.add(one)
        self._windows[one.id] = one
        return one

    async def remove(self, window: str) -> None:
        """End and forget a window; what was in maintenance stays so in the history."""
        if window not in self._windows:
            raise not_found("there is no such maintenance window")
        await self._store.remove([window])
        del self._windows[window]
        self._known.pop(window, None)

    def coming(self, one: Window, now: float) -> Occurrence | None:
        """When a window is open now or opens next; None where it is over."""
        return self.current(one, now) or self._next(one, now)

    def current(self, one: Window, now: float) -> Occurrence | None:
        """Since and until when a window is open, or None."""
        known = self._known.get(one.id)
        if known is None or not known.since <= now < known.until:
            known = self._known[one.id] = self._work_out(one, now)
        return known.occurrence

    def _work_out(self, one: Window, now: float) -> _Known:
        began = one.starts_at if one.starts_at is not None else latest(one.schedule, one.zone, now)
        if began is not None and began <= now < began + one.duration_s:
            until = began + one.duration_s
            return _Known(now, until, Occurrence(began, until))
        following_one = self._next(one, now)
        return _Known(now, following_one.start if following_one else math.inf, None)

    def _next(self, one: Window, now: float) -> Occurrence | None:
        start = one.starts_at if one.starts_at is not None else following(one.schedule, one.zone, now)
        return Occurrence(start, start + one.duration_s) if start > now else None

    def covers(self, one: Window, check: str) -> bool:
        """Whether a window is about the check of a name."""
        return any(fnmatch.fnmatchcase(check, pattern) for pattern in one.checks)

    def of_check(self, status: CheckStatus, now: float) -> str:
        """The name of an open window that covers a check, or an empty string."""
        for one in self._windows.values():
            if self.covers(one, status.name) and self.current(one, now) is not None:
                return one.name
        return ""

    def of_alert(
        self, labels: Mapping[str, str], now: float, matches: Callable[[str, Mapping[str, str]], bool]
    ) -> list[Muting]:
        """The open windows that keep an alert quiet; `matches` knows Alertmanager's matchers.

        A window of a check covers the alerts that carry the check's name and kind.
        """
        found = []
        for one in self._windows.values():
            occurrence = self.current(one, now)
            if occurrence is None:
                continue
            name = labels.get("name", "")
            of_check = bool(labels.get("kind")) and self.is_check(name) and self.covers(one, name)
            if of_check or (one.matchers and matches(one.matchers, labels)):
                found.append(Muting(one.name, one.made_by, occurrence.end))
        return found


def _instant(starts: float | str | None, zone: str) -> float:
    if isinstance(starts, int | float):
        if not (math.isfinite(starts) and 0 <= starts < 1e11):
            raise bad_input("starts must be epoch seconds or an ISO 8601 time")
        return float(starts)
    try:
        own = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise bad_input(f"unknown time zone {zone[:60]!r}", "as in Europe/Istanbul") from None
    try:
        found = dt.datetime.fromisoformat(str(starts))
        return (found if found.tzinfo else found.replace(tzinfo=own)).timestamp()
    except (ValueError, OverflowError):
        raise bad_input(f"not a time: {str(starts)[:40]!r}", "as in 2026-12-01T22:00") from None
