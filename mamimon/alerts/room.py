"""The alerts room: its life, tasks and doors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.accounts.gate import current_actor
from mamimon.alerts import matchers, store
from mamimon.alerts.editor.lines import count
from mamimon.alerts.editor.pages import editor_handlers
from mamimon.alerts.editor.preview import Preview
from mamimon.alerts.model import AlertSummary, IncidentSummary, Labels, LineCount
from mamimon.alerts.oncall.routes import oncall_handlers
from mamimon.alerts.pages import page_handlers
from mamimon.alerts.routes import api_handlers
from mamimon.alerts.service import Alerting
from mamimon.alerts.suggest.pages import suggestion_handlers
from mamimon.alerts.wire.alertmanager import alertmanager_handlers
from mamimon.alerts.wire.prometheus import prometheus_handlers
from mamimon.metrics.scrape.relabel import relabel
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom
    from mamimon.health.maintenance import Muting
    from mamimon.health.room import HealthRoom
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.room import MetricRoom


_SAME_DEPLOY_S = 3600.0


class AlertRoom:
    """See `mamimon.room.Room`."""

    name = "alerts"

    def __init__(
        self, core: Core, logs: LogRoom, metrics: MetricRoom, errors: ErrorRoom, health: HealthRoom
    ) -> None:
        self._core = core
        self._logs = logs
        self._metrics = metrics
        self._errors = errors
        self._health = health
        self.service = Alerting(
            core,
            lambda: self._metrics.backend,
            metrics.append,
            self._rule_files,
            self._group_defaults,
            self._external_labels,
            _check,
            self._count_lines,
            lambda: self._metrics.config.alertmanagers if self._metrics.config else [],
            self._relabelled,
        )
        metrics.scraper.after_reload.append(self.service.reload)
        errors.on_deploy = self._deployed
        health.maintenance.read_matchers = matchers.parse
        self.service.dispatcher.maintenance = self._in_maintenance

    async def _deployed(self, version: str, at: float, environment: str) -> None:
        """A release of Sentry's clients; finalized and then deployed it is told twice, and kept once."""

        def work(raw: sqlite3.Connection) -> None:
            near = store.deploys(raw, at - _SAME_DEPLOY_S, at + _SAME_DEPLOY_S)
            if not any(one["version"] == version for one in near):
                store.add_deploy(raw, at, version, "", current_actor.get().name, environment)

        await self._core.state.write(work)

    def _in_maintenance(self, labels: Labels, now: float) -> list[Muting]:
        def matches(text: str, of: Mapping[str, str]) -> bool:
            return matchers.all_match(matchers.parse(text), of)

        return self._health.maintenance.of_alert(labels, now, matches)

    def _rule_files(self) -> Sequence[Path]:
        config = self._metrics.config
        return config.rule_files if config is not None else []

    def _group_defaults(self) -> tuple[float, float]:
        """Seconds between evaluations and of query offset for groups that name none."""
        config = self._metrics.config
        if config is None:
            return self._core.settings.metrics.evaluation_interval_s, 0.0
        return config.evaluation_interval_s, config.rule_query_offset_s

    def _external_labels(self) -> Labels:
        config = self._metrics.config
        return dict(config.external_labels) if config is not None else {}

    def _relabelled(self, labels: Labels) -> Labels | None:
        """An alert's labels as other Alertmanagers get them, with the external ones it lacks."""
        config = self._metrics.config
        return labels if config is None else relabel(self._external_labels() | labels, config.alert_relabel)

    async def _count_lines(self, lines: LineCount, at: float) -> list[tuple[Labels, float]]:
        return await count(self._logs.backend, self.service.backend(), lines, at)

    async def open(self) -> None:
        """See `Room.open`; a broken alertmanager.yml refuses the start."""
        await self.service.open()
        self._metrics.on_samples(self.service.engine.samples_came)
        self._core.registry.register(_Gauges(self))

    async def close(self) -> None:
        """See `Room.close`."""
        await self.service.close()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [
            Task("alerts.rules", self.service.engine.run),
            Task("alerts.notify", self.service.notify),
            Task("alerts.files", self.service.watch_files),
            Task("alerts.deadman", self.service.deadman.run),
            Task("alerts.relay", self.service.relay.run),
        ]

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *alertmanager_handlers(self.service),
            *prometheus_handlers(self.service),
            *api_handlers(self.service),
            *page_handlers(self.service, self._logs, self._errors),
            *suggestion_handlers(self.service, self._logs, self._errors),
            *oncall_handlers(self.service),
            *editor_handlers(self.service, Preview(self.service, self._logs, self._metrics)),
        ]

    def firing(self) -> list[AlertSummary]:
        """Pending and firing alerts, from memory: firing first, then the longest."""
        found = [
            AlertSummary(
                rule.name,
                one.labels,
                one.annotations,
                one.state,
                one.fired_at if one.state == "firing" else one.active_at,
                one.value,
                "/alerts",
            )
            for rule, _, one in self.service.engine.firing()
        ]
        own = {tuple(sorted(one.labels.items())) for one in found}
        found.extend(
            AlertSummary(one.name, one.labels, one.annotations, "firing", one.starts_at, 0.0, "/alerts")
            for one in self.service.dispatcher.firing()
            if not one.source and tuple(sorted(one.labels.items())) not in own
        )
        return sorted(found, key=lambda one: (one.state != "firing", one.since))

    async def incidents(self, limit: int = 20) -> list[IncidentSummary]:
        """Incidents that are not resolved, then the latest resolved ones."""
        found = await self._core.state.read(lambda raw: store.incidents(raw, limit))
        return [one.short() for one in found]

    async def deploys(self, start: float, end: float) -> list[dict[str, Any]]:
        """Deploys between two instants, newest first."""
        return await self._core.state.read(lambda raw: store.deploys(raw, start, end))

    async def marks(self, start: float, end: float) -> list[dict[str, Any]]:
        """What charts mark between two instants: deploys, and incidents by when they began."""
        deploys, incidents = await self._core.state.read(
            lambda raw: (store.deploys(raw, start, end), store.incidents(raw, 100))
        )
        found = [{"time": one["at"], "label": one["version"], "kind": "deploy"} for one in deploys]
        begun = [one.short() for one in incidents]
        found += [{"time": one.since, "label": one.title, "kind": "alert"} for one in begun]
        return [one for one in found if start <= one["time"] <= end]

    def badge(self) -> dict[str, int]:
        """See `mamimon.room.Badged`: alerts that fire and are not kept quiet, and incidents not resolved."""
        return {"alerts": self.service.loud, "incidents": len(self.service.unresolved)}


class _Gauges(Collector):
    """What a scrape sees of the room."""

    def __init__(self, room: AlertRoom) -> None:
        self._room = room

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        states = GaugeMetricFamily("mamimon_alerts", "Alerts by state.", labels=["state"])
        firing = self._room.firing()
        for state in ("pending", "firing"):
            states.add_metric([state], sum(1 for one in firing if one.state == state))
        yield states
        service = self._room.service
        broken = sum(1 for g in service.engine.groups for rule in g.rules if rule.health == "err")
        yield GaugeMetricFamily("mamimon_rules_failing", "Rules whose last evaluation failed.", broken)
        yield GaugeMetricFamily("mamimon_incidents_open", "Incidents not resolved.", len(service.unresolved))


def _check(expr: str) -> None:
    from mamimon.metrics.promql import parse

    parse(expr)
