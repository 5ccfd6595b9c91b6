"""Pushed samples on their way into the store: checked, grouped by source and instant, written by day."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mamimon.config import MetricSettings
from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import HISTOGRAM_NAN
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.store.day import Day
from mamimon.metrics.wire.remote_write import Described, PushedSeries

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels

_MOST_KNOWN = 500_000
_MOST_DESCRIBED = 50_000
_TURN = 2000
"""Series taken in before others get their turn on the event loop."""


class Outcome(msgspec.Struct):
    """What became of a push."""

    samples: int = 0
    """Float samples that were kept."""
    histograms: int = 0
    exemplars: int = 0
    problems: list[str] = []
    """One sentence a refused series or instant, at most ten."""
    refused: int = 0

    def refuse(self, reason: str, count: int = 1) -> None:
        """Note that something was not kept."""
        self.refused += count
        if len(self.problems) < 10 and reason not in self.problems:
            self.problems.append(reason)


class _Row(msgspec.Struct, eq=False):
    """The samples of one source at one instant."""

    day: Day
    ids: list[int] = []
    values: list[float] = []
    histograms: dict[int, Histogram] = {}
    starts: dict[int, int] = {}


class Pusher:
    """Takes pushed series; the good part of a batch is kept.

    Series of one job and instance share a source, because their sender sampled them together and a
    chunk is a matrix of series by instants.
    """

    def __init__(self, store: SeriesStore, settings: MetricSettings) -> None:
        self._store = store
        self._settings = settings
        self.known: dict[bytes, Labels] = {}
        self.described: dict[str, Described] = {}
        """What senders say of metrics, by name; the last one counts."""
        self._ids: dict[bytes, int] = {}
        self._day: Day | None = None

    async def push(self, series: Iterable[PushedSeries]) -> Outcome:
        """Store a batch, durable on return."""
        outcome = Outcome()
        if len(self.known) > _MOST_KNOWN:
            self.known.clear()
            self._ids.clear()
        rows: dict[tuple[str, int], _Row | None] = {}
        kept: list[PushedSeries] = []
        for turn, one in enumerate(series):
            if turn % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            for reason in one.refused:
                outcome.refuse(reason)
            problem = one.problem or self.over_limits(one.labels or {})
            if problem or one.labels is None:
                outcome.refuse(problem, max(1, len(one.samples)))
                continue
            await self._spread(one, one.labels, rows, outcome)
            if one.exemplars:
                kept.append(one)
            if one.about is not None:
                self.describe(one.about)
        await self._write(rows, outcome)
        await self._keep_exemplars(kept, outcome)
        return outcome

    async def _spread(
        self,
        one: PushedSeries,
        labels: Labels,
        rows: dict[tuple[str, int], _Row | None],
        outcome: Outcome,
    ) -> None:
        """Put a series' samples into the rows of their instants; None stands for one that is refused."""
        source = f"push\0{labels.get('job', '')}\0{labels.get('instance', '')}"
        day, number = None, -1
        for at, value in one.samples:
            key = (source, at)
            row = rows.get(key)
            if row is None:
                refusal = self._store.refusal(source, at)
                if refusal:
                    rows[key] = None
                    outcome.refuse(refusal)
                    continue
                row = rows[key] = _Row(await self._store.day_of(at))
            if row.day is not day:
                day = row.day
                number = self._id(day, one.key, labels)
            if type(value) is float:
                row.values.append(value)
            else:
                assert isinstance(value, Histogram)
                row.histograms[len(row.ids)] = value
                row.values.append(HISTOGRAM_NAN)
            if one.starts and self._settings.start_timestamps and at in one.starts:
                row.starts[len(row.ids)] = one.starts[at]
            row.ids.append(number)

    def describe(self, about: Described) -> None:
        """Remember what a sender says of a metric."""
        if about.name in self.described or len(self.described) < _MOST_DESCRIBED:
            self.described[about.name] = about

    async def _write(self, rows: dict[tuple[str, int], _Row | None], outcome: Outcome) -> None:
        import numpy as np

        by_day: dict[str, list[Scrape]] = defaultdict(list)
        for (source, at), row in sorted(rows.items(), key=lambda item: item[0][1]):
            if row is not None:
                ids, values = np.asarray(row.ids, dtype=np.int64), np.asarray(row.values, dtype=np.float64)
                starts = None
                if row.starts:
                    starts = np.zeros(len(ids), dtype=np.int64)
                    starts[list(row.starts)] = list(row.starts.values())
                by_day[row.day.name].append(Scrape(source, at, ids, values, False, row.histograms, starts))
        for scrapes in by_day.values():
            await self._store.write(scrapes)
            native = sum(len(scrape.histograms) for scrape in scrapes)
            outcome.histograms += native
            outcome.samples += sum(len(scrape.ids) for scrape in scrapes) - native

    async def _keep_exemplars(self, series: Iterable[PushedSeries], outcome: Outcome) -> None:
        """Store exemplars within the same bounds of time as samples."""
        by_day: dict[str, tuple[Day, list[tuple[int, int, float, str]]]] = {}
        for one in series:
            for example in one.exemplars:
                assert one.labels is not None
                refusal = self._store.refusal("", example.at)
                if refusal:
                    outcome.refuse(f"exemplar: {refusal}")
                    continue
                day = await self._store.day_of(example.at)
                text = msgspec.json.encode(example.labels).decode()
                row = (self._id(day, one.key, one.labels), example.at, example.value, text)
                by_day.setdefault(day.name, (day, []))[1].append(row)
        for day, rows in by_day.values():
            await self._store.add_exemplars(day, rows)
            outcome.exemplars += len(rows)

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

    def over_limits(self, labels: Labels) -> str:
        """Why a series with these labels is refused, or an empty string."""
        settings = self._settings
        if len(labels) > settings.max_labels_per_series:
            return f"a series has {len(labels)} labels, more than {settings.max_labels_per_series}"
        longest = settings.max_label_bytes
        if any(len(name) > longest or len(value) > longest for name, value in labels.items()):
            return f"a label is longer than {longest} bytes"
        return ""
