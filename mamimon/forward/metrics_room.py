"""The receivers of samples together: those of prometheus.yml and of our own settings, followed on reload."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.config import ConfigError
from mamimon.forward.addresses import points_here
from mamimon.forward.metrics import MetricForwarder, MetricStatus
from mamimon.forward.outbox_store import OutboxStore
from mamimon.metrics.scrape.job import Http
from mamimon.metrics.scrape.read_remote_write import RemoteWrite, plain_url

if TYPE_CHECKING:
    from mamimon.metrics.room import MetricRoom
    from mamimon.metrics.store.day import Day
    from mamimon.metrics.store.scrape import Scrape
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.forward")


class MetricForwarding(Collector):
    """Sends samples on to every receiver that is configured; also the collector of its metrics."""

    def __init__(self, core: Core, metrics: MetricRoom) -> None:
        self._core = core
        self._metrics = metrics
        self._outbox = OutboxStore(core.data_dir / "outbox.db")
        self._forwarders: list[MetricForwarder] = []
        self._changed = asyncio.Event()
        self._closed = False
        metrics.on_commit(self._take)
        metrics.scraper.after_reload.append(self._reload)

    def _take(self, day: Day, scrapes: Sequence[Scrape]) -> None:
        for one in self._forwarders:
            one.take(day, scrapes)

    def _wanted(self) -> list[RemoteWrite]:
        settings = self._core.settings.forward
        config = self._metrics.config
        found = list(config.remote_writes) if config is not None else []
        url = settings.remote_write_url
        if url:
            if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
                raise ConfigError(f"forward.remote_write_url: {url[:80]!r} is not a http:// or https:// URL")
            parts = urlsplit(url)
            name = plain_url(url)
            http = Http(
                username=settings.remote_write_username or unquote(parts.username or ""),
                password=settings.remote_write_password or unquote(parts.password or ""),
            )
            bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            if name not in {one.name for one in found}:
                found.append(RemoteWrite(url=bare, name=name, http=http))
        return found

    async def open(self) -> None:
        """Take up what waits. Raises `ConfigError` for an address that is no URL."""
        await self._take_up()
        self._core.registry.register(self)

    async def _take_up(self) -> None:
        wanted = self._wanted()
        config = self._metrics.config
        external = dict(config.external_labels) if config is not None else {}
        if not wanted and not (self._core.data_dir / "outbox.db").exists():
            return
        gone = await self._outbox.forget_others([one.name for one in wanted])
        for name in gone:
            _log.info("%s is configured no more; what waited for it is dropped", name)
        most = self._core.settings.forward.queue_bytes
        clock = self._core.clock
        fresh = [MetricForwarder(one, external, self._outbox, self._metrics, clock, most) for one in wanted]
        for one in fresh:
            await one.catch_up()
        self._forwarders = fresh

    async def _reload(self) -> None:
        config = self._metrics.config
        wanted = self._wanted()
        external = dict(config.external_labels) if config is not None else {}
        same = [one.settings for one in self._forwarders] == wanted
        if same and all(one.external == external for one in self._forwarders):
            return
        before, self._forwarders = self._forwarders, []
        for one in before:
            await one.close()
        await self._take_up()
        self._changed.set()

    def statuses(self) -> list[MetricStatus]:
        """How each receiver stands; from memory."""
        return [one.status for one in self._forwarders]

    async def run(self) -> None:
        """Send for ever, to whom the configuration says."""
        while True:
            self._changed.clear()
            jobs = [
                asyncio.ensure_future(work)
                for one in list(self._forwarders)
                if not await self._is_us(one)
                for work in (one.gather(), one.send())
            ]
            wake = asyncio.ensure_future(self._changed.wait())
            try:
                done, _ = await asyncio.wait([*jobs, wake], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for job in (*jobs, wake):
                    job.cancel()
                await asyncio.gather(*jobs, wake, return_exceptions=True)
            for job in done - {wake}:
                job.result()

    async def _is_us(self, one: MetricForwarder) -> bool:
        url = one.settings.url
        # Only our own door of remote write would make a circle.
        if not urlsplit(url).path.endswith("/api/v1/write"):
            return False
        if not await asyncio.to_thread(points_here, url, self._core.ports):
            return False
        one.status.state, one.status.message = "off", "the address is this mamimon itself"
        self._forwarders.remove(one)
        _log.warning("not sending samples to %s: it is this mamimon itself", one.settings.name)
        return True

    async def close(self) -> None:
        """Queue what is left; idempotent."""
        if self._closed:
            return
        self._closed = True
        for one in self._forwarders:
            await one.close()
        await self._outbox.close()

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Sent, refused, dropped and retried, and what waits."""
        counters: list[tuple[str, str, str]] = [
            ("sent", "sent", "Samples that arrived."),
            ("refused", "refused", "Samples that the receiver refused for good."),
            ("dropped", "dropped", "Samples lost to a full queue."),
            ("skipped_histograms", "skipped", "Native histograms that are not sent."),
            ("retries", "retries", "Requests that are repeated."),
        ]
        for name, attribute, about in counters:
            family = CounterMetricFamily(f"mamimon_remote_write_{name}", about, labels=["target"])
            for status in self.statuses():
                family.add_metric([status.target], getattr(status, attribute))
            yield family
        now = self._core.clock.now()
        figures: list[tuple[str, str, Callable[[MetricStatus], float]]] = [
            ("up", "1 while the receiver takes samples.", lambda one: float(one.state == "up")),
            ("queue_samples", "Samples that wait.", lambda one: one.queue.samples),
            ("queue_bytes", "Bytes of requests that wait.", lambda one: one.queue.size_bytes),
            ("lag_seconds", "Age of what has waited longest.", lambda one: _age(one, now)),
        ]
        for name, about, value in figures:
            gauge = GaugeMetricFamily(f"mamimon_remote_write_{name}", about, labels=["target"])
            for status in self.statuses():
                gauge.add_metric([status.target], value(status))
            yield gauge


def _age(status: MetricStatus, now: float) -> float:
    oldest = status.queue.oldest_at
    return max(0.0, now - oldest) if oldest is not None else 0.0
