"""Jobs that report by themselves: `/ping/<uuid>` and its endings, as healthchecks.io has them.

A job that is late is degraded, and down once its grace is over or it reports a failure. After a
clock jump everybody gets a fresh grace, because the jobs slept too.
"""

from __future__ import annotations

import uuid

from mamimon.clock import Clock
from mamimon.health.ledger import Ledger
from mamimon.health.model import CheckStatus, Heartbeat, Ping
from mamimon.health.monitor import JUMP_S
from mamimon.health.schedule import check, following
from mamimon.health.store import HealthStore
from mamimon.problems import Kind, Problem, bad_input, not_found

BODY_KEPT = 10_000
_LOOK_S = 5.0
_MOST = 1000


class Heartbeats:
    """The heartbeats of one server."""

    def __init__(self, clock: Clock, store: HealthStore, ledger: Ledger) -> None:
        self._clock = clock
        self._store = store
        self._ledger = ledger
        self._beats: dict[str, tuple[Heartbeat, CheckStatus]] = {}

    async def restore(self) -> None:
        """Read the heartbeats back; the time that mamimon was stopped counts for nobody's lateness."""
        last = await self._store.last()
        for beat in await self._store.heartbeats():
            status = self._status(beat)
            self._ledger.take_up(status, last.get(beat.name))
            self._beats[beat.id] = (beat, status)
            self._forgive(beat)

    def _status(self, beat: Heartbeat) -> CheckStatus:
        return CheckStatus(
            name=beat.name,
            kind="heartbeat",
            target=beat.rhythm,
            since=beat.created_at,
            last_at=beat.last_at,
            message="waiting for the first ping",
        )

    def statuses(self) -> list[CheckStatus]:
        """Every heartbeat as it stands."""
        return [status for _, status in self._beats.values()]

    def all(self) -> list[Heartbeat]:
        """Every heartbeat by name."""
        return sorted((beat for beat, _ in self._beats.values()), key=lambda one: one.name.lower())

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
        await self._store.remove_heartbeat(heartbeat)
        await self._ledger.forget(beat.name)

    def _of(self, heartbeat: str) -> tuple[Heartbeat, CheckStatus]:
        found = self._beats.get(heartbeat)
        if found is None:
            raise not_found("there is no such heartbeat")
        return found

    async def ping(self, heartbeat: str, action: str, source: str, body: bytes) -> None:
        """Take one report; `action` is empty, start, fail, log or an exit code."""
        beat, status = self._of(heartbeat)
        kind, exit_code = _read_action(action)
        now = self._clock.now()
        duration_s = None
        if kind == "start":
            beat.started_at = now
        elif kind in {"success", "fail"}:
            duration_s = now - beat.started_at if beat.started_at is not None else None
            beat.started_at, beat.last_at, beat.last_kind = None, now, kind
            beat.due_at = following(beat.schedule, beat.zone, now) if beat.schedule else now + beat.period_s
        text = body[:BODY_KEPT].decode("utf-8", "replace")
        await self._store.save_heartbeat(beat, Ping(now, kind, exit_code, duration_s, source, text))
        if kind == "success":
            status.last_at, status.latency_s = now, duration_s
            await self._ledger.enter(status, "up", "reported success")
        elif kind == "fail":
            status.last_at, status.latency_s = now, duration_s
            code = "" if exit_code is None else f" with exit code {exit_code}"
            await self._ledger.enter(status, "down", f"reported failure{code}")

    async def run(self) -> None:
        """Look who is late, for ever."""
        while True:
            wall, mono = self._clock.now(), self._clock.monotonic()
            await self._clock.sleep(_LOOK_S)
            if abs((self._clock.now() - wall) - (self._clock.monotonic() - mono)) > JUMP_S:
                for beat, status in self._beats.values():
                    self._forgive(beat)
                    if status.state == "up":
                        await self._ledger.enter(
                            status, "unknown", "the clock jumped: were we asleep?", at=wall
                        )
            await self.look()

    def _forgive(self, beat: Heartbeat) -> None:
        if beat.due_at is not None:
            beat.due_at = max(beat.due_at, self._clock.now())

    async def look(self) -> None:
        """Move every heartbeat whose time has come."""
        now = self._clock.now()
        for beat, status in list(self._beats.values()):
            if beat.due_at is None or status.state == "down" or now <= beat.due_at:
                continue
            late = f"expected {beat.rhythm}, last heard {now - (beat.last_at or now):.0f} s ago"
            if now > beat.due_at + beat.grace_s:
                await self._ledger.enter(status, "down", late)
            elif status.state == "up":
                await self._ledger.enter(status, "degraded", late)


def _read_action(action: str) -> tuple[str, int | None]:
    if action in {"start", "fail", "log"}:
        return action, None
    if not action:
        return "success", None
    if action.isascii() and action.isdigit() and int(action) <= 255:
        return ("success" if int(action) == 0 else "fail"), int(action)
    raise not_found("the ending must be start, fail, log or an exit code from 0 to 255")
