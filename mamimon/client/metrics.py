"""Counters, gauges and histograms in a few lines, shown on the application's `/metrics`.

Bounded: a family takes 2,000 label combinations, further ones are counted under the label value
`other`. `prometheus_client` may be used beside it: its registry is shown too.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Optional, TypeVar

from mamimon.client import agent

MAX_SERIES = 2000
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_NAME = re.compile(r"\A[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"\A(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z")
_families: dict[str, Family] = {}
_lock = threading.Lock()

Key = tuple[str, ...]
Ids = tuple[str, str]
"""A trace id and a request id."""
Example = tuple[Ids, float, float]


class Family:
    """A metric with its label combinations; the values of one are a list of floats."""

    kind = ""
    width = 1

    def __init__(self, name: str, about: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.about = about
        self.labels = labels
        self.overflowed = 0
        self._lock = threading.Lock()
        self._series: dict[Key, list[float]] = {}
        if not labels:
            self._series[()] = [0.0] * self.width

    def snapshot(self) -> dict[Key, list[float]]:
        """A consistent copy of all values."""
        with self._lock:
            return {key: list(values) for key, values in self._series.items()}

    def key(self, given: dict[str, Any]) -> Key:
        """The label values in order; TypeError where the names are not the declared ones."""
        if len(given) != len(self.labels):
            raise TypeError(f"{self.name} has the labels {self.labels}, not {tuple(given)}")
        try:
            return tuple([str(given[name]) for name in self.labels])
        except KeyError:
            raise TypeError(f"{self.name} has the labels {self.labels}, not {tuple(given)}") from None

    def _values(self, key: Key) -> list[float]:
        values = self._series.get(key)
        if values is None:
            if len(self._series) >= MAX_SERIES:
                self.overflowed += 1
                key = ("other",) * len(self.labels)
                values = self._series.get(key)
                if values is not None:
                    return values
            values = self._series[key] = [0.0] * self.width
        return values

    def after_fork(self) -> None:
        """A child counts its own; the parent's lock may have been held at the fork."""
        self._lock = threading.Lock()
        if self.kind != "gauge":
            self._series = {} if self.labels else {(): [0.0] * self.width}


class Counter(Family):
    """Only goes up."""

    kind = "counter"

    def inc(self, amount: float = 1.0, **labels: Any) -> None:
        """Add a non-negative amount."""
        self.add(self.key(labels), amount)

    def add(self, key: Key, amount: float = 1.0) -> None:
        """`inc` for label values in the declared order."""
        if amount < 0:
            raise ValueError("a counter only goes up")
        with self._lock:
            self._values(key)[0] += amount


class Gauge(Family):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: float, **labels: Any) -> None:
        """Replace the value."""
        key = self.key(labels)
        with self._lock:
            self._values(key)[0] = float(value)

    def inc(self, amount: float = 1.0, **labels: Any) -> None:
        """Add an amount."""
        key = self.key(labels)
        with self._lock:
            self._values(key)[0] += amount

    def dec(self, amount: float = 1.0, **labels: Any) -> None:
        """Take an amount away."""
        self.inc(-amount, **labels)


class Histogram(Family):
    """Counts observations in buckets. A series is its bucket counts (not cumulative) and the sum."""

    kind = "histogram"

    def __init__(self, name: str, about: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> None:
        self.buckets = buckets
        self.width = len(buckets) + 2
        self._examples: dict[Key, dict[int, Example]] = {}
        super().__init__(name, about, labels)

    def observe(self, value: float, **labels: Any) -> None:
        """Count one observation."""
        self.add(self.key(labels), value)

    def add(self, key: Key, value: float, example: Optional[Ids] = None) -> None:
        """`observe` for label values in the declared order.

        `example` names the request, for OpenMetrics' exemplars; the newest of a bucket is kept.
        """
        at = bisect_left(self.buckets, value)
        with self._lock:
            values = self._values(key)
            values[at] += 1.0
            values[-1] += value
            if example:
                known = self._examples.get(key)
                if known is None and key in self._series:  # not of those that are counted under `other`
                    known = self._examples[key] = {}
                if known is not None:
                    known[at] = (example, value, time.time())

    def examples(self, key: Key) -> dict[int, Example]:
        """The newest example of each bucket of a series: its ids, its value, when (epoch seconds)."""
        with self._lock:
            return dict(self._examples.get(key, {}))

    def after_fork(self) -> None:
        """See `Family.after_fork`."""
        super().after_fork()
        self._examples = {}

    def time(self, **labels: Any) -> Timer:
        """Observe how long a `with` block takes, in seconds."""
        return Timer(self, self.key(labels))


class Timer:
    """The `with` block of `Histogram.time`."""

    def __init__(self, histogram: Histogram, key: Key) -> None:
        self._histogram = histogram
        self._key = key
        self._began = 0.0

    def __enter__(self) -> Timer:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._histogram.add(self._key, time.perf_counter() - self._began)


def counter(name: str, about: str = "", labels: Sequence[str] = ()) -> Counter:
    """The counter of a name, made on first use; its name should end in `_total`."""
    return _register(Counter(name, about, tuple(labels)))


def gauge(name: str, about: str = "", labels: Sequence[str] = ()) -> Gauge:
    """The gauge of a name, made on first use."""
    return _register(Gauge(name, about, tuple(labels)))


def histogram(
    name: str, about: str = "", labels: Sequence[str] = (), buckets: Sequence[float] = BUCKETS
) -> Histogram:
    """The histogram of a name, made on first use; `buckets` are upper bounds in rising order."""
    bounds = tuple(float(bound) for bound in buckets if bound != float("inf"))
    if not bounds or any(low >= high for low, high in zip(bounds, bounds[1:])):
        raise ValueError("buckets must rise")
    return _register(Histogram(name, about, tuple(labels), bounds))


_F = TypeVar("_F", bound=Family)


def _register(new: _F) -> _F:
    if not _NAME.match(new.name):
        raise ValueError(f"{new.name!r} is no metric name")
    for label in new.labels:
        if not _LABEL.match(label) or (label == "le" and new.kind == "histogram"):
            raise ValueError(f"{label!r} is no label name")
    with _lock:
        known = _families.get(new.name)
        if known is None:
            _families[new.name] = new
            return new
    if type(known) is not type(new) or known.labels != new.labels:
        raise ValueError(f"{new.name} exists as a {known.kind} with the labels {known.labels}")
    return known


def families() -> list[Family]:
    """Every family, by name."""
    with _lock:
        return sorted(_families.values(), key=lambda family: family.name)


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - may have been held by another thread at the fork
    _lock = threading.Lock()
    for family in _families.values():
        family.after_fork()


agent.in_children(_after_fork)
