"""The scraper: a task a target, spread over the interval, so that a slow one delays no other."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import Counter

from mamimon.config import ConfigError
from mamimon.metrics.scrape.config import PrometheusConfig, read
from mamimon.metrics.scrape.discovery import Discovery, Target, file_state, targets_of
from mamimon.metrics.scrape.fetch import Fetcher, FetchError
from mamimon.metrics.scrape.job import Group, Job
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
        self._state: tuple[tuple[str, int, int], ...] = ()
        self.after_reload: list[Callable[[], Awaitable[None]]] = []
        """What else reads its files again when it is asked for (the rules)."""
        self.reload_ok = True
        """Whether the last reading of the file succeeded."""
        self.reloaded_at = self.failed_at = core.clock.now()
        self.dropped: dict[str, list[dict[str, str]]] = {}
        self.dropped_count: dict[str, int] = {}
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
            self.take(config)
            self.reload_ok, self.reloaded_at = True, self._core.clock.now()
            self._changed.set()
        for follow in self.after_reload:
            await follow()

    def take(self, config: PrometheusConfig) -> None:
        """Put a configuration in force."""
        self.config = config
        self._store.set_out_of_order(config.out_of_order_s)
        self._state = file_state([*map(str, config.files), *config.patterns])

    async def watch(self) -> None:
        """Background task: read `prometheus.yml` again when it or a file that it names has changed."""
        every = self._core.settings.metrics.reload_check_s
        while every:
            await self._core.clock.sleep(every)
            if self.config is None:
                continue
            names = [*map(str, self.config.files), *self.config.patterns]
            state = await asyncio.to_thread(file_state, names)
            if state == self._state:
                continue
            self._state = state
            try:
                await self.reload()
                _log.info("%s has changed and was read again", self.config.path)
            except ConfigError as error:
                _log.error("%s; the configuration of before stays in force", error)

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
            self.dropped_count.pop(name, None)
            self.discovery_errors.pop(name, None)
            del self._jobs[name]
        for name, job in wanted.items():
            if name not in self._jobs:
                self._fetchers[name] = Fetcher(
                    job, self._core.settings.metrics.max_exposition_bytes, self._core.clock
                )
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
        clock = self._core.clock
        discovery = Discovery(job, clock, self._core.settings.metrics.dns_servers)
        try:
            while True:
                groups = await discovery.groups()
                errors = [*discovery.errors, *await self._apply(job, groups)]
                for error in errors:
                    if error not in self.discovery_errors.get(job.name, []):
                        _log.warning("discovery of job %s: %s", job.name, error)
                self.discovery_errors[job.name] = errors
                pause = discovery.pause_s()
                if pause is None:
                    await asyncio.Event().wait()
                else:
                    await clock.sleep(pause)
        finally:
            await discovery.close()

    async def _apply(self, job: Job, groups: list[Group]) -> list[str]:
        """Scrape what the groups hold; answers what is wrong with them."""
        wanted, dropped, wrong = targets_of(job, groups)
        limit, most = job.limits.target_limit, job.limits.keep_dropped_targets
        self.dropped[job.name] = dropped[:most] if most else dropped
        self.dropped_count[job.name] = len(dropped)
        keys = {(job.name, target.key): target for target in wanted}
        for key, running in list(self._targets.items()):
            # Other labels before relabelling change nothing; another rhythm or format makes another target.
            if key[0] == job.name and (key not in keys or not _scraped_alike(running.target, keys[key])):
                await self._stop(key)
        refusal = ""
        if limit and len(wanted) > limit:
            refusal = f"target_limit exceeded (number of targets: {len(wanted)}, limit: {limit})"
            wrong.append(refusal)
        for key, target in keys.items():
            if key not in self._targets:
                self._start(key, target, job)
            self._targets[key].refusal = refusal
        return wrong

    def _start(self, key: tuple[str, str], target: Target, job: Job) -> None:
        scraped = ScrapedTarget(target, job, self._core.settings.metrics, self._store)
        fetcher = self._fetchers[job.name]

        async def body() -> tuple[bytes, str]:
            if scraped.refusal:
                raise FetchError(scraped.refusal)
            return await fetcher.fetch(target)

        self._targets[key] = scraped
        offset = zlib.crc32(repr(key).encode()) / 2**32 * target.interval_s
        self._running[key] = asyncio.create_task(
            self._keep_scraping(scraped, body, offset), name=f"scrape {target.url}"
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
        error = note = ""
        broken: ExpositionError | None = None
        try:
            async with asyncio.timeout(scraped.target.timeout_s):
                raw, content_type = await body()
            note = await scraped.take(raw, content_type, at_ms, time.perf_counter() - began)
        except TimeoutError:
            error = "context deadline exceeded"
        except ExpositionError as failure:
            error, broken = str(failure), failure
        except FetchError as failure:
            error = str(failure)
        except Problem as problem:
            error = problem.detail
        status.duration_s = time.perf_counter() - began
        status.last_at = at_ms / 1000
        status.health = "down" if error else "up"
        status.last_error = error or note
        if error:
            self._failures.labels(scraped.job.name).inc()
            await scraped.fail(at_ms, status.duration_s, broken)


def _scraped_alike(one: Target, other: Target) -> bool:
    return (one.interval_s, one.timeout_s, one.formats) == (other.interval_s, other.timeout_s, other.formats)


def _next_slot(now: float, interval: float, offset: float) -> float:
    at = now - now % interval + offset
    return at if at > now else at + interval
