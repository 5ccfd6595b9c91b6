"""Evaluates rule groups on their interval and keeps every alert's state in a row.

An evaluation asks the series back end, advances the states (`states`), writes what changed in one
transaction (synchronous=FULL) and only then hands firing and resolved alerts on and appends
`ALERTS`, `ALERTS_FOR_STATE` and recording results to the series. When the back end fails, states
stay as they are: a broken query never says that all is well.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from mamimon.alerts import states, store
from mamimon.alerts.evaluate import Ask, Recorded, alerting, recording
from mamimon.alerts.model import ActiveAlert, Alert, Labels, LineCount, Rule, RuleGroup, fingerprint
from mamimon.clock import rest

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import SeriesBackend
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.alerts")
HOLD_S = 60.0
JUMP_S = 5.0
EARLY_GAP_S = 2.0
EARLY_SHARE = 0.05


Append = Callable[[str, float, Sequence[Recorded]], Awaitable[None]]
Deliver = Callable[[Sequence[Alert]], Awaitable[None]]
Count = Callable[[LineCount, float], Awaitable[list[tuple[Labels, float]]]]


class Engine:
    """The rule groups, their states and the tasks that evaluate them."""

    def __init__(
        self,
        core: Core,
        backend: Callable[[], SeriesBackend],
        append: Append,
        deliver: Deliver,
        external_labels: Callable[[], Labels],
        count: Count,
    ) -> None:
        self._core = core
        self._clock = core.clock
        self._backend = backend
        self._append = append
        self._deliver = deliver
        self._external = external_labels
        self._count = count
        self.groups: list[RuleGroup] = []
        self.states: dict[str, dict[str, ActiveAlert]] = {}
        self._wrote: set[str] = set()
        self._hold_until = 0.0
        self._changed = asyncio.Event()
        self._skew = 0.0
        self._fresh = asyncio.Event()

    async def open(self, groups: list[RuleGroup]) -> None:
        """Take the groups and read the states back; alerts of rules that are gone are over."""
        loaded = await self._core.state.read(store.load_rule_alerts)
        self.states = loaded
        self._skew = self._clock.now() - self._clock.monotonic()
        self._hold(HOLD_S)
        self.groups = groups
        self._wrote = _sources(groups)

    def _hold(self, seconds: float) -> None:
        self._hold_until = self._clock.now() + seconds

    async def replace(self, groups: list[RuleGroup]) -> None:
        """Use other rules from now on."""
        old = {group.key: group for group in self.groups}
        for group in groups:
            before = old.get(group.key)
            for rule in group.rules if before else []:
                for other in before.rules if before else []:
                    if (other.name, other.expr, other.labels) == (rule.name, rule.expr, rule.labels):
                        rule.health, rule.error = other.health, other.error
                        rule.evaluated_at, rule.took_s = other.evaluated_at, other.took_s
        self.groups = groups
        await self.retire()
        for source in sorted(self._wrote - _sources(groups)):
            await self._write_series(source, self._clock.now(), [])
        self._changed.set()

    async def retire(self) -> None:
        """End the alerts of rules that no file has any more."""
        known = {group.rule_key(rule) for group in self.groups for rule in group.rules}
        orphans = [rule for rule in self.states if rule not in known]
        ended: list[Alert] = []
        gone: list[tuple[str, str]] = []
        now = self._clock.now()
        for rule in orphans:
            for one in self.states[rule].values():
                gone.append((rule, one.fingerprint))
                if one.state == "firing":
                    ended.append(self._alert(one, "", ends_at=now))
        if gone:
            await self._core.state.write(lambda raw: store.put_rule_alerts(raw, [], gone))
        for rule in orphans:
            del self.states[rule]
        if ended:
            await self._deliver(ended)

    async def run(self) -> None:
        """Evaluate every group on its interval until cancelled; a change of rules starts over."""
        await self.retire()
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as tasks:
                loops = [tasks.create_task(self._keep(group)) for group in self.groups]
                await self._changed.wait()
                for loop in loops:
                    loop.cancel()

    def samples_came(self) -> None:
        """Judge again soon: there is something new to judge by."""
        self._fresh.set()
        self._fresh = asyncio.Event()

    async def _keep(self, group: RuleGroup) -> None:
        # Groups are spread over their interval, the same way at every start.
        spread = zlib.crc32(group.key.encode()) % 1000 / 1000
        await self._clock.sleep(group.interval_s * (0.2 + 0.6 * spread))
        following = self._clock.monotonic()
        while True:
            self._notice_jumps()
            fresh = self._fresh
            try:
                await self.evaluate(group, self._clock.now())
            except Exception:
                _log.exception("evaluating group %s failed", group.name)
            following += group.interval_s
            behind = self._clock.monotonic() - following
            if behind > 0:
                following += (behind // group.interval_s + 1) * group.interval_s
            await self._until(following, group, fresh)

    async def _until(self, turn: float, group: RuleGroup, fresh: asyncio.Event) -> None:
        """Sleep until the group's `turn`; in between judge its alerts when samples came.

        A scrape and an interval that follow each other blindly add up to half a minute before anybody
        is told. Recording rules keep their interval; all groups together may take `EARLY_SHARE` of the time.
        `fresh` is set by samples since the last look began, those during it and the gap after it too.
        """
        if not any(rule.alerting for rule in group.rules):
            await self._clock.sleep(turn - self._clock.monotonic())
            return
        while (left := turn - self._clock.monotonic()) > 0:
            if not await rest(self._clock, left, fresh):
                return
            gap = max(EARLY_GAP_S, sum(one.took_s for one in self.groups) / EARLY_SHARE)
            left = turn - self._clock.monotonic()
            if left <= gap:
                await self._clock.sleep(left)
                return
            fresh = self._fresh
            try:
                await self.evaluate(group, self._clock.now(), early=True)
            except Exception:
                _log.exception("evaluating group %s failed", group.name)
            await self._clock.sleep(min(gap, max(0.0, turn - self._clock.monotonic())))

    def _notice_jumps(self) -> None:
        """After a sleep or a clock correction, pending alerts keep the time they had already waited."""
        skew = self._clock.now() - self._clock.monotonic()
        jump, self._skew = skew - self._skew, skew
        if abs(jump) < JUMP_S:
            return
        # Set back, the clock has to pass the newest samples again before there are new ones to judge by.
        hold_s = HOLD_S + max(0.0, -jump)
        _log.warning("the wall clock moved by %.0f s; alerts are held for %.0f s", jump, hold_s)
        self._hold(hold_s)
        for alerts in self.states.values():
            for one in alerts.values():
                if one.state == "pending" or jump < 0:
                    one.active_at += jump

    async def evaluate(self, group: RuleGroup, now: float, *, early: bool = False) -> None:
        """Evaluate every rule of a group at one instant; `early` only its alerts, and writes no series."""
        began = self._clock.monotonic()
        at = now - group.query_offset_s

        async def ask(expr: str) -> QueryResult:
            return await self._backend().instant(expr, at, timeout_s=group.interval_s)

        changed: list[tuple[str, ActiveAlert]] = []
        gone: list[tuple[str, str]] = []
        told: list[Alert] = []
        for rule in group.rules:
            if early and not rule.alerting:
                continue
            start = self._clock.monotonic()
            try:
                if rule.lines is not None and not early:
                    counted = await self._count(rule.lines, at)
                    await self._write_series(_source(group, rule), at, counted)
                if rule.alerting:
                    key = group.rule_key(rule)
                    new, ended = await self._alerting(group, rule, ask, now)
                    changed.extend((key, one) for one in new)
                    gone.extend((key, one) for one in ended)
                    told.extend(self._told(rule, new))
                else:
                    # Rules further down may read what this one recorded.
                    made = await recording(group, rule, ask)
                    await self._write_series(_source(group, rule), at, made)
                rule.health, rule.error = "ok", ""
            except Exception as error:
                rule.health, rule.error = "err", str(error)[:500] or type(error).__name__
            rule.evaluated_at, rule.took_s = now, self._clock.monotonic() - start
        await self._keep_states(changed, gone)
        if told:
            await self._deliver(told)
        if early:
            return
        group.evaluated_at, group.took_s = now, self._clock.monotonic() - began
        await self._write_series(f"rules:{group.key}", at, self._alert_series(group))

    async def _alerting(
        self, group: RuleGroup, rule: Rule, ask: Ask, now: float
    ) -> tuple[list[ActiveAlert], list[str]]:
        found = await alerting(group, rule, ask, self._external(), self._core.base_url)
        had = self.states.get(group.rule_key(rule), {})
        return states.advance(rule, had, found, now, hold=now < self._hold_until)

    async def _keep_states(self, changed: list[tuple[str, ActiveAlert]], gone: list[tuple[str, str]]) -> None:
        # A value that moved is not worth an fsync; a state, a start or an end is.
        worth = [
            (rule, one)
            for rule, one in changed
            if _fixed(self.states.get(rule, {}).get(one.fingerprint)) != _fixed(one)
        ]
        if worth or gone:
            await self._core.state.write(lambda raw: store.put_rule_alerts(raw, worth, gone))
        for rule, one in changed:
            self.states.setdefault(rule, {})[one.fingerprint] = one
        for rule, key in gone:
            self.states[rule].pop(key, None)

    def _told(self, rule: Rule, changed: Sequence[ActiveAlert]) -> list[Alert]:
        return [
            self._alert(one, rule.expr, ends_at=one.resolved_at or None)
            for one in changed
            if one.state == "firing" or one.resolved_at
        ]

    def _alert(self, one: ActiveAlert, expr: str, ends_at: float | None) -> Alert:
        labels = {**self._external(), **one.labels}
        return Alert(
            fingerprint=fingerprint(labels),
            labels=labels,
            annotations=one.annotations,
            starts_at=one.fired_at,
            ends_at=ends_at,
            updated_at=self._clock.now(),
            generator_url=f"{self._core.base_url}/graph?query={quote(expr)}",
            source=expr,
        )

    def _alert_series(self, group: RuleGroup) -> list[Recorded]:
        """ALERTS and ALERTS_FOR_STATE of a group's alerts."""
        out: list[Recorded] = []
        for rule in group.rules:
            for one in self.states.get(group.rule_key(rule), {}).values():
                if one.state != "inactive":
                    out.append(({**one.labels, "__name__": "ALERTS", "alertstate": one.state}, 1.0))
                    out.append(({**one.labels, "__name__": "ALERTS_FOR_STATE"}, float(int(one.active_at))))
        return out

    async def _write_series(self, source: str, at: float, samples: Sequence[Recorded]) -> None:
        """The whole state of a source, so what is absent has ended."""
        if samples or source in self._wrote:
            await self._append(source, at, samples)
        self._wrote.add(source) if samples else self._wrote.discard(source)

    def firing(self) -> list[tuple[Rule, RuleGroup, ActiveAlert]]:
        """Every pending or firing alert with its rule."""
        return [
            (rule, group, one)
            for group in self.groups
            for rule in group.rules
            for one in self.states.get(group.rule_key(rule), {}).values()
            if one.state != "inactive"
        ]


def _source(group: RuleGroup, rule: Rule) -> str:
    """The name under which what a rule records or counts is kept."""
    return f"rules:{group.key};{group.rule_key(rule)}"


def _sources(groups: Sequence[RuleGroup]) -> set[str]:
    own = {f"rules:{group.key}" for group in groups}
    made = [(g, rule) for g in groups for rule in g.rules if not rule.alerting or rule.lines is not None]
    return own | {_source(group, rule) for group, rule in made}


def _fixed(one: ActiveAlert | None) -> tuple[object, ...]:
    if one is None:
        return ()
    return (one.state, one.active_at, one.fired_at, one.resolved_at, one.keep_since)
