"""The retention room: its life, tasks and doors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.problems import Problem
from mamimon.retention.cleanup import Cleanup, next_night
from mamimon.retention.model import DayStore, Months, MonthStore
from mamimon.retention.routes import retention_routes
from mamimon.retention.store import RetentionStore
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom
    from mamimon.events.room import EventRoom
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.room import MetricRoom

_log = logging.getLogger("mamimon.retention")
_LOOK_S = 600.0
_LATE_S = 26 * 3600.0


class RetentionRoom:
    """See `mamimon.room.Room`."""

    name = "retention"

    def __init__(
        self, core: Core, logs: LogRoom, metrics: MetricRoom, errors: ErrorRoom, events: EventRoom
    ) -> None:
        self._core = core
        self._logs: Any = logs
        settings = core.settings
        rooms: dict[str, tuple[object, int]] = {
            "logs": (logs, settings.logs.retention_days),
            "metrics": (metrics, settings.metrics.retention_days),
            "metrics_5m": (metrics.long["5m"], settings.metrics.retention_5m_days),
            "metrics_1h": (metrics.long["1h"], settings.metrics.retention_1h_days),
            "errors": (errors, settings.errors.retention_days),
            "events": (events, settings.events.retention_days),
        }
        self._signals: dict[str, tuple[DayStore, int]] = {}
        for name, (room, days) in rooms.items():
            if isinstance(room, MonthStore):
                self._signals[name] = (Months(room), days)
            elif isinstance(room, DayStore):
                self._signals[name] = (room, days)
        self._store = RetentionStore(core.state)
        self.cleanup = Cleanup(core, self._store, self._signals, self._note)

    async def open(self) -> None:
        """See `Room.open`."""
        await self.cleanup.recover()
        self._core.registry.register(_Numbers(self.cleanup))

    async def close(self) -> None:
        """See `Room.close`."""

    async def _note(self, level: str, message: str, fields: dict[str, object]) -> None:
        """A line in the log store, so that a deletion is found where people look; never fails a clean-up."""
        _log.log(logging.getLevelName(level), message, extra=fields)
        if self._core.settings.server.self_log:
            return  # mamimon's own lines go to the store already
        try:
            record = self._logs.ingest.record(level, "mamimon.retention", message, **fields)
            await self._logs.ingest.append([record])
        except Problem as problem:
            _log.warning("the log store did not take the line about the clean-up: %s", problem)

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [Task("clean-up", self._nightly)]

    async def _nightly(self) -> None:
        """At the set hour each night; a machine that was off then cleans up soon after it is on again."""
        clock, hour = self._core.clock, self._core.settings.retention.hour
        while True:
            now = clock.now()
            last = self.cleanup.last
            late = last is not None and now - last.at > _LATE_S
            due = now + _LOOK_S if late else next_night(now, hour)
            # Short sleeps, because the wall clock may jump while we sleep on the monotonic one.
            while (left := due - clock.now()) > 0:
                await clock.sleep(min(left, _LOOK_S))
            await self.cleanup.run()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return retention_routes(self.cleanup, self._store)


class _Numbers(Collector):
    """The clean-up's metrics."""

    def __init__(self, cleanup: Cleanup) -> None:
        self._cleanup = cleanup

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        one = self._cleanup
        yield CounterMetricFamily("mamimon_cleanup_deleted_partitions", "Day files deleted.", one.deleted)
        yield CounterMetricFamily(
            "mamimon_cleanup_failures", "Days kept because a step failed.", one.failures
        )
        if one.last is not None:
            yield GaugeMetricFamily("mamimon_cleanup_last_run_timestamp_seconds", "Last end.", one.last.at)
            yield GaugeMetricFamily("mamimon_cleanup_last_run_failed_days", "Kept then.", one.last.failed)
