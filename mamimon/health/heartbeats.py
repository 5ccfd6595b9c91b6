"""Jobs that report by themselves: `/ping/<uuid>` and its endings, as healthchecks.io has them.

A job that is late is degraded, and down once its grace is over, it reports a failure, or it started
and has not ended within its grace. After a clock jump everybody gets a fresh grace, because the jobs
slept too; and after a time when we could not store their pings, because then the silence is ours.
"""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import Callable

from mamimon.clock import Clock
from mamimon.health.ledger import Ledger
from mamimon.health.model import CheckStatus, Heartbeat, Ping
from mamimon.health.monitor import JUMP_S
from mamimon.health.said import Said, said
from mamimon.health.schedule import check, following
from mamimon.health.store import HealthStore
from mamimon.problems import Kind, Problem, bad_input, not_found, unavailable

BODY_KEPT = 10_000
_LOOK_S = 5.0
_MOST = 1000
_MOST_RUNS = 20
"""Runs of one job, told apart by `rid`, that may be under way."""


class Heartbeats:
    """The heartbeats of one server."""

    def __init__(
        self, clock: Clock, store: HealthStore, ledger: Ledger, writable: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._store = store
        self._ledger = ledger
        self._writable = writable
        self._beats: dict[str, tuple[Heartbeat, CheckStatus]] = {}
        self._runs: dict[str, dict[str, float]] = {}
        self._patient_until: dict[str, float] = {}
        """Since when somebody's lateness counts anew, by heartbeat."""

    async def restore(self) -> None:
        """Read the heartbeats back; the time that mamimon was stopped counts for nobody's lateness."""
        last = await self._store.last()
        for beat in await self._store.heartbeats():
            status = self._status(beat)
            self._ledger.take_up(status, last.get(beat.name))
            self._beats[beat.id] = (beat, status)
            self._forgive(beat)

    def _status(self, beat: Heartbeat) -> CheckStatus:
        status = CheckStatus(
            name=beat.name,
            kind="heartbeat",
            target=beat.rhythm,
            since=beat.created_at,
            last_at=beat.last_at,
        )
        status.tell(said("waiting for the first ping"))
        return status

    def statuses(self) -> list[CheckStatus]:
        """Every heartbeat as it stands."""
        return [status for _, status in self._beats.values()]

    def all(self) -> list[Heartbeat]:
        """Every heartbeat by name."""
        return sorted((beat for beat, _ in self._beats.values()), key=lambda one: one.name.lower())

    def free_name(self) -> str:
        """A name for a heartbeat that was given none."""
        taken = {beat.name for beat, _ in self._beats.values()}
        return next(name for number in itertools.count(1) if (name := f"job {number}") not in taken)

    async def add(
        self,
        name: str,
        period_s: float,
        grace_s: float,
        taken: set[str],
        *,
        schedule: str = "",
        zone: str = "UTC",
    ) -> Heartbeat:
        """Make a heartbeat; raises `Problem` for a name in use or a time that cannot be.

        With a `schedule` (a cron expression, read in `zone`) the period does not matter.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100:
            raise bad_input("a heartbeat needs a name of at most 100 characters")
        if not 1 <= period_s <= 366 * 86_400 or not 0 <= grace_s <= 366 * 86_400:
            raise bad_input("period_s must be from 1 to 31622400, grace_s from 0 to 31622400")
        if name in taken or any(beat.name == name for beat, _ in self._beats.values()):
            raise Problem(Kind.CONFLICT, f"there is a check or heartbeat named {name!r} already")
        if len(self._beats) >= _MOST:
            raise bad_input(f"there are {_MOST} heartbeats already")
        if schedule:
            check(schedule, zone)
        beat = Heartbeat(
            str(uuid.uuid4()), name, period_s, grace_s, self._clock.now(), schedule=schedule, zone=zone
        )
        await self._store.save_heartbeat(beat)
        self._beats[beat.id] = (beat, self._status(beat))
        return beat

    async def remove(self, heartbeat: str) -> None:
        """Remove a heartbeat and its history."""
        beat, _ = self._of(heartbeat)
        del self._beats[heartbeat]
        self._runs.pop(heartbeat, None)
        self._patient_until.pop(heartbeat, None)
        await self._store.remove_heartbeat(heartbeat)
        await self._ledger.forget(beat.name)

    def get(self, heartbeat: str) -> Heartbeat:
        """One heartbeat; raises `Problem` where there is none of that id."""
        return self._of(heartbeat)[0]

    def _of(self, heartbeat: str) -> tuple[Heartbeat, CheckStatus]:
        found = self._beats.get(heartbeat)
        if found is None:
            raise not_found("there is no such heartbeat")
        return found

    async def ping(self, heartbeat: str, action: str, source: str, body: bytes, run: str = "") -> None:
        """Take one report; `action` is empty, start, fail, log or an exit code, `run` tells runs apart."""
        beat, status = self._of(heartbeat)
        kind, exit_code = _read_action(action)
        now = self._clock.now()
        duration_s = self._measure(beat, kind, run, now)
        text = body[:BODY_KEPT].decode("utf-8", "replace")
        try:
            await self._store.save_heartbeat(beat, Ping(now, kind, exit_code, duration_s, source, text))
        except (Problem, sqlite3.Error) as error:
            await self._blame_us(beat, status)
            raise unavailable(f"the ping could not be stored: {error}") from error
        if kind == "success":
            status.last_at, status.latency_s = now, duration_s
            await self._ledger.enter(status, "up", said("reported success"))
        elif kind == "fail":
            status.last_at, status.latency_s = now, duration_s
            words = said("reported failure")
            if exit_code is not None:
                words = said("reported failure with exit code %(code)s", code=exit_code)
            await self._ledger.enter(status, "down", words)

    def _measure(self, beat: Heartbeat, kind: str, run: str, now: float) -> float | None:
        """Note a start or an end; returns how long the run took that ended."""
        runs = self._runs.setdefault(beat.id, {})
        if kind == "start":
            beat.started_at = now
            if run:
                if len(runs) >= _MOST_RUNS:
                    del runs[next(iter(runs))]
                runs[run] = now
        elif kind in {"success", "fail"}:
            began = runs.pop(run, None) if run else beat.started_at
            # Another run may still be under way: its start goes on to count.
            beat.started_at = max(runs.values(), default=None) if run else None
            beat.last_at, beat.last_kind = now, kind
            beat.due_at = following(beat.schedule, beat.zone, now) if beat.schedule else now + beat.period_s
            return now - began if began is not None else None
        return None

    async def run(self) -> None:
        """Look who is late, for ever."""
        while True:
            wall, mono = self._clock.now(), self._clock.monotonic()
            await self._clock.sleep(_LOOK_S)
            if abs((self._clock.now() - wall) - (self._clock.monotonic() - mono)) > JUMP_S:
                for beat, status in self._beats.values():
                    self._forgive(beat)
                    if status.found == "up":
                        words = said("the clock jumped: was this machine asleep?")
                        await self._ledger.enter(status, "unknown", words, at=wall)
            await self.look()

    def _forgive(self, beat: Heartbeat) -> None:
        now = self._patient_until[beat.id] = self._clock.now()
        if beat.due_at is not None:
            beat.due_at = max(beat.due_at, now)

    async def _blame_us(self, beat: Heartbeat, status: CheckStatus) -> None:
        self._forgive(beat)
        await self._ledger.enter(status, "unknown", said("mamimon cannot store pings"))

    async def look(self) -> None:
        """Move every heartbeat whose time has come."""
        now = self._clock.now()
        for beat, status in list(self._beats.values()):
            rested = status.state == "maintenance"
            await self._ledger.follow(status)
            if rested or status.state == "maintenance":
                self._forgive(beat)
            if status.state == "maintenance":
                continue
            if status.found == "down":
                continue
            late, over = self._lateness(beat, now)
            if not late:
                continue
            if not self._writable():
                await self._blame_us(beat, status)
            elif over:
                await self._ledger.enter(status, "down", late)
            elif status.found == "up":
                await self._ledger.enter(status, "degraded", late)

    def _lateness(self, beat: Heartbeat, now: float) -> tuple[Said | None, bool]:
        """What to say of a heartbeat that is late, and whether its grace is over."""
        if beat.started_at is not None:
            began = max(beat.started_at, self._patient_until.get(beat.id, 0.0))
            if now > began + beat.grace_s:
                ago = f"{now - beat.started_at:.0f}"
                return said("started %(seconds)s s ago and has not ended", seconds=ago), True
        if beat.due_at is None or now <= beat.due_at:
            return None, False
        silent = f"{now - (beat.last_at or now):.0f}"
        late = said("late: last heard %(seconds)s s ago", seconds=silent)
        return late, now > beat.due_at + beat.grace_s


def _read_action(action: str) -> tuple[str, int | None]:
    if action in {"start", "fail", "log"}:
        return action, None
    if not action:
        return "success", None
    if action.isascii() and action.isdigit() and int(action) <= 255:
        return ("success" if int(action) == 0 else "fail"), int(action)
    raise not_found("the ending must be start, fail, log or an exit code from 0 to 255")
