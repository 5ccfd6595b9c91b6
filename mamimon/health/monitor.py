"""Runs the checks on the clock and keeps their states.

A state changes to "down" after `retries` further failures; after a clock jump (a suspended
machine) it is "unknown" until the target was seen again, and the first failure after waking does
not count, because the network wakes later than we do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.clock import Clock
from mamimon.config_checks import CheckSettings
from mamimon.health.model import Change, CheckStatus, Finding, State, shown_target
from mamimon.health.probes import probe
from mamimon.health.store import HealthStore
from mamimon.problems import Problem

_log = logging.getLogger("mamimon.health")
JUMP_S = 15.0
_LEVEL = {"up": logging.INFO, "degraded": logging.WARNING, "down": logging.ERROR, "unknown": logging.WARNING}


class _Life(msgspec.Struct):
    """What is remembered of a check between runs."""

    check: CheckSettings
    status: CheckStatus
    interval_s: float
    timeout_s: float
    failures: int = 0
    waking: bool = False
    recorded: bool = False
    runs: int = 0
    failed: int = 0


class Monitor(Collector):
    """The checks of one server; also the collector of their metrics."""

    def __init__(self, clock: Clock, store: HealthStore) -> None:
        self._clock = clock
        self._store = store
        self._lives: dict[str, _Life] = {}

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
                message="not checked yet",
            )
            if before is not None:
                status.state, status.message = before.state, before.message
                status.last_at = seen.get(check.name)
            life = _Life(check, status, interval_s, timeout_s, recorded=before is not None)
            self._lives[check.name] = life
            if before is not None and before.state != "unknown":
                gone = min(seen.get(check.name, before.at), now)
                if now - gone > max(JUMP_S, 2 * interval_s):
                    await self._enter(life, "unknown", "mamimon was not running", at=gone)

    def statuses(self) -> list[CheckStatus]:
        """Every check as it stands, the worst first, then by name."""
        order: dict[State, int] = {"down": 0, "degraded": 1, "unknown": 2, "up": 3}
        return sorted(
            (life.status for life in self._lives.values()), key=lambda s: (order[s.state], s.name.lower())
        )

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

    async def once(self, name: str) -> CheckStatus:
        """Check now and return the state that makes."""
        life = self._lives[name]
        wall, mono = self._clock.now(), self._clock.monotonic()
        finding = await probe(life.check, life.timeout_s)
        if not self._jumped(wall, mono):
            await self._judge(life, finding)
        return life.status

    def _jumped(self, wall: float, mono: float) -> bool:
        return abs((self._clock.now() - wall) - (self._clock.monotonic() - mono)) > JUMP_S

    async def _note_jump(self, life: _Life, wall: float, mono: float) -> None:
        if self._jumped(wall, mono) and not life.waking:
            life.waking, life.failures = True, 0
            await self._enter(
                life,
                "unknown",
                "the clock jumped: was this machine asleep?",
                at=min(life.status.last_at or wall, self._clock.now()),
            )

    async def _judge(self, life: _Life, finding: Finding) -> None:
        status, now = life.status, self._clock.now()
        life.runs += 1
        status.last_at, status.latency_s, status.message = now, finding.latency_s, finding.message
        if finding.state != "down":
            life.failures, life.waking = 0, False
            await self._enter(life, finding.state, finding.message)
            return
        life.failed += 1
        if life.waking:
            life.waking = False
            return
        life.failures += 1
        if life.failures > life.check.retries:
            await self._enter(life, "down", finding.message)
        elif status.state != "down":
            status.message = f"{finding.message} (failure {life.failures} of {life.check.retries + 1})"

    async def _enter(self, life: _Life, state: State, message: str, *, at: float | None = None) -> None:
        status = life.status
        status.message = message
        if status.state == state and life.recorded:
            return
        was, status.state = status.state, state
        status.since = at = self._clock.now() if at is None else at
        _log.log(
            _LEVEL[state], "check %s (%s) is %s, was %s: %s", status.name, status.kind, state, was, message
        )
        try:
            await self._store.add(status.name, [Change(at, state, message)])
        except Problem as problem:
            _log.warning("the change of check %s is kept in memory only: %s", status.name, problem)
        life.recorded = True

    async def save(self) -> None:
        """Write down when the checks last ran."""
        lives = self._lives.items()
        seen = {name: life.status.last_at for name, life in lives if life.status.last_at is not None}
        if seen:
            await self._store.see(seen)

    def describe(self) -> Iterable[Metric]:
        """No description ahead of time: the checks are known only after `restore`."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The states as metrics; a check whose state is unknown has no `mamimon_check_up` sample."""
        labels = ["name", "kind"]
        up = GaugeMetricFamily(
            "mamimon_check_up", "1 up or degraded, 0 down; absent: unknown.", labels=labels
        )
        slow = GaugeMetricFamily("mamimon_check_degraded", "1 while the check is degraded.", labels=labels)
        took = GaugeMetricFamily("mamimon_check_duration_seconds", "Time of the last run.", labels=labels)
        runs = CounterMetricFamily("mamimon_check_runs", "Runs of the check.", labels=labels)
        failed = CounterMetricFamily("mamimon_check_failures", "Runs that failed.", labels=labels)
        for life in self._lives.values():
            status = life.status
            values = [status.name, status.kind]
            if status.state != "unknown":
                up.add_metric(values, 0.0 if status.state == "down" else 1.0)
                slow.add_metric(values, 1.0 if status.state == "degraded" else 0.0)
            if status.latency_s is not None:
                took.add_metric(values, status.latency_s)
            runs.add_metric(values, life.runs)
            failed.add_metric(values, life.failed)
        yield from (up, slow, took, runs, failed)
