"""One target's scrapes: from an exposition to samples of the store, and the series about the scrape itself.

A target exposes the same series each time. So the first scrape gives each series text an id of the day,
and a scrape whose texts are those of the one before costs one comparison and no look-up at all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from mamimon.config import MetricSettings
from mamimon.metrics.histogram import CUSTOM, Histogram, at_schema
from mamimon.metrics.model import STALE_NAN
from mamimon.metrics.scrape.discovery import Target
from mamimon.metrics.scrape.job import Job
from mamimon.metrics.scrape.labelling import Labelling
from mamimon.metrics.scrape.read_job import lowest_factor_schema
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.wire.classic import Part, to_native
from mamimon.metrics.wire.created import Role, take_created
from mamimon.metrics.wire.exposition import (
    OPEN_METRICS,
    PROTOBUF,
    Exemplar,
    Exposition,
    ExpositionError,
    Metadata,
    line_of,
    media_type,
    parse,
)
from mamimon.metrics.wire.metric_family import parse_families
from mamimon.metrics.wire.open_metrics import check
from mamimon.problems import Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.model import Labels
    from mamimon.metrics.store.day import Day

REPORTS = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
EXTRA_REPORTS = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")
_TURN = 2000
"""New series given an id before others get their turn on the event loop."""


class Status(msgspec.Struct):
    """What the targets page says of a target; times in epoch seconds."""

    health: Literal["unknown", "up", "down"] = "unknown"
    last_error: str = ""
    last_at: float | None = None
    duration_s: float = 0.0
    samples: int = 0
    next_at: float | None = None


class _Layout(msgspec.Struct, eq=False):
    """Where the samples of a scrape go: valid for all scrapes with the same texts on the same day."""

    keys: list[str]
    day: Day
    samples: npt.NDArray[np.int64]
    """Index in `keys` of each sample that is stored at the time of the scrape."""
    ids: npt.NDArray[np.int64]
    """Its series."""
    timed: list[tuple[int, int]]
    """Index in `keys` and series of the samples with a time of their own."""


class ScrapedTarget:
    """See the module."""

    def __init__(self, target: Target, job: Job, settings: MetricSettings, store: SeriesStore) -> None:
        self.target = target
        self.job = job
        self.status = Status()
        self.metadata: dict[str, Metadata] = {}
        self.refusal = ""
        """Why it is not scraped at all."""
        self._settings = settings
        self._store = store
        self._labelling = Labelling(job, target.labels, settings)
        self._ids: dict[str, int | None] = {}
        self._new: dict[str, Labels] = {}
        self._reports: list[int] = []
        self._exemplars: dict[str, Exemplar] = {}
        self._parts: dict[str, Part | None] = {}
        self._created: dict[str, Role | None] = {}
        self._day: Day | None = None
        self._layout: _Layout | None = None
        self._before: npt.NDArray[np.int64] | None = None
        self._timed_before: set[int] = set()

    @property
    def source(self) -> str:
        """The name of its chunk source in the store."""
        return f"scrape\0{self.job.name}\0{self.target.key}"

    async def take(self, body: bytes, content_type: str, at_ms: int, duration_s: float) -> str:
        """Parse and store a body scraped at `at_ms`; what it raises, it raises before storing anything.

        Returns why samples with times of their own were left out, or an empty string.
        """
        exposition, same = await asyncio.to_thread(self._read, body, content_type)
        day = await self._day_at(at_ms)
        layout = self._layout
        if layout is None or not same or layout.day is not day:
            layout = await self._lay_out(exposition, day)
        kept = len(layout.samples) + len(layout.timed)
        added = self._added(layout)
        figures = (1.0, duration_s, len(exposition.keys), kept, added)
        await self._write(exposition, layout, at_ms, figures, len(body))
        note = await self._write_timed(exposition, layout, at_ms)
        await self._keep_exemplars(exposition, at_ms)
        self._layout = layout if exposition.times_ms is None else None
        self.metadata = exposition.metadata
        self.status.samples = len(exposition.keys)
        self._forget(exposition)
        return note

    def _read(self, body: bytes, content_type: str) -> tuple[Exposition, bool]:
        """Parse, name what is new, and say whether the series are those of the last scrape. Blocking."""
        formats, most = self.target.formats, self._settings.max_series_per_target
        media = media_type(content_type, formats.fallback)
        if media == PROTOBUF:
            exposition = parse_families(
                body, native=formats.native, keep_classic=formats.keep_classic, most=most
            )
        else:
            lines = body.count(b"\n") - body.count(b"\n#")
            if lines > most + 1:
                raise ExpositionError(0, f"{lines} samples, more than max_series_per_target ({most})")
            exposition = parse(body, media, self._ids)
            if media == OPEN_METRICS and self._settings.strict_openmetrics:
                check(body.decode())
        if self._settings.start_timestamps and media == OPEN_METRICS:
            exposition = take_created(exposition, self._created)
        if formats.to_custom_buckets:
            exposition = to_native(
                exposition, self._parts, keep_classic=formats.keep_classic, gauges=media == PROTOBUF
            )
        self._narrow(exposition)
        if len(exposition.keys) > most:
            raise ExpositionError(
                0, f"{len(exposition.keys)} samples, more than max_series_per_target ({most})"
            )
        if self._layout is not None and self._layout.keys == exposition.keys and exposition.times_ms is None:
            return exposition, True
        strict = media == OPEN_METRICS
        self._new = {}
        for index, key in enumerate(exposition.keys):
            if key in self._ids or key in self._new:
                continue
            try:
                labels = self._labelling.labels(key, exposition.metadata, strict=strict)
            except ExpositionError as error:
                before = sum(self._ids.get(one, 0) is not None for one in exposition.keys[:index])
                raise ExpositionError(line_of(body, key), error.reason, index + 1, before) from None
            if labels is None:
                self._ids[key] = None
            else:
                self._new[key] = labels
        limit = self.job.limits.sample_limit
        kept = sum(self._ids.get(key, 0) is not None for key in exposition.keys) if limit else 0
        if limit and kept > limit:
            reason = f"sample limit exceeded ({kept} samples, limit {limit})"
            raise ExpositionError(0, reason, len(exposition.keys), kept)
        return exposition, False

    def _narrow(self, exposition: Exposition) -> None:
        """Bring native histograms within the limits of buckets, at a coarser resolution if need be."""
        try:
            for index, one in exposition.histograms.items():
                exposition.histograms[index] = self._narrowed(one)
        except ExpositionError as error:
            error.samples = error.kept = len(exposition.keys)
            raise

    def _narrowed(self, one: Histogram) -> Histogram:
        limits = self.job.limits
        if limits.native_histogram_min_bucket_factor and one.schema != CUSTOM:
            finest = lowest_factor_schema(limits.native_histogram_min_bucket_factor)
            one = at_schema(one, min(one.schema, finest))
        most = limits.native_histogram_bucket_limit
        while most and len(one.positive) + len(one.negative) > most:
            if one.schema == CUSTOM or one.schema <= -4:
                raise ExpositionError(0, f"histogram bucket limit exceeded (limit {most})")
            one = at_schema(one, one.schema - 1)
        return one

    async def _day_at(self, at_ms: int) -> Day:
        """The day of a scrape; at midnight every series gets an id of the new one."""
        day = await self._store.day_of(at_ms)
        before, self._day = self._day, day
        if day is before or before is None:
            return day
        self._reports = []
        for turn, (key, number) in enumerate(self._ids.items()):
            if number is not None:
                self._ids[key] = day.index.id_of_key(before.index.key(number))
            if turn % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        return day

    async def _lay_out(self, exposition: Exposition, day: Day) -> _Layout:
        import numpy as np

        for turn, (key, labels) in enumerate(self._new.items()):
            self._ids[key] = day.index.id_of(labels)
            if turn % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        self._new = {}
        times = exposition.times_ms if self.job.honor_timestamps else None
        samples: list[int] = []
        ids: list[int] = []
        timed: list[tuple[int, int]] = []
        for index, key in enumerate(exposition.keys):
            number = self._ids[key]
            if number is None:
                continue
            if times is not None and times[index] is not None:
                timed.append((index, number))
            else:
                samples.append(index)
                ids.append(number)
        return _Layout(
            exposition.keys, day, np.asarray(samples, dtype=np.int64), np.asarray(ids, dtype=np.int64), timed
        )

    def _added(self, layout: _Layout) -> int:
        """How many series the scrape before did not have."""
        import numpy as np

        if layout is self._layout:
            return 0
        timed = np.asarray([number for _, number in layout.timed], dtype=np.int64)
        now = np.unique(np.concatenate([layout.ids, timed]))
        before, self._before = self._before, now
        same_day = self._layout is None or self._layout.day is layout.day
        if before is None or not same_day:
            return len(now) if before is None else max(0, len(now) - len(before))
        return len(np.setdiff1d(now, before, assume_unique=True))

    async def fail(self, at_ms: int, duration_s: float, error: ExpositionError | None = None) -> None:
        """Record a failed scrape: `up` is 0 and every series of the last one has ended."""
        import numpy as np

        day = await self._day_at(at_ms)
        none = np.empty(0, dtype=np.int64)
        self._before = None
        self._layout = None
        self.status.samples = 0
        empty = Exposition([], np.empty(0, dtype=np.float64), None, {}, [])
        layout = _Layout([], day, none, none, [])
        samples, kept = (error.samples, error.kept) if error else (0, 0)
        await self._write(empty, layout, at_ms, (0.0, duration_s, samples, kept, 0), -1)
        await self._write_timed(empty, layout, at_ms)

    async def _write(
        self,
        exposition: Exposition,
        layout: _Layout,
        at_ms: int,
        figures: tuple[float, float, int, int, int],
        body_bytes: int,
    ) -> None:
        import numpy as np

        reports = list(figures)
        names = list(REPORTS)
        if self.job.formats.extra_metrics:
            names += EXTRA_REPORTS
            reports += [self.target.timeout_s, self.job.limits.sample_limit, body_bytes]
        if not self._reports:
            self._reports = [
                layout.day.index.id_of({"__name__": name, **self.target.labels}) for name in names
            ]
        values, histograms, starts = self._picked(exposition, layout.samples)
        count = len(self._reports)
        await self._store.write(
            [
                Scrape(
                    self.source,
                    at_ms,
                    np.concatenate([layout.ids, np.asarray(self._reports, dtype=np.int64)]),
                    np.concatenate([values, np.asarray(reports, dtype=np.float64)]),
                    histograms=histograms,
                    starts=None if starts is None else np.concatenate([starts, np.zeros(count, np.int64)]),
                )
            ]
        )

    def _picked(
        self, exposition: Exposition, samples: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], dict[int, Histogram], npt.NDArray[np.int64] | None]:
        """Values, native histograms and start timestamps of some samples."""
        import numpy as np

        began = exposition.starts_ms if self._settings.start_timestamps else {}
        place = {}
        if exposition.histograms or began:
            place = {index: number for number, index in enumerate(samples.tolist())}
        starts = np.zeros(len(samples), dtype=np.int64) if began else None
        for index, at in began.items():
            if starts is not None and index in place:
                starts[place[index]] = at
        native = {place[index]: one for index, one in exposition.histograms.items() if index in place}
        return exposition.values[samples], native, starts

    async def _write_timed(self, exposition: Exposition, layout: _Layout, at_ms: int) -> str:
        """Samples with times of their own; out of bounds is the target's doing and the rest is good."""
        if not layout.timed and not self._timed_before:
            return ""
        import numpy as np

        rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
        times = exposition.times_ms or []
        for index, number in layout.timed:
            rows[times[index] or 0].append((index, number))
        source = f"{self.source}\0timed"
        scrapes: list[Scrape] = []
        note = ""
        for time, samples in sorted(rows.items()):
            refusal = self._store.refusal(source, time)
            if refusal:
                note = refusal
                continue
            day = await self._store.day_of(time)
            ids = [number for _, number in samples]
            if day is not layout.day:
                ids = [day.index.id_of_key(layout.day.index.key(number)) for number in ids]
            chosen = np.asarray([index for index, _ in samples], dtype=np.int64)
            values, histograms, starts = self._picked(exposition, chosen)
            own = np.asarray(ids, dtype=np.int64)
            scrapes.append(Scrape(source, time, own, values, False, histograms, starts))
        try:
            for day_scrapes in by_day(scrapes):
                await self._store.write(day_scrapes)
            await self._end_timed(layout, source, at_ms)
        except Problem as problem:
            note = problem.detail
        return note

    async def _end_timed(self, layout: _Layout, source: str, at_ms: int) -> None:
        """Mark vanished series that had times of their own, where the job wants that."""
        if not self.job.track_timestamps_staleness:
            return
        import numpy as np

        now = {number for _, number in layout.timed}
        gone = np.asarray(sorted(self._timed_before - now), dtype=np.int64)
        self._timed_before = now
        if len(gone):
            values = np.full(len(gone), STALE_NAN)
            await self._store.write([Scrape(source, at_ms, gone, values, whole=False)])

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

    def _forget(self, exposition: Exposition) -> None:
        """Drop what is kept of series that are long gone."""
        if len(self._ids) <= 2 * len(exposition.keys) + 1000:
            return
        keys = set(exposition.keys)
        self._ids = {key: number for key, number in self._ids.items() if key in keys}
        self._parts = {key: part for key, part in self._parts.items() if key in keys}
        self._created.clear()
        self._exemplars = {key: one for key, one in self._exemplars.items() if key in keys}


def by_day(scrapes: list[Scrape]) -> list[list[Scrape]]:
    """Scrapes in ascending time as one list a UTC day, the way the store takes them."""
    out: dict[int, list[Scrape]] = {}
    for scrape in scrapes:
        out.setdefault(scrape.at // 86_400_000, []).append(scrape)
    return list(out.values())
