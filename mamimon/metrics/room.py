"""The metrics room: the series store, the scraper, PromQL and their doors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.config import ConfigError
from mamimon.metrics.ingest import Pusher
from mamimon.metrics.model import Matcher
from mamimon.metrics.pages import page_handlers
from mamimon.metrics.pushed import PushedGroups
from mamimon.metrics.query import LocalBackend, SeriesBackend
from mamimon.metrics.routes import api_handlers
from mamimon.metrics.routes.questions import prompt_doors, question_doors
from mamimon.metrics.scrape.config import PrometheusConfig, read
from mamimon.metrics.scrape.loop import Scraper
from mamimon.metrics.statsd import Statsd
from mamimon.metrics.store import SeriesStore
from mamimon.metrics.store.history import FOLDERS
from mamimon.metrics.wire.remote_read import series_of
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from litestar.types import ControllerRouterHandler

    from mamimon.http import AsgiApp, AtOnce
    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import Labels
    from mamimon.metrics.store.day import Day
    from mamimon.metrics.store.dayfile import ExemplarRow
    from mamimon.metrics.store.history import History
    from mamimon.metrics.store.scrape import Scrape
    from mamimon.metrics.wire.remote_read import Series

_log = logging.getLogger("mamimon.metrics")
_APPENDED = "append\0"


class MetricRoom:
    """See `mamimon.room.Room`."""

    name = "metrics"

    def __init__(self, core: Core) -> None:
        self._core = core
        self.store = SeriesStore(core.data_dir / "metrics", core.settings, core.clock)
        self._local = LocalBackend(core, self.store)
        self._doors = question_doors(core, self._local)
        self.scraper = Scraper(core, self.store, None)
        self._reloading: asyncio.Task[None] | None = None
        self.pusher = Pusher(self.store, core.settings.metrics)
        self.pushed = PushedGroups(core, self.store, self.pusher)
        self.statsd = Statsd(core, self.store, self.pusher)
        self.long = {name: _Months(self.store.history, one) for one, name in FOLDERS.items()}
        """The long history by resolution (5m, 1h): a file a month each."""

    @property
    def backend(self) -> SeriesBackend:
        """What answers PromQL."""
        return self._local

    @property
    def config(self) -> PrometheusConfig | None:
        """The `prometheus.yml` in force."""
        return self.scraper.config

    async def exemplars(
        self, selectors: Sequence[Sequence[Matcher]], start: float, end: float, limit: int
    ) -> list[tuple[Labels, list[ExemplarRow]]]:
        """The exemplars of matching series between two epoch seconds, at most `limit`."""
        return await self._local.exemplars(selectors, start, end, limit)

    async def open(self) -> None:
        """See `Room.open`. Raises `ConfigError` for a `prometheus.yml` that cannot be used."""
        path = self._core.settings.metrics.prometheus_config
        if path:
            config = read(Path(path), self._core.settings.metrics)
            for warning in config.warnings:
                _log.warning(warning)
            self.scraper.take(config)
        await self.store.open()
        await self.pushed.open()
        await self.statsd.open()
        self._core.on_hangup.append(self._on_hangup)
        self._core.registry.register(_Figures(self))

    def _on_hangup(self) -> None:
        self._reloading = asyncio.create_task(self._reload_or_say())

    async def _reload_or_say(self) -> None:
        try:
            await self.scraper.reload()
        except ConfigError as error:
            _log.error("%s; the configuration of before stays in force", error)

    async def close(self) -> None:
        """See `Room.close`."""
        self._local.close()
        self.statsd.close()
        await self.store.close()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return [
            Task("metrics-store", self.store.keep),
            Task("metrics-history", self.store.downsample),
            Task("scraper", self.scraper.run),
            Task("pushed groups", self.pushed.run),
            Task("statsd", self.statsd.run),
            Task("scrape-config", self.scraper.watch),
        ]

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *api_handlers(self._core, self.store, self._local, self.scraper, self.pusher, self.pushed),
            *page_handlers(self._core, self.store, self.scraper, self._local, self.pusher),
        ]

    def direct(self, path: str) -> AsgiApp | None:
        """The doors of questions (`mamimon.room.Direct`)."""
        return self._doors.get(path) or self._doors.get(path.removesuffix("/"))

    def at_once(self) -> dict[str, AtOnce]:
        """The door of small questions (`mamimon.room.Prompt`)."""
        return prompt_doors(self._core, self._local)

    async def append(
        self, source: str, at: float, samples: Sequence[tuple[Labels, float | Histogram]]
    ) -> None:
        """Take in the whole state of `source` at `at` (epoch seconds), durable on return.

        A series of the source's last state that is not among `samples` has ended.
        """
        await self.store.append(f"{_APPENDED}{source}", round(at * 1000), samples)

    def on_samples(self, call: Callable[[], None]) -> None:
        """Have `call` called when samples came from outside: scraped or pushed, not by `append`."""
        self.store.listeners.append(
            lambda _, scrapes: None if scrapes[0].source.startswith(_APPENDED) else call()
        )

    def on_commit(self, call: Callable[[Day, Sequence[Scrape]], None]) -> None:
        """Have `call` called with all that is stored, once it is; must be quick."""
        self.store.listeners.append(call)

    async def between(self, start: float, end: float) -> list[Series]:
        """Every series with its samples between two epoch seconds, ends included."""
        everything = [Matcher("__name__", "!=", "")]
        selection = await self._local.select(everything, round(start * 1000), round(end * 1000))
        return await asyncio.to_thread(series_of, selection, {})

    def oldest(self) -> float | None:
        """Epoch seconds of the first sample there is, from memory; None without one."""
        return self.store.oldest()

    def days(self) -> list[str]:
        """The UTC days there are samples of, oldest first."""
        return self.store.days()

    def day_path(self, day: str) -> Path:
        """The file of a day."""
        return self.store.day_path(day)

    async def drop_day(self, day: str) -> None:
        """Delete a day."""
        await self.store.drop_day(day)

    async def snapshot_day(self, day: str, target: Path) -> None:
        """A consistent copy of a day's file."""
        await self.store.snapshot_day(day, target)


class _Months:
    """One resolution of the long history, as retention sees months."""

    def __init__(self, history: History, resolution: int) -> None:
        self._history = history
        self._resolution = resolution

    def months(self) -> list[str]:
        """The UTC months there are files of."""
        return self._history.months(self._resolution)

    def month_path(self, month: str) -> Path:
        """The file of a month."""
        return self._history.month_path(self._resolution, month)

    async def snapshot_month(self, month: str, target: Path) -> None:
        """A consistent copy of a month's file."""
        await self._history.snapshot_month(self._resolution, month, target)

    async def drop_month(self, month: str) -> None:
        """Delete a month."""
        await self._history.drop_month(self._resolution, month)


class _Figures(Collector):
    """The store's own numbers, read when scraped."""

    def __init__(self, room: MetricRoom) -> None:
        self._room = room

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        figures = self._room.store.figures()
        yield GaugeMetricFamily("mamimon_series", "Series of today.", figures["series"])
        yield GaugeMetricFamily("mamimon_series_chunks", "Sealed chunks known.", figures["chunks"])
        yield GaugeMetricFamily(
            "mamimon_series_head_bytes", "Memory of the open chunks.", figures["head_bytes"]
        )
        yield GaugeMetricFamily(
            "mamimon_series_cache_bytes", "Memory of decoded chunks.", figures["cache_bytes"]
        )
        targets = self._room.scraper.targets
        down = sum(one.status.health == "down" for one in targets)
        yield GaugeMetricFamily("mamimon_targets", "Scrape targets.", len(targets))
        yield GaugeMetricFamily("mamimon_targets_down", "Scrape targets that are down.", down)
