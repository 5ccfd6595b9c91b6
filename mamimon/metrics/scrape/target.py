"""One target's scrapes: from an exposition to samples of the store, and the five series about the scrape."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from mamimon.config import MetricSettings
from mamimon.metrics.scrape.config import Job
from mamimon.metrics.scrape.discovery import Target
from mamimon.metrics.scrape.relabel import relabel
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.wire.exposition import (
    Exemplar,
    Exposition,
    ExpositionError,
    Metadata,
    line_of,
    parse,
    series_labels,
)
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels
    from mamimon.metrics.store.day import Day

# The store loads numpy; a scrape's figures are small, so plain lists do until they reach it.
REPORTS = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)


class Status(msgspec.Struct):
    """What the targets page says of a target; times in epoch seconds."""

    health: Literal["unknown", "up", "down"] = "unknown"
    last_error: str = ""
    last_at: float | None = None
    duration_s: float = 0.0
    samples: int = 0
    next_at: float | None = None


class ScrapedTarget:
    """Keeps what a target exposed last, so that a repeated series costs one look-up of its text."""

    def __init__(self, target: Target, job: Job, settings: MetricSettings, store: SeriesStore) -> None:
        self.target = target
        self.job = job
        self.status = Status()
        self.metadata: dict[str, Metadata] = {}
        self._settings = settings
        self._store = store
        self._labels: dict[str, Labels | None] = {}
        self._ids: dict[str, int] = {}
        self._exemplars: dict[str, Exemplar] = {}
        self._day: Day | None = None
        self._seen: set[str] = set()

    @property
    def source(self) -> str:
        """The name of its chunk source in the store."""
        return f"scrape\0{self.job.name}\0{self.target.key}"

    async def take(self, body: bytes, content_type: str, at_ms: int, duration_s: float) -> None:
        """Parse and store a body scraped at `at_ms`; what it raises, it raises before storing anything."""
        exposition = await asyncio.to_thread(parse, body, content_type, self._labels)
        self._check(exposition)
        strict = "openmetrics" in content_type
        for key in exposition.keys:
            if key not in self._labels:
                try:
                    self._labels[key] = self._labelled(key, strict)
                except ExpositionError as error:
                    raise ExpositionError(line_of(body, key), error.reason) from None
        kept = [
            (key, value, time)
            for key, value, time in zip(
                exposition.keys,
                exposition.values.tolist(),
                exposition.times_ms or [None] * len(exposition.keys),
                strict=True,
            )
            if self._labels[key] is not None
        ]
        limit = self.job.limits.sample_limit
        if limit and len(kept) > limit:
            raise ExpositionError(0, f"sample limit exceeded ({len(kept)} samples, limit {limit})")
        keys = {key for key, _, _ in kept}
        added = len(keys - self._seen)
        await self._write(kept, at_ms, (1.0, duration_s, len(exposition.keys), len(kept), added))
        await self._keep_exemplars(exposition, at_ms)
        self._seen = keys
        self.metadata = exposition.metadata
        self.status.samples = len(exposition.keys)
        if len(self._labels) > 2 * len(keys) + 1000:
            self._labels = {key: self._labels[key] for key in keys}
            self._exemplars = {key: one for key, one in self._exemplars.items() if key in keys}
            self._ids = {key: number for key, number in self._ids.items() if key in keys}

    async def _keep_exemplars(self, exposition: Exposition, at_ms: int) -> None:
        """Store the exemplars that differ from the ones of the last scrape."""
        rows = []
        for one in exposition.exemplars:
            key = exposition.keys[one.sample]
            number = self._ids.get(key)
            if number is None or self._exemplars.get(key) == one:
                continue
            self._exemplars[key] = one
            at = at_ms if one.time_ms is None else one.time_ms
            rows.append((number, at, one.value, msgspec.json.encode(one.labels).decode()))
        if rows:
            await self._store.add_exemplars(await self._store.day_of(at_ms), rows)

    async def fail(self, at_ms: int, duration_s: float) -> None:
        """Record a failed scrape: `up` is 0 and every series of the last one has ended."""
        self._seen = set()
        self.status.samples = 0
        await self._write([], at_ms, (0.0, duration_s, 0, 0, 0))

    async def _write(
        self,
        kept: list[tuple[str, float, int | None]],
        at_ms: int,
        figures: tuple[float, float, int, int, int],
    ) -> None:
        import numpy as np

        day = await self._store.day_of(at_ms)
        if day is not self._day:
            self._ids.clear()
            self._day = day
        ids: list[int] = []
        values: list[float] = []
        timed: dict[int, list[tuple[Labels, float]]] = defaultdict(list)
        for key, value, time in kept:
            labels = self._labels[key]
            assert labels is not None
            if time is not None and self.job.honor_timestamps:
                timed[time].append((labels, value))
                continue
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = day.index.id_of(labels)
            ids.append(number)
            values.append(value)
        for name, value in zip(REPORTS, figures, strict=True):
            key = f"\0{name}"
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = day.index.id_of({"__name__": name, **self.target.labels})
            ids.append(number)
            values.append(value)
        await self._store.write(
            [
                Scrape(
                    self.source, at_ms, np.asarray(ids, dtype=np.int64), np.asarray(values, dtype=np.float64)
                )
            ]
        )
        for time, samples in sorted(timed.items()):
            await self._write_timed(time, samples)

    async def _write_timed(self, time: int, samples: list[tuple[Labels, float]]) -> None:
        import numpy as np

        day = await self._store.day_of(time)
        ids = np.asarray([day.index.id_of(labels) for labels, _ in samples], dtype=np.int64)
        values = np.asarray([value for _, value in samples], dtype=np.float64)
        try:
            await self._store.write([Scrape(f"{self.source}\0timed", time, ids, values, whole=False)])
        except Problem as problem:
            # Out of bounds is the target's doing and the rest of its scrape is good.
            self.status.last_error = problem.detail

    def _check(self, exposition: Exposition) -> None:
        most = self._settings.max_series_per_target
        if len(exposition.keys) > most:
            raise ExpositionError(
                0, f"{len(exposition.keys)} samples, more than max_series_per_target ({most})"
            )

    def _labelled(self, key: str, strict: bool) -> Labels | None:
        """The final labels of a series text, or None where relabelling drops it."""
        exposed = series_labels(key, strict=strict)
        for name, value in self.target.labels.items():
            if name in exposed and not self.job.honor_labels:
                exposed[f"exported_{name}"] = exposed[name]
                exposed[name] = value
            else:
                exposed.setdefault(name, value)
        labels = relabel(exposed, self.job.metric_relabel) if self.job.metric_relabel else exposed
        if labels is None:
            return None
        if not labels.get("__name__"):
            raise ExpositionError(0, f"relabelling leaves {key[:80]!r} without a name")
        self._check_labels(key, labels)
        return labels

    def _check_labels(self, key: str, labels: Labels) -> None:
        limits, settings = self.job.limits, self._settings
        most = limits.label_limit or settings.max_labels_per_series
        if len(labels) > most:
            raise ExpositionError(
                0, f"label limit exceeded by {key[:80]!r} ({len(labels)} labels, limit {most})"
            )
        longest_name = limits.label_name_length_limit or settings.max_label_bytes
        longest_value = limits.label_value_length_limit or settings.max_label_bytes
        for name, value in labels.items():
            if len(name) > longest_name or len(value) > longest_value:
                raise ExpositionError(0, f"label {name[:40]!r} of {key[:80]!r} is too long")
