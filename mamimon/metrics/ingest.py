"""Pushed samples on their way into the store: checked, grouped by source and instant, written by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mamimon.config import MetricSettings
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.wire.remote_write import PushedSeries

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels
    from mamimon.metrics.store.day import Day

_MOST_KNOWN = 500_000


class Outcome(msgspec.Struct):
    """What became of a push."""

    samples: int = 0
    problems: list[str] = []
    """One sentence a refused series or instant, at most ten."""
    refused: int = 0

    def refuse(self, reason: str, count: int = 1) -> None:
        """Note that something was not kept."""
        self.refused += count
        if len(self.problems) < 10 and reason not in self.problems:
            self.problems.append(reason)


class Pusher:
    """Takes pushed series; the good part of a batch is kept.

    Series of one job and instance share a source, because their sender sampled them together and a
    chunk is a matrix of series by instants.
    """

    def __init__(self, store: SeriesStore, settings: MetricSettings) -> None:
        self._store = store
        self._settings = settings
        self.known: dict[bytes, Labels] = {}
        self._ids: dict[bytes, int] = {}
        self._day: Day | None = None

    async def push(self, series: Iterable[PushedSeries]) -> Outcome:
        """Store a batch, durable on return."""
        outcome = Outcome()
        if len(self.known) > _MOST_KNOWN:
            self.known.clear()
            self._ids.clear()
        rows: dict[tuple[str, int], list[tuple[bytes, Labels, float]]] = defaultdict(list)
        for one in series:
            problem = one.problem or self._over_limits(one.labels or {})
            if problem or one.labels is None:
                outcome.refuse(problem, max(1, len(one.samples) + one.histograms))
                continue
            if one.histograms:
                outcome.refuse("native histograms are not stored yet", one.histograms)
            source = f"push\0{one.labels.get('job', '')}\0{one.labels.get('instance', '')}"
            for at, value in one.samples:
                rows[source, at].append((one.key, one.labels, value))
        await self._write(rows, outcome)
        return outcome

    async def _write(
        self, rows: dict[tuple[str, int], list[tuple[bytes, Labels, float]]], outcome: Outcome
    ) -> None:
        import numpy as np

        by_day: dict[str, list[Scrape]] = defaultdict(list)
        for source, at in sorted(rows, key=lambda row: row[1]):
            samples = rows[source, at]
            refusal = self._store.refusal(source, at)
            if refusal:
                outcome.refuse(refusal, len(samples))
                continue
            day = await self._store.day_of(at)
            ids = np.asarray([self._id(day, key, labels) for key, labels, _ in samples], dtype=np.int64)
            values = np.asarray([value for _, _, value in samples], dtype=np.float64)
            by_day[day.name].append(Scrape(source, at, ids, values, whole=False))
        for scrapes in by_day.values():
            outcome.samples += await self._store.write(scrapes)

    def _id(self, day: Day, key: bytes, labels: Labels) -> int:
        if not key:
            return day.index.id_of(labels)
        if day is not self._day:
            self._ids.clear()
            self._day = day
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = day.index.id_of(labels)
        return number

    def _over_limits(self, labels: Labels) -> str:
        settings = self._settings
        if len(labels) > settings.max_labels_per_series:
            return f"a series has {len(labels)} labels, more than {settings.max_labels_per_series}"
        longest = settings.max_label_bytes
        if any(len(name) > longest or len(value) > longest for name, value in labels.items()):
            return f"a label is longer than {longest} bytes"
        return ""
