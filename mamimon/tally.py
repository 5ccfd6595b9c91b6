"""Counts of what turns up at run time, as a counter family that rules can be written on.

`rate` sees no increase from "no series" to 1, so an alert on the first error of a new dataset would
stay silent. A new series is therefore shown as 0 to the first scrape before it tells its count.
The number of series is bounded: what comes beyond it is counted under "other".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.clock import Clock

OTHER = "other"


class Tally(Collector):
    """A counter by labels; `add` may be called from any thread."""

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str],
        *,
        registry: CollectorRegistry,
        clock: Clock,
        scrape_interval_s: float,
        most: int = 1_000,
    ) -> None:
        """`most`: series beyond which "other" counts."""
        self._name = name
        self._about = about
        self._labels = list(labels)
        self._clock = clock
        # Longer than an interval, so that a scrape that is a little late still sees the 0.
        self._zero_s = 1.5 * scrape_interval_s
        self._most = most
        self._counts: dict[tuple[str, ...], int] = {}
        self._since: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def add(self, *values: str, count: int = 1) -> None:
        """Count; the last label is the one that is folded into "other" when there are too many series."""
        with self._lock:
            if values not in self._counts:
                if len(self._counts) >= self._most:
                    values = (*values[:-1], OTHER)
                self._since.setdefault(values, self._clock.now())
            self._counts[values] = self._counts.get(values, 0) + count

    def describe(self) -> Iterable[Metric]:
        """See `Collector`; the family's name, so that nobody else takes it."""
        return [CounterMetricFamily(self._name, self._about, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        now = self._clock.now()
        with self._lock:
            shown = [
                (values, 0 if now - self._since[values] < self._zero_s else count)
                for values, count in sorted(self._counts.items())
            ]
        for values, count in shown:
            family.add_metric(values, count)
        yield family
