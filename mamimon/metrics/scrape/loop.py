"""The scraper: a task a target, spread over the interval, so that a slow one delays no other."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from mamimon.metrics.scrape.config import Group, Job, PrometheusConfig, read
from mamimon.metrics.scrape.discovery import Target, read_file_groups, targets_of
from mamimon.metrics.scrape.fetch import Fetcher, FetchError
from mamimon.metrics.scrape.target import ScrapedTarget
from mamimon.metrics.store import SeriesStore
from mamimon.metrics.wire.exposition import ExpositionError
from mamimon.problems import Problem
from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")

Body = Callable[[], Awaitable[tuple[bytes, str]]]


class Scraper:
    """Scrapes the targets of a configuration until cancelled."""

    def __init__(self, core: Core, store: SeriesStore, config: PrometheusConfig | None) -> None:
        self._core = core
        self._store = store
        self.config = config
        self._targets: dict[tuple[str, str], ScrapedTarget] = {}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._fetchers: dict[str, Fetcher] = {}
        self._jobs: dict[str, tuple[Job, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self.reload_ok = True
        """Whether the last reading of the file succeeded."""
        self.reloaded_at = self.failed_at = core.clock.now()
        self.dropped: dict[str, list[dict[str, str]]] = {}
        self.discovery_errors: dict[str, list[str]] = {}
        self._failures = Counter(
            "mamimon_scrape_failures", "Scrapes that failed.", ["job"], registry=core.registry
        )

    @property
    def targets(self) -> list[ScrapedTarget]:
        """Every target, by job and address."""
        return [self._targets[key] for key in sorted(self._targets)]

    async def reload(self) -> None:
        """Read `prometheus.yml` again and go over to it; targets of jobs that did not change go on.

        Raises `ConfigError` for a file that cannot be used; the old configuration stays in force.
        """
        settings = self._core.settings.metrics
        if settings.prometheus_config:
            self.reload_ok, self.failed_at = False, self._core.clock.now()
            config = await asyncio.to_thread(read, Path(settings.prometheus_config), settings)
            for warning in config.warnings:
                _log.warning(warning)
            self.config, self.reload_ok, self.reloaded_at = config, True, self._core.clock.now()
            self._changed.set()

    async def run(self) -> None:
        """Scrape until cancelled."""
        if self._core.settings.metrics.scrape_self:
            self._start_self()
        try:
            while True:
                self._changed.clear()
                await self._follow_config()
                changed = asyncio.create_task(self._changed.wait())
                keepers = [task for _, task in self._jobs.values()]
                done, _ = await asyncio.wait([changed, *keepers], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                for task in done - {changed}:
                    task.result()
        finally:
            await self._end()

    async def _follow_config(self) -> None:
        """End the jobs that are gone or differ, start those that are new."""
        wanted = {job.name: job for job in (self.config.jobs if self.config else [])}
        for name, (job, task) in list(self._jobs.items()):
            if wanted.get(name) == job:
                continue
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for key in [key for key in self._targets if key[0] == name]:
                await self._stop(key)
            await self._fetchers.pop(name).close()
            self.dropped.pop(name, None)
            self.discovery_errors.pop(name, None)
            del self._jobs[name]
        for name, job in wanted.items():
            if name not in self._jobs:
                self._fetchers[name] = Fetcher(job, self._core.settings.metrics.max_exposition_bytes)
                self._jobs[name] = (job, asyncio.create_task(self._keep_job(job), name=f"job {name}"))

    async def _end(self) -> None:
        tasks = [*(task for _, task in self._jobs.values()), *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for fetcher in self._fetchers.values():
            await fetcher.close()
        # A supervisor that starts `run` again must find nothing that looks as if it still ran.
        for table in (self._jobs, self._running, self._fetchers, self._targets):
            table.clear()

    async def _keep_job(self, job: Job) -> None:
        """Discover a job's targets, now and again, and start and stop their tasks."""
        periods = [files.refresh_s for files in job.files] + [dns.refresh_s for dns in job.dns]
        while True:
            groups = list(job.static)
            errors: list[str] = []
            for files in job.files:
                found, failed = await asyncio.to_thread(read_file_groups, files.files)
                groups += found
                errors += failed
            for dns in job.dns:
                found, failed = await _resolve(dns.names, dns.type, dns.port)
                groups += found
                errors += failed
            for error in errors:
                if error not in self.discovery_errors.get(job.name, []):
                    _log.warning("discovery of job %s: %s", job.name, error)
            self.discovery_errors[job.name] = errors
            await self._apply(job, groups)
            if not periods:
                await asyncio.Event().wait()
            await self._core.clock.sleep(min(periods))

    async def _apply(self, job: Job, groups: list[Group]) -> None:
        wanted, self.dropped[job.name] = targets_of(job, groups)
        limit = job.limits.target_limit
        if limit and len(wanted) > limit:
            self.discovery_errors[job.name].append(
                f"target_limit exceeded: {len(wanted)} targets, limit {limit}"
            )
            wanted = []
        keys = {(job.name, target.key): target for target in wanted}
        for key in [key for key in self._targets if key[0] == job.name and key not in keys]:
            await self._stop(key)
        for key, target in keys.items():
            if key not in self._targets:
                self._start(key, target, job)

    def _start(self, key: tuple[str, str], target: Target, job: Job) -> None:
        scraped = ScrapedTarget(target, job, self._core.settings.metrics, self._store)
        fetcher = self._fetchers[job.name]
        self._targets[key] = scraped
        offset = zlib.crc32(repr(key).encode()) / 2**32 * target.interval_s
        self._running[key] = asyncio.create_task(
            self._keep_scraping(scraped, lambda: fetcher.fetch(target), offset), name=f"scrape {target.url}"
        )

    async def _stop(self, key: tuple[str, str]) -> None:
        task, scraped = self._running.pop(key), self._targets.pop(key)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._store.end(scraped.source, int(self._core.clock.now() * 1000))

    def _start_self(self) -> None:
        """Our own exposition, without HTTP: no account stands in the way and no port is needed."""
        settings = self._core.settings.metrics
        address = self._core.base_url.partition("://")[2] or "mamimon"
        job = Job(name="mamimon", interval_s=settings.scrape_interval_s, timeout_s=settings.scrape_timeout_s)
        target = Target(
            job="mamimon",
            url=f"{self._core.base_url}/metrics",
            labels={"job": "mamimon", "instance": address},
            discovered={"__address__": address, "job": "mamimon"},
            interval_s=job.interval_s,
            timeout_s=job.timeout_s,
        )
        key = ("mamimon", target.key)
        if key in self._targets:
            return
        self._targets[key] = ScrapedTarget(target, job, settings, self._store)
        self._running[key] = asyncio.create_task(
            self._keep_scraping(self._targets[key], self._own, None), name="scrape self"
        )

    async def _own(self) -> tuple[bytes, str]:
        from prometheus_client import generate_latest

        return await asyncio.to_thread(generate_latest, self._core.registry), "text/plain"

    async def _keep_scraping(self, scraped: ScrapedTarget, body: Body, offset: float | None) -> None:
        """Scrape at each slot of the interval; without an offset the first scrape is now."""
        clock, interval = self._core.clock, scraped.target.interval_s
        at = clock.now() if offset is None else _next_slot(clock.now(), interval, offset)
        while True:
            scraped.status.next_at = at
            await clock.sleep(at - clock.now())
            try:
                await self._scrape(scraped, body, round(clock.now() * 1000))
            except Problem as problem:
                # The store cannot take it (disk full, stopping): the target is not to blame.
                scraped.status.last_error = problem.detail
            except Exception:
                _log.exception("scraping %s failed", scraped.target.url)
            base = at if offset is None else offset
            at = _next_slot(clock.now(), interval, base % interval)

    async def _scrape(self, scraped: ScrapedTarget, body: Body, at_ms: int) -> None:
        began = time.perf_counter()
        status = scraped.status
        if not self._core.writable():
            status.last_error = "the disk is full: scrapes are not stored"
            return
        error = ""
        try:
            async with asyncio.timeout(scraped.target.timeout_s):
                raw, content_type = await body()
            status.last_error = ""
            await scraped.take(raw, content_type, at_ms, time.perf_counter() - began)
        except TimeoutError:
            error = "context deadline exceeded"
        except (FetchError, ExpositionError) as failure:
            error = str(failure)
        except Problem as problem:
            error = problem.detail
        status.duration_s = time.perf_counter() - began
        status.last_at = at_ms / 1000
        status.health = "down" if error else "up"
        if error:
            status.last_error = error
            self._failures.labels(scraped.job.name).inc()
            await scraped.fail(at_ms, status.duration_s)


def _next_slot(now: float, interval: float, offset: float) -> float:
    at = now - now % interval + offset
    return at if at > now else at + interval


async def _resolve(names: list[str], kind: str, port: int) -> tuple[list[Group], list[str]]:
    """Addresses of A and AAAA names; SRV is refused when the file is read."""
    import socket

    family = socket.AF_INET6 if kind == "AAAA" else socket.AF_INET
    loop = asyncio.get_running_loop()
    groups: list[Group] = []
    errors: list[str] = []
    for name in names:
        try:
            found: list[Any] = await loop.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
        except OSError as error:
            errors.append(f"{name}: {error}")
            continue
        hosts = sorted({str(address[4][0]) for address in found})
        shown = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]
        groups.append(Group(shown, {"__meta_dns_name": name}, f"dns/{name}"))
    return groups, errors
