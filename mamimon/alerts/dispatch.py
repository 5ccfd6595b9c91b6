"""From alerts to notification intents: routing, grouping, inhibition, silences, repeats.

Follows Alertmanager: a group waits `group_wait` before its first message, `group_interval` before a
changed one and `repeat_interval` before the same again. The decision, the incident and the intents
are one transaction; sending is `delivery`'s.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from mamimon.alerts import incidents, notification_store, store
from mamimon.alerts.model import Alert, Incident, Labels, Message
from mamimon.alerts.routing import Route, Routing, Target, group_key
from mamimon.alerts.silences import Silences, inhibitors

if TYPE_CHECKING:
    from mamimon.health.maintenance import Muting
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.alerts")
MAX_ALERTS = 50_000
IN_MESSAGE = 500


class Group(msgspec.Struct, kw_only=True):
    """Alerts of one route that are told together, and what was last told of them."""

    key: str
    route: str
    receiver: str
    labels: Labels
    flush_at: float
    notified_at: float | None = None
    firing: list[str] = []
    resolved: list[str] = []
    incident: int | None = None
    members: list[str] = []


class Status(msgspec.Struct):
    """Why an alert is or is not told."""

    silenced_by: list[str]
    inhibited_by: list[str]
    muted_by: list[str]

    @property
    def suppressed(self) -> bool:
        """Whether it is kept quiet."""
        return bool(self.silenced_by or self.inhibited_by or self.muted_by)


class Dispatcher:
    """Every routed alert and its groups."""

    def __init__(self, core: Core, routing: Callable[[], Routing], woken: Callable[[], None]) -> None:
        self._core = core
        self._clock = core.clock
        self._routing = routing
        self._woken = woken
        self._turn = asyncio.Lock()
        self.alerts: dict[str, Alert] = {}
        self.groups: dict[str, Group] = {}
        self.silences = Silences()
        self.maintenance: Callable[[Labels, float], list[Muting]] = lambda labels, now: []
        """The windows of planned work that keep an alert quiet."""

    async def open(self) -> None:
        """Read alerts, groups and silences back."""
        alerts, groups, silences = await self._core.state.read(
            lambda raw: (store.load_alerts(raw), store.load_groups(raw, Group), store.load_silences(raw))
        )
        self.alerts = {one.fingerprint: one for one in alerts}
        self.groups = {one.key: one for one in groups}
        self.silences = Silences(silences)

    async def put(self, alerts: Sequence[Alert]) -> None:
        """Take new states of alerts; they are rows when this returns."""
        async with self._turn:
            now = self._clock.now()
            fresh: dict[str, Alert] = {}
            for alert in alerts:
                merged = self._merge(
                    fresh.get(alert.fingerprint) or self.alerts.get(alert.fingerprint), alert, now
                )
                if merged is not None:
                    fresh[alert.fingerprint] = merged
            if not fresh:
                return
            if len(self.alerts) + len(fresh) > MAX_ALERTS:
                raise ValueError(f"there are more than {MAX_ALERTS} alerts")
            groups = self._join(fresh.values(), now)
            await self._core.state.write(lambda raw: _put(raw, list(fresh.values()), groups))
            self.alerts.update(fresh)
            self.groups.update({one.key: one for one in groups})
        self._woken()

    def _merge(self, old: Alert | None, new: Alert, now: float) -> Alert | None:
        """The alert to keep, or None where nothing changes."""
        if old is None or old.resolved(now):
            return None if new.resolved(now) and old is None else new
        starts = min(old.starts_at, new.starts_at) if not new.resolved(now) else old.starts_at
        merged = msgspec.structs.replace(new, starts_at=starts)
        same = (old.annotations, old.ends_at, old.starts_at) == (new.annotations, new.ends_at, starts)
        return None if same else merged

    def _join(self, alerts: Iterable[Alert], now: float) -> list[Group]:
        """Put alerts into the groups of their routes; returns copies of the groups that change."""
        routing = self._routing()
        changed: dict[str, Group] = {}
        for alert in alerts:
            for route in routing.route.match(alert.labels):
                labels = route.group(alert.labels)
                key = group_key(route, labels)
                group = changed.get(key) or self.groups.get(key)
                if group is None:
                    if alert.resolved(now):
                        continue
                    waited = alert.starts_at + route.group_wait_s < now
                    group = Group(
                        key=key,
                        route=route.id,
                        receiver=route.receiver,
                        labels=labels,
                        flush_at=now if waited else now + route.group_wait_s,
                    )
                elif key not in changed:
                    group = msgspec.structs.replace(group, members=list(group.members))
                if alert.fingerprint not in group.members:
                    group.members.append(alert.fingerprint)
                changed[key] = group
        return list(changed.values())

    async def shift(self, seconds: float) -> None:
        """Move every timer, groups' and incidents', by a correction of the wall clock."""
        async with self._turn:
            moved = [
                msgspec.structs.replace(
                    one,
                    flush_at=one.flush_at + seconds,
                    notified_at=None if one.notified_at is None else one.notified_at + seconds,
                )
                for one in self.groups.values()
            ]

            def work(raw: sqlite3.Connection) -> None:
                store.shift_timers(raw, seconds)
                for one in moved:
                    store.put_group(raw, one.key, one)

            await self._core.state.write(work)
            self.groups = {one.key: one for one in moved}

    def next_due(self) -> float | None:
        """When the next group is to be looked at."""
        return min((one.flush_at for one in self.groups.values()), default=None)

    async def flush_due(self) -> None:
        """Look at every group whose time has come."""
        now = self._clock.now()
        for group in sorted(self.groups.values(), key=lambda one: one.flush_at):
            if group.flush_at > now:
                break
            async with self._turn:
                if group.key in self.groups:
                    await self._flush(self.groups[group.key], now)

    def status(self, alert: Alert, route: Route | None = None) -> Status:
        """Whether and why an alert is kept quiet now."""
        now = self._clock.now()
        routing = self._routing()
        firing = self.firing() if routing.inhibitions else []
        return Status(
            self.silences.hiding(alert.labels, now),
            inhibitors(alert, routing.inhibitions, firing),
            [one.name for one in self.maintenance(alert.labels, now)]
            + (routing.muted_by(route, now) if route else []),
        )

    def firing(self) -> list[Alert]:
        """Routed alerts that are not over."""
        now = self._clock.now()
        return [one for one in self.alerts.values() if not one.resolved(now)]

    async def _flush(self, group: Group, now: float) -> None:
        routing = self._routing()
        route = routing.find(group.route)
        members = [self.alerts[key] for key in group.members if key in self.alerts]
        new = msgspec.structs.replace(group, flush_at=now + (route.group_interval_s if route else 300.0))
        message: Message | None = None
        if route is not None and not routing.muted_by(route, now):
            told = [one for one in members if not self.status(one).suppressed]
            message = self._decide(new, route, told, now)
        over = [one.fingerprint for one in members if one.resolved(now)]
        new.members = [one.fingerprint for one in members if not one.resolved(now)]
        elsewhere = {key for g in self.groups.values() if g.key != group.key for key in g.members}
        forget = [key for key in over if key not in elsewhere]
        still = {g.incident for g in self.groups.values() if g.key != group.key and g.firing}
        ended = message is not None and message.kind == "resolved" and group.incident not in still
        if group.incident is not None and not new.members and message is None and group.incident not in still:
            # What was told is over, but a silence hid its end: the incident is over all the same.
            ended = True

        def work(raw: sqlite3.Connection) -> None:
            if message is not None and message.kind == "firing":
                new.incident = self._tell(raw, new, message, members, now)
            elif group.incident is not None and ended:
                self._end(raw, group, message, now)
            store.drop_alerts(raw, forget)
            if new.members:
                store.put_group(raw, new.key, new)
            else:
                store.drop_group(raw, new.key)

        await self._core.state.write(work)
        for key in forget:
            self.alerts.pop(key, None)
        if new.members:
            self.groups[new.key] = new
        else:
            self.groups.pop(new.key, None)
        if message is not None:
            self._woken()

    def _decide(self, group: Group, route: Route, alerts: list[Alert], now: float) -> Message | None:
        """The message that is due, or None; updates what the group says was told."""
        firing = [one for one in alerts if not one.resolved(now)]
        resolved = [one for one in alerts if one.resolved(now)]
        firing_keys = {one.fingerprint for one in firing}
        resolved_keys = {one.fingerprint for one in resolved}
        fresh = firing_keys - set(group.firing)
        over = resolved_keys & set(group.firing)
        due = group.notified_at is not None and now - group.notified_at >= route.repeat_interval_s
        some_over = bool(firing and over) and bool(self._routing().original)
        kind = ""
        if fresh or some_over or (firing and due):
            kind = "firing"
        elif not firing and group.firing and over:
            kind = "resolved"
        if not kind:
            return None
        shown = (
            (firing + [one for one in resolved if one.fingerprint in over]) if kind == "firing" else resolved
        )
        group.firing = sorted(
            firing_keys | (set(group.firing) - resolved_keys if kind == "firing" else set())
        )
        group.resolved = sorted(resolved_keys)
        group.notified_at = now
        title, summary = incidents.headline(shown, group.labels)
        return Message(
            kind="resolved" if kind == "resolved" else "firing",
            title=title,
            summary=summary,
            incident=group.incident,
            severity=incidents.severity(shown),
            receiver=route.receiver,
            group_key=group.key,
            group_labels=group.labels,
            # A sender outside gives an end in the future, until it sends again; that is no end to tell of.
            alerts=[
                one if one.resolved(now) else msgspec.structs.replace(one, ends_at=None)
                for one in shown[:IN_MESSAGE]
            ],
            more=max(0, len(shown) - IN_MESSAGE),
            at=now,
        )

    def _tell(
        self, raw: sqlite3.Connection, group: Group, message: Message, members: list[Alert], now: float
    ) -> int:
        """Open or extend the incident and write an intent for each target; returns the incident's id."""
        routing = self._routing()
        policy = routing.policy(group.receiver, self._core.settings.alerts)
        incident, opened = incidents.ensure(raw, group.labels, message, policy, now, group.incident)
        message.incident = incident.id
        repeat = (
            not opened
            and group.notified_at is not None
            and set(group.firing) == set(self.groups[group.key].firing if group.key in self.groups else [])
        )
        if repeat and incident.state == "acknowledged":
            return incident.id
        targets = self._targets(routing, group.receiver)
        willing = [one for one in targets if routing.willing(one, incident.severity)]
        for target in willing:
            notification_store.add(raw, target.ref, target.to, message, now)
        if opened and len(willing) < len(targets):
            incidents.spare(raw, incident, [one for one in targets if one not in willing], now)
            if not willing and incident.due_at is not None:
                incident.due_at = now
                store.save_incident(raw, incident)
        return incident.id

    def _targets(self, routing: Routing, receiver: str) -> list[Target]:
        return routing.receivers[receiver].targets if receiver in routing.receivers else []

    def _end(self, raw: sqlite3.Connection, group: Group, message: Message | None, now: float) -> None:
        """Resolve the incident and tell everybody who was told of it."""
        assert group.incident is not None
        incident = store.incident(raw, group.incident)
        if incident is None or incident.state == "resolved":
            return
        incidents.resolve(raw, incident, now, "")
        if message is not None:
            tell_resolved(raw, self._routing(), incident, message, now)


def tell_resolved(
    raw: sqlite3.Connection, routing: Routing, incident: Incident, message: Message, now: float
) -> None:
    """Intents to everybody who was told and wants to know the end; who was not told yet need not be."""
    notification_store.withdraw(raw, incident.id)
    message.incident = incident.id
    for ref, to in notification_store.told(raw, incident.id).items():
        target = routing.target(ref)
        if target is not None and target.send_resolved:
            notification_store.add(raw, ref, to, message, now)


def _put(raw: sqlite3.Connection, alerts: Sequence[Alert], groups: Sequence[Group]) -> None:
    store.put_alerts(raw, alerts)
    for group in groups:
        store.put_group(raw, group.key, group)
