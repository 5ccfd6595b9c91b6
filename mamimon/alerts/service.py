"""The alerts room at work: configuration, the loops, and what people do to alerts and incidents."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mamimon.alerts import configuration, incidents, rules, store
from mamimon.alerts.deadman import DeadMan
from mamimon.alerts.delivery import Delivery
from mamimon.alerts.dispatch import Dispatcher, tell_resolved
from mamimon.alerts.editor.keeper import OwnRules
from mamimon.alerts.engine import JUMP_S, Append, Count, Engine
from mamimon.alerts.model import Alert, FileError, Incident, IncidentSummary, Labels, Message, Outcome
from mamimon.alerts.oncall.desk import Desk
from mamimon.alerts.relay import Relay
from mamimon.alerts.routing import Routing, Target, builtin
from mamimon.alerts.silences import Silence
from mamimon.clock import rest
from mamimon.config import ConfigError
from mamimon.problems import not_found

if TYPE_CHECKING:
    from mamimon.metrics.query import SeriesBackend
    from mamimon.storage import Core

T = TypeVar("T")
_log = logging.getLogger("mamimon.alerts")
RELOAD_S = 30.0
PRUNE_S = 3600.0


class Alerting:
    """Rules, routed alerts, incidents and delivery of one server."""

    def __init__(
        self,
        core: Core,
        backend: Callable[[], SeriesBackend],
        append: Append,
        rule_files: Callable[[], Sequence[Path]],
        group_defaults: Callable[[], tuple[float, float]],
        external_labels: Callable[[], Labels],
        check: rules.Check,
        count: Count,
        alertmanagers: Callable[[], Sequence[str]],
        relabelled: Callable[[Labels], Labels | None],
    ) -> None:
        self.core = core
        self.settings = core.settings.alerts
        self.backend = backend
        self._rule_files = rule_files
        self._group_defaults = group_defaults
        self._check = check
        self._wake = asyncio.Event()
        self._routing = builtin(self.settings)
        self.oncall = Desk(core)
        self.config_error = ""
        self.rule_errors: list[FileError] = []
        self.dispatcher = Dispatcher(core, lambda: self.routing, self._wake.set)
        self.delivery = Delivery(core, lambda: self.routing, self._wake.set, self.oncall.quiet_until)
        self.relay = Relay(
            core,
            lambda: [*alertmanagers(), *self.settings.alertmanager_urls],
            lambda: [one for one in self.dispatcher.firing() if one.source],
            relabelled,
        )
        self.engine = Engine(core, backend, append, self._told, external_labels, count)
        self.own = OwnRules(core, lambda: self.reload(force=True))
        self.external_labels = external_labels
        self.deadman = DeadMan(core, self.engine)
        self.unresolved: list[IncidentSummary] = []
        self.loud = 0
        self._stamps: dict[str, float] = {}
        self._pruned_at = 0.0
        self._skew = core.clock.now() - core.clock.monotonic()

    async def open(self) -> None:
        """Read configuration and state; a broken alertmanager.yml raises `ConfigError`."""
        self._routing = self._load_routing()
        await self.oncall.open()
        await self.dispatcher.open()
        await self.delivery.open()
        await self.own.open()
        loaded = await asyncio.to_thread(self._load_rules)
        self._report(loaded)
        await self.engine.open(loaded.groups)
        await self._refresh()

    @property
    def routing(self) -> Routing:
        """The routing in force, with who is on call first."""
        return self.oncall.apply(self._routing)

    def _load_routing(self) -> Routing:
        path = self.settings.alertmanager_config
        return configuration.load(Path(path), self.settings) if path else builtin(self.settings)

    def _paths(self) -> list[Path]:
        own = rules.expand_globs(self.settings.rule_files, Path())
        paths = list(dict.fromkeys([*self._rule_files(), *own]))
        return [rules.BUILTIN, *paths] if self.settings.builtin_rules else paths

    def _load_rules(self) -> rules.Loaded:
        paths = self._paths()
        self._stamps = _stamps([*paths, *self._config_paths()])
        interval_s, query_offset_s = self._group_defaults()
        loaded = rules.load_files(paths, interval_s, self._check, query_offset_s)
        loaded.groups.extend(self.own.groups(interval_s))
        return loaded

    def _config_paths(self) -> list[Path]:
        path = self.settings.alertmanager_config
        return [Path(path)] if path else []

    def _report(self, loaded: rules.Loaded) -> None:
        self.rule_errors = loaded.errors
        for error in loaded.errors:
            _log.warning("%s", error)

    async def reload(self, *, force: bool = False) -> None:
        """Read rule files and alertmanager.yml again where they changed; a broken one keeps the old."""
        stamps = await asyncio.to_thread(lambda: _stamps([*self._paths(), *self._config_paths()]))
        if stamps == self._stamps and not force:
            return
        try:
            self._routing = await asyncio.to_thread(self._load_routing)
            self.config_error = ""
        except ConfigError as error:
            self.config_error = str(error)
            _log.error("%s; the former configuration stays in use", error)
        loaded = await asyncio.to_thread(self._load_rules)
        self._report(loaded)
        # A file that was broken by an edit keeps its former rules: losing them would end their alerts.
        broken = {error.file for error in loaded.errors}
        kept = [group for group in self.engine.groups if group.file in broken]
        fresh = [group for group in loaded.groups if group.file not in {one.file for one in kept}]
        await self.engine.replace([*fresh, *kept])

    async def watch_files(self) -> None:
        """Reload what changed on disk, every half minute."""
        while True:
            await self.core.clock.sleep(RELOAD_S)
            await self.reload()

    async def notify(self) -> None:
        """Flush groups, escalate incidents and send, each when it is due; sleep in between."""
        while True:
            self._wake.clear()
            await self._notice_jump()
            await self.dispatcher.flush_due()
            await self._escalate_due()
            await self.delivery.work()
            await self._refresh()
            await self._prune()
            await self._rest()

    async def _notice_jump(self) -> None:
        """A clock that is set back must not make people wait; one that went on is just late."""
        skew = self.core.clock.now() - self.core.clock.monotonic()
        jump, self._skew = skew - self._skew, skew
        if jump < -JUMP_S:
            await self.dispatcher.shift(jump)

    async def _rest(self) -> None:
        now = self.core.clock.now()
        rows = await self.core.state.read(store.next_due)
        due = [one for one in (rows, self.dispatcher.next_due()) if one is not None]
        # What is overdue and still waits is under way; its end wakes us.
        wait_s = min((at - now for at in due if at > now), default=60.0)
        if any(at <= now for at in due) and not self._wake.is_set():
            wait_s = min(wait_s, 1.0)
        await rest(self.core.clock, min(max(wait_s, 0.05), 60.0), self._wake)

    async def _escalate_due(self) -> None:
        now = self.core.clock.now()
        for one in await self.core.state.read(lambda raw: store.due_incidents(raw, now)):
            if self._quiet(one):
                later = now + self.settings.unacknowledged_timeout_s

                def postpone(raw: sqlite3.Connection, number: int = one.id, later: float = later) -> None:
                    found = incidents.get(raw, number)
                    found.due_at = later if found.due_at is not None else None
                    store.save_incident(raw, found)

                await self.core.state.write(postpone)
            else:
                await self.escalate(one.id, "")

    def _quiet(self, one: Incident) -> bool:
        """Whether every alert of the incident is silenced or inhibited."""
        members = [
            self.dispatcher.alerts[key]
            for group in self.dispatcher.groups.values()
            if group.incident == one.id
            for key in group.firing
            if key in self.dispatcher.alerts
        ]
        return bool(members) and all(self.dispatcher.status(alert).suppressed for alert in members)

    async def _refresh(self) -> None:
        found = await self.core.state.read(store.unresolved)
        self.unresolved = [one.short() for one in found]
        loud = (one for one in self.dispatcher.firing() if not self.dispatcher.status(one).suppressed)
        self.loud = sum(1 for _ in loud)

    async def _prune(self) -> None:
        now = self.core.clock.now()
        if now - self._pruned_at < PRUNE_S:
            return
        self._pruned_at = now
        gone = self.dispatcher.silences.forget(now)
        before = now - store.KEEP_RESOLVED_DAYS * 86_400.0

        def work(raw: sqlite3.Connection) -> None:
            store.put_silences(raw, [], gone)
            store.forget_old(raw, before)

        await self.core.state.write(work)

    async def _told(self, alerts: Sequence[Alert]) -> None:
        """What the engine found goes to our own routes and to other Alertmanagers."""
        await self.dispatcher.put(alerts)
        self.relay.put(alerts)

    async def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        done = await self.core.state.write(work)
        await self._refresh()
        self._wake.set()
        return done

    async def acknowledge(self, incident_id: int, person: str, note: str = "", how: str = "page") -> Incident:
        """Somebody answers an incident."""
        now = self.core.clock.now()
        return await self._change(lambda raw: incidents.acknowledge(raw, incident_id, person, now, note, how))

    async def assign(self, incident_id: int, person: str, by: str, role: str = "") -> Incident:
        """Give an incident, or a role in it, to somebody."""
        now = self.core.clock.now()
        return await self._change(lambda raw: incidents.assign(raw, incident_id, person, by, now, role))

    async def comment(self, incident_id: int, text: str, by: str) -> Incident:
        """Add to an incident's timeline."""
        now = self.core.clock.now()
        return await self._change(lambda raw: incidents.comment(raw, incident_id, text, by, now))

    async def escalate(self, incident_id: int, by: str) -> list[str]:
        """Tell the next ones now."""
        now = self.core.clock.now()
        return await self._change(
            lambda raw: incidents.escalate(raw, incidents.get(raw, incident_id), self.routing, now, by)
        )

    async def resolve(self, incident_id: int, by: str) -> Incident:
        """Close an incident by hand; everybody who was told hears it."""
        now = self.core.clock.now()

        def work(raw: sqlite3.Connection) -> Incident:
            one = incidents.get(raw, incident_id)
            if one.state != "resolved":
                incidents.resolve(raw, one, now, by)
                message = Message(
                    kind="resolved",
                    title=one.title,
                    summary=one.summary,
                    incident=one.id,
                    group_labels=one.labels,
                    reason={"closed_by": by},
                    at=now,
                )
                tell_resolved(raw, self.routing, one, message, now)
            return one

        return await self._change(work)

    async def silence(self, wanted: Silence) -> Silence:
        """Create or change a silence; raises `Problem`."""
        kept, rows = self.dispatcher.silences.put(wanted, self.core.clock.now())
        await self._change(lambda raw: store.put_silences(raw, rows))
        return kept

    async def expire(self, silence_id: str) -> None:
        """End a silence now."""
        ended = self.dispatcher.silences.expire(silence_id, self.core.clock.now())
        await self._change(lambda raw: store.put_silences(raw, [ended]))

    def targets(self) -> list[Target]:
        """Everybody who can be told: receivers' targets, then people of the escalation."""
        found = {one.ref: one for receiver in self.routing.receivers.values() for one in receiver.targets}
        return list((found | self.routing.people).values())

    async def test(self, ref: str) -> Outcome:
        """Send a test message to one target and return what its server really answered."""
        target = self.routing.target(ref)
        if target is None:
            raise not_found(f"there is no receiver {ref[:100]!r}")
        message = Message(
            kind="test",
            title="mamimon",
            summary="This is a test. Alerts will reach you here.",
            incident=None,
            receiver=ref.partition("/")[0],
            at=self.core.clock.now(),
        )
        return await self.delivery.send(target, message)

    async def close(self) -> None:
        """Stop sending; idempotent."""
        await self.delivery.close()


def _stamps(paths: Sequence[Path]) -> dict[str, float]:
    found = {}
    for path in paths:
        try:
            found[str(path)] = path.stat().st_mtime
        except OSError:
            found[str(path)] = 0.0
    return found
