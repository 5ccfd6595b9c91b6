"""Runs the checks on the clock and keeps their states.

A state changes to "down" after `retries` further failures; after a clock jump (a suspended
machine) it is "unknown" until the target was seen again, and the first failure after waking does
not count, because the network wakes later than we do.
"""

from __future__ import annotations

import msgspec

from mamimon.clock import Clock
from mamimon.config_checks import CheckSettings
from mamimon.health.ledger import Ledger
from mamimon.health.model import CheckStatus, Finding, shown_target
from mamimon.health.probes import probe
from mamimon.health.probes.outcome import Look
from mamimon.health.said import said
from mamimon.health.store import HealthStore
from mamimon.health.trend import Trend

JUMP_S = 15.0
_LOOK_S = 5.0


class _Life(msgspec.Struct):
    """What is remembered of a check between runs."""

    check: CheckSettings
    status: CheckStatus
    interval_s: float
    timeout_s: float
    failures: int = 0
    waking: bool = False
    runs: int = 0
    failed: int = 0
    last: Finding | None = None
    trend: Trend = msgspec.field(default_factory=Trend)


class Figures(msgspec.Struct, frozen=True):
    """A check for the metrics: as it stands, how often it ran and failed, and what the last run found."""

    status: CheckStatus
    runs: int = 0
    failed: int = 0
    last: Finding | None = None


class Monitor:
    """The checks of one server."""

    def __init__(self, clock: Clock, store: HealthStore, ledger: Ledger) -> None:
        self._clock = clock
        self._store = store
        self._ledger = ledger
        self._lives: dict[str, _Life] = {}
        self._busy: set[str] = set()

    async def restore(self, checks: list[tuple[CheckSettings, float, float]]) -> None:
        """Take over checks with their interval and timeout (seconds), and where each stood before.

        The time between the last run and now, when nobody looked, is recorded as unknown.
        """
        last, seen = await self._store.last(), await self._store.seen()
        now = self._clock.now()
        for check, interval_s, timeout_s in checks:
            before = last.get(check.name)
            status = CheckStatus(
                name=check.name,
                kind=check.kind,
                target=shown_target(check.target),
                since=before.at if before else now,
                on_status_page=check.on_status_page,
                alert_on=check.alerts_on,
            )
            status.tell(said("not checked yet"))
            self._ledger.take_up(status, before)
            if before is not None:
                status.last_at = seen.get(check.name)
            life = _Life(check, status, interval_s, timeout_s)
            self._lives[check.name] = life
            if before is not None and before.state not in {"unknown", "maintenance"}:
                gone = min(seen.get(check.name, before.at), now)
                if now - gone > max(JUMP_S, 2 * interval_s):
                    await self._ledger.enter(life.status, "unknown", said("mamimon was not running"), at=gone)

    def statuses(self) -> list[CheckStatus]:
        """Every check as it stands."""
        return [life.status for life in self._lives.values()]

    def names(self) -> list[str]:
        """The checks in the order they were configured."""
        return list(self._lives)

    async def run(self, name: str) -> None:
        """Check at every interval, for ever."""
        life = self._lives[name]
        while True:
            wall, mono = self._clock.now(), self._clock.monotonic()
            await self.once(name)
            await self._note_jump(life, wall, mono)
            await self._clock.sleep(max(0.1, life.interval_s - (self._clock.monotonic() - mono)))
            await self._note_jump(life, wall, mono)

    async def follow_maintenance(self) -> None:
        """Show the beginning and the end of maintenance when it comes, not only at the next run."""
        while True:
            await self._clock.sleep(_LOOK_S)
            for life in self._lives.values():
                await self._ledger.follow(life.status)

    async def once(self, name: str) -> CheckStatus:
        """Check now and return the state that makes."""
        life = self._lives[name]
        wall, mono = self._clock.now(), self._clock.monotonic()
        finding = await probe(life.check, life.timeout_s, Look(wall, life.trend, self._busy))
        if not self._jumped(wall, mono):
            await self._judge(life, finding)
        return life.status

    def _jumped(self, wall: float, mono: float) -> bool:
        return abs((self._clock.now() - wall) - (self._clock.monotonic() - mono)) > JUMP_S

    async def _note_jump(self, life: _Life, wall: float, mono: float) -> None:
        if self._jumped(wall, mono) and not life.waking:
            life.waking, life.failures = True, 0
            await self._ledger.enter(
                life.status,
                "unknown",
                said("the clock jumped: was this machine asleep?"),
                at=min(life.status.last_at or wall, self._clock.now()),
            )

    async def _judge(self, life: _Life, finding: Finding) -> None:
        status, now = life.status, self._clock.now()
        life.runs += 1
        life.last = finding
        status.last_at, status.latency_s = now, finding.latency_s
        status.tell(finding.said)
        if finding.state != "down":
            life.failures, life.waking = 0, False
            await self._ledger.enter(status, finding.state, finding.said)
            return
        life.failed += 1
        if life.waking:
            life.waking = False
            return
        life.failures += 1
        if life.failures > life.check.retries:
            await self._ledger.enter(status, "down", finding.said)
        elif status.found != "down":
            tries = said("failure %(count)s of %(most)s", count=life.failures, most=life.check.retries + 1)
            status.tell(finding.said.also(tries))

    async def save(self) -> None:
        """Write down when the checks last ran."""
        lives = self._lives.items()
        seen = {name: life.status.last_at for name, life in lives if life.status.last_at is not None}
        if seen:
            await self._store.see(seen)

    def figures(self) -> list[Figures]:
        """Each check for the metrics."""
        return [Figures(one.status, one.runs, one.failed, one.last) for one in self._lives.values()]
