"""The checks as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.health.model import CheckStatus


class HealthNumbers(Collector):
    """Collects from what `read` returns: each status with its runs and failures so far."""

    def __init__(self, read: Callable[[], Iterable[tuple[CheckStatus, int, int]]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """No description ahead of time: the checks are known only once the room is open."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The states; a check whose state is unknown has no `mamimon_check_up` sample."""
        labels = ["name", "kind"]
        up = GaugeMetricFamily(
            "mamimon_check_up", "1 up or degraded, 0 down; absent: unknown.", labels=labels
        )
        slow = GaugeMetricFamily("mamimon_check_degraded", "1 while the check is degraded.", labels=labels)
        took = GaugeMetricFamily("mamimon_check_duration_seconds", "Time of the last run.", labels=labels)
        runs = CounterMetricFamily("mamimon_check_runs", "Runs of the check.", labels=labels)
        failed = CounterMetricFamily("mamimon_check_failures", "Runs that failed.", labels=labels)
        for status, ran, failures in self._read():
            values = [status.name, status.kind]
            if status.state != "unknown":
                up.add_metric(values, 0.0 if status.state == "down" else 1.0)
                slow.add_metric(values, 1.0 if status.state == "degraded" else 0.0)
            if status.latency_s is not None:
                took.add_metric(values, status.latency_s)
            runs.add_metric(values, ran)
            failed.add_metric(values, failures)
        yield from (up, slow, took, runs, failed)
