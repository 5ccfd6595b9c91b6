"""The state of the server, in Prometheus' shapes; its health endpoints."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import platform
import threading
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, MediaType, Request, Response, get, route

import mamimon
from mamimon.config import ConfigError
from mamimon.metrics.routes.answer import failure, parameters, success
from mamimon.metrics.routes.reading import Unreadable, whole_number
from mamimon.metrics.scrape.yaml_file import duration_text
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

# The release whose API and PromQL we follow; clients compare it.
PROMETHEUS_VERSION = "3.14.0"
_MAX_TSDB = 10_000
_FEATURES = (
    "exemplar-storage",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-experimental-functions",
    "promql-extended-range-selectors",
)
"""Prometheus' names of what is always on here."""


def status_handlers(core: Core, store: SeriesStore, scraper: Scraper) -> list[ControllerRouterHandler]:
    """`/api/v1/status/*`, `/-/healthy`, `/-/ready`, `/-/reload`."""
    started = core.clock.now()

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

    @get("/api/v1/status/config", sync_to_thread=True)
    def config() -> Response[bytes]:
        """The `prometheus.yml` in force, its secrets hidden."""
        from mamimon.metrics.scrape.shown import config_yaml

        return success({"yaml": config_yaml(scraper.config) if scraper.config else ""})

    @get("/api/v1/status/flags", sync_to_thread=False)
    def flags() -> Response[bytes]:
        """The settings that Prometheus has as flags."""
        settings = core.settings.metrics
        return success(
            {
                "agent": "false",
                "config.auto-reload": _said(settings.reload_check_s > 0),
                "config.auto-reload-interval": duration_text(settings.reload_check_s),
                "config.file": settings.prometheus_config,
                "enable-feature": ",".join(_FEATURES),
                "query.lookback-delta": duration_text(settings.lookback_s),
                "query.max-concurrency": str(settings.query_max_concurrency),
                "query.max-samples": str(settings.query_max_samples),
                "query.timeout": duration_text(settings.query_timeout_s),
                "storage.tsdb.path": str(store.directory),
                "storage.tsdb.retention.size": "0B",
                "storage.tsdb.retention.time": f"{settings.retention_days}d",
                "web.cors.origin": "",
                "web.enable-admin-api": _said(settings.admin_api),
                "web.enable-lifecycle": "true",
                "web.enable-otlp-receiver": "true",
                "web.enable-remote-write-receiver": "true",
                "web.external-url": core.base_url,
                "web.remote-write-receiver.accepted-protobuf-messages": (
                    "prometheus.WriteRequest,io.prometheus.write.v2.Request"
                ),
                "web.route-prefix": "/",
            }
        )

    @get("/api/v1/status/runtimeinfo")
    async def runtimeinfo() -> Response[bytes]:
        """When the server started and what it keeps."""
        return success(
            {
                "startTime": rfc3339(started),
                "CWD": str(core.data_dir),
                "hostname": platform.node(),
                "serverTime": rfc3339(core.clock.now()),
                "reloadConfigSuccess": scraper.reload_ok,
                "lastConfigTime": rfc3339(scraper.reloaded_at),
                "corruptionCount": 0,
                # The nearest to goroutines: what the event loop has at work, and threads.
                "goroutineCount": len(asyncio.all_tasks()) + threading.active_count(),
                "GOMAXPROCS": os.cpu_count() or 1,
                "GOMEMLIMIT": 0,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": f"{core.settings.metrics.retention_days}d",
            }
        )

    @get("/api/v1/status/tsdb", exception_handlers={Problem: failure})
    async def tsdb(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Cardinality of the active series: the largest metrics and labels."""
        given = await parameters(request)
        try:
            limit = whole_number(given.get("limit") or "10")
        except Unreadable:
            limit = 0
        if limit < 1:
            raise bad_input("limit must be a positive number")
        if limit > _MAX_TSDB:
            raise bad_input(f"limit must not exceed {_MAX_TSDB}")
        return success(await asyncio.to_thread(_cardinality, store, limit))

    @route(
        ["/-/healthy", "/-/ready"],
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        media_type=MediaType.TEXT,
        sync_to_thread=False,
        include_in_schema=False,
        status_code=200,
    )
    def healthy(request: Request[Any, Any, Any]) -> str:
        """What Prometheus says here, of ourselves."""
        return f"mamimon is {request.url.path.rpartition('/')[2].capitalize()}.\n"

    @route("/-/reload", http_method=[HttpMethod.POST, HttpMethod.PUT], status_code=200)
    async def reload() -> Response[str]:
        """Read prometheus.yml again; Prometheus answers 500 where it cannot be used."""
        try:
            await scraper.reload()
        except ConfigError as error:
            return Response(f"failed to reload config: {error}\n", status_code=500, media_type=MediaType.TEXT)
        return Response("", media_type=MediaType.TEXT)

    return [reload, buildinfo, config, flags, runtimeinfo, tsdb, healthy]


def _cardinality(store: SeriesStore, limit: int) -> dict[str, Any]:
    found = store.cardinality()

    def top(counts: dict[str, int]) -> list[dict[str, Any]]:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [{"name": name, "value": value} for name, value in ordered]

    values = dict(found.values) if found else {}
    return {
        "headStats": {
            "numSeries": found.active if found else 0,
            "numLabelPairs": sum(len(one) for one in values.values()),
            "chunkCount": found.open_chunks + found.sealed_chunks if found else 0,
            # What Prometheus says of an empty head.
            "minTime": (1 << 63) - 1 if not found or found.first_ms is None else found.first_ms,
            "maxTime": -(1 << 63) if not found or found.last_ms is None else found.last_ms,
        },
        "seriesCountByMetricName": top(dict(values.get("__name__", {}))),
        "labelValueCountByLabelName": top({name: len(one) for name, one in values.items()}),
        "memoryInBytesByLabelName": top(found.label_bytes() if found else {}),
        "seriesCountByLabelValuePair": top(
            {f"{name}={value}": n for name, one in values.items() for value, n in one.items()}
        ),
    }


def rfc3339(at: float) -> str:
    """An instant (epoch seconds) as Prometheus writes it."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(flag: bool) -> str:
    return "true" if flag else "false"
