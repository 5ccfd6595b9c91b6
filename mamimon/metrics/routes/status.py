"""Targets and the state of the server, in Prometheus' shapes; its health endpoints."""

from __future__ import annotations

import datetime as dt
import platform
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, MediaType, Request, Response, get, route

import mamimon
from mamimon.config import ConfigError
from mamimon.metrics.routes.answer import failure, parameters, success
from mamimon.problems import Problem
from mamimon.storage.days import day_start

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.scrape.target import ScrapedTarget
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

# The release whose API and PromQL we follow; clients compare it.
PROMETHEUS_VERSION = "3.14.0"


def status_handlers(core: Core, store: SeriesStore, scraper: Scraper) -> list[ControllerRouterHandler]:
    """`/api/v1/targets`, `/api/v1/status/*`, `/-/healthy`, `/-/ready`."""
    started = core.clock.now()

    @get("/api/v1/targets", exception_handlers={Problem: failure})
    async def targets(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Every target with its last scrape."""
        given = await parameters(request)
        state = given.get("state", "any")
        pool = given.get("scrapePool")
        active = [_target(one) for one in scraper.targets if pool in ("", one.job.name)]
        dropped = [
            {"discoveredLabels": labels, "scrapePool": job}
            for job, found in scraper.dropped.items()
            for labels in found
        ]
        return success(
            {
                "activeTargets": [] if state == "dropped" else active,
                "droppedTargets": [] if state == "active" else dropped,
                "droppedTargetCounts": {job: len(found) for job, found in scraper.dropped.items()},
            }
        )

    @get("/api/v1/scrape_pools", sync_to_thread=False)
    def scrape_pools() -> Response[bytes]:
        """The names of the jobs."""
        return success({"scrapePools": sorted({one.job.name for one in scraper.targets})})

    @get("/api/v1/status/buildinfo", sync_to_thread=False)
    def buildinfo() -> Response[bytes]:
        """Which Prometheus we stand in for, and who we are."""
        return success(
            {
                "version": PROMETHEUS_VERSION,
                "revision": f"mamimon-{mamimon.__version__}",
                "branch": "mamimon",
                "buildUser": "mamimon",
                "buildDate": "",
                "goVersion": f"python{platform.python_version()}",
            }
        )

    @get("/api/v1/status/config", sync_to_thread=False)
    def config() -> Response[bytes]:
        """The `prometheus.yml` in force, its secrets hidden."""
        return success({"yaml": _without_secrets(scraper.config.text) if scraper.config else ""})

    @get("/api/v1/status/flags", sync_to_thread=False)
    def flags() -> Response[bytes]:
        """The settings that Prometheus has as flags."""
        settings = core.settings.metrics
        return success(
            {
                "config.file": settings.prometheus_config,
                "query.lookback-delta": f"{settings.lookback_s:g}s",
                "query.max-samples": str(settings.query_max_samples),
                "query.timeout": f"{settings.query_timeout_s:g}s",
                "storage.tsdb.path": str(store.directory),
                "storage.tsdb.retention.time": f"{settings.retention_days}d",
                "web.enable-admin-api": "false",
                "web.enable-lifecycle": "true",
                "web.enable-remote-write-receiver": "true",
            }
        )

    @get("/api/v1/status/runtimeinfo", sync_to_thread=False)
    def runtimeinfo() -> Response[bytes]:
        """When the server started and what it keeps."""
        return success(
            {
                "startTime": _rfc3339(started),
                "CWD": str(core.data_dir),
                "hostname": platform.node(),
                "serverTime": _rfc3339(core.clock.now()),
                "reloadConfigSuccess": scraper.reload_ok,
                "lastConfigTime": _rfc3339(scraper.reloaded_at),
                "corruptionCount": 0,
                "goroutineCount": 0,
                "GOMAXPROCS": 1,
                "GOMEMLIMIT": 0,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": f"{core.settings.metrics.retention_days}d",
            }
        )

    @get("/api/v1/status/tsdb", exception_handlers={Problem: failure})
    async def tsdb(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Cardinality of today: the largest metrics and labels."""
        import asyncio

        limit = (await parameters(request)).limit() or 10
        return success(await asyncio.to_thread(_cardinality, store, min(limit, 10_000)))

    @get(["/-/healthy", "/-/ready"], media_type=MediaType.TEXT, sync_to_thread=False, include_in_schema=False)
    def healthy() -> str:
        """What Prometheus says here."""
        return "mamimon is ready to stand in for Prometheus.\n"

    @route("/-/reload", http_method=[HttpMethod.POST, HttpMethod.PUT], status_code=200)
    async def reload() -> Response[str]:
        """Read prometheus.yml again; Prometheus answers 500 where it cannot be used."""
        try:
            await scraper.reload()
        except ConfigError as error:
            return Response(f"failed to reload config: {error}\n", status_code=500, media_type=MediaType.TEXT)
        return Response("", media_type=MediaType.TEXT)

    return [reload, targets, scrape_pools, buildinfo, config, flags, runtimeinfo, tsdb, healthy]


def _target(one: ScrapedTarget) -> dict[str, Any]:
    status, target = one.status, one.target
    return {
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": one.job.name,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": status.last_error,
        "lastScrape": _rfc3339(status.last_at or 0.0) if status.last_at else "0001-01-01T00:00:00Z",
        "lastScrapeDuration": status.duration_s,
        "health": status.health,
        "scrapeInterval": f"{target.interval_s:g}s",
        "scrapeTimeout": f"{target.timeout_s:g}s",
    }


def _cardinality(store: SeriesStore, limit: int) -> dict[str, Any]:
    names = store.days()
    if not names:
        tables: dict[str, dict[str, int]] = {}
    else:
        day = store.days_between(*_bounds(names[-1]))[-1]
        tables = day.index.cardinality()

    def top(counts: dict[str, int]) -> list[dict[str, Any]]:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [{"name": name, "value": value} for name, value in ordered]

    figures = store.figures()
    return {
        "headStats": {
            "numSeries": figures["series"],
            "numLabelPairs": sum(len(values) for values in tables.values()),
            "chunkCount": figures["chunks"],
            "minTime": _bounds(names[0])[0] if names else 0,
            "maxTime": _bounds(names[-1])[1] if names else 0,
        },
        "seriesCountByMetricName": top(tables.get("__name__", {})),
        "labelValueCountByLabelName": top({name: len(values) for name, values in tables.items()}),
        "memoryInBytesByLabelName": top(
            {name: sum(len(value) for value in values) for name, values in tables.items()}
        ),
        "seriesCountByLabelValuePair": top(
            {f"{name}={value}": n for name, values in tables.items() for value, n in values.items()}
        ),
    }


def _bounds(day: str) -> tuple[int, int]:
    start = round(day_start(day) * 1000)
    return start, start + 86_400_000 - 1


def _rfc3339(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_secrets(text: str) -> str:
    import re

    return re.sub(
        r"(?m)^(\s*-?\s*(?:password|credentials|bearer_token|client_secret|secret_key)\s*:\s*).+$",
        r"\1<secret>",
        text,
    )
