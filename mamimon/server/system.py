"""Liveness, readiness and mamimon's own exposition."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psutil
from litestar import MediaType, Request, Response, get
from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.server.readiness import readiness_handlers

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core


def system_handlers(core: Core) -> list[ControllerRouterHandler]:
    """`/healthz`, `/readyz`, `/metrics` and `/robots.txt`."""
    core.registry.register(_System(core))

    @get("/metrics", include_in_schema=False)
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """mamimon's own metrics, as text 0.0.4 or OpenMetrics by the Accept header."""
        encoder, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        body = await asyncio.to_thread(encoder, core.registry)
        return Response(body, media_type=content_type)

    @get("/robots.txt", media_type=MediaType.TEXT, include_in_schema=False, sync_to_thread=False)
    def robots() -> str:
        return "User-agent: *\nDisallow: /\n"

    return [*readiness_handlers(core), metrics, robots]


class _System(Collector):
    """The machine and the process, read when scraped."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._process = psutil.Process(os.getpid())
        self._started = time.time()
        psutil.cpu_percent()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        memory = self._process.memory_info()
        cpu = self._process.cpu_times()
        yield GaugeMetricFamily("system_cpu_usage_percent", "CPU in use, all cores.", psutil.cpu_percent())
        yield GaugeMetricFamily(
            "system_memory_usage_percent", "Memory in use.", psutil.virtual_memory().percent
        )
        disk = psutil.disk_usage(str(self._core.data_dir))
        yield GaugeMetricFamily(
            "system_disk_usage_percent", "Disk of the data directory in use.", disk.percent
        )
        yield CounterMetricFamily("process_cpu_seconds", "CPU time of mamimon.", cpu.user + cpu.system)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory of mamimon.", memory.rss)
        yield GaugeMetricFamily("process_open_fds", "Open files of mamimon.", self._process.num_fds())
        yield GaugeMetricFamily("process_start_time_seconds", "When mamimon started.", self._started)
