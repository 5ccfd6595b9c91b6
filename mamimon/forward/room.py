"""The forward room: its life, tasks and doors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from litestar import get
from litestar.params import FromQuery

from mamimon.config import ConfigError
from mamimon.forward.addresses import points_here
from mamimon.forward.elastic import ElasticTarget
from mamimon.forward.logs import LogForwarder
from mamimon.forward.metrics_room import MetricForwarding
from mamimon.forward.model import DeadLetter, ForwardStatus, LogSource
from mamimon.forward.store import ForwardStore
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.metrics.room import MetricRoom

_log = logging.getLogger("mamimon.forward")


class ForwardRoom:
    """See `mamimon.room.Room`."""

    name = "forward"

    def __init__(self, core: Core, logs: LogRoom, metrics: MetricRoom) -> None:
        self._core = core
        self._logs = logs
        self.metrics = MetricForwarding(core, metrics)
        self._store = ForwardStore(core.state)
        self._target: ElasticTarget | None = None
        self._forwarder: LogForwarder | None = None

    async def open(self) -> None:
        """See `Room.open`. Raises `ConfigError` for an address that is no URL."""
        await self.metrics.open()
        settings = self._core.settings.forward
        url = settings.elasticsearch_url
        if not url:
            return
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ConfigError(f"forward.elasticsearch_url: {url[:80]!r} is not a http:// or https:// URL")
        self._target = ElasticTarget(url, settings.elasticsearch_username, settings.elasticsearch_password)
        source = cast("LogSource", self._logs)
        days = self._core.settings.logs.retention_days
        self._forwarder = LogForwarder(self._core.clock, source, self._store, self._target, days)
        await self._forwarder.open()
        self._core.registry.register(self._forwarder)

    async def close(self) -> None:
        """See `Room.close`."""
        await self.metrics.close()
        if self._target is not None:
            await self._target.close()

    def statuses(self) -> list[ForwardStatus]:
        """How each target stands; from memory."""
        return [self._forwarder.status] if self._forwarder is not None else []

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        tasks = [Task("forward metrics", self.metrics.run)]
        return [*tasks, Task("forward logs", self._run)] if self._forwarder is not None else tasks

    async def _run(self) -> None:
        assert self._forwarder is not None
        url = self._core.settings.forward.elasticsearch_url
        if await asyncio.to_thread(points_here, url, self._core.ports):
            status = self._forwarder.status
            status.state, status.message = "off", "the address is this mamimon itself"
            _log.info(
                "not forwarding: elasticsearch_url %s is this mamimon, which has the logs", status.target
            )
            return
        await self._forwarder.run()

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""

        @get("/api/mamimon/forward")
        async def forward_state() -> dict[str, Any]:
            """How forwarding stands, by target."""
            return {"targets": self.statuses(), "metrics": self.metrics.statuses()}

        @get("/api/mamimon/forward/dead")
        async def dead_letters(limit: FromQuery[int] = 100) -> list[DeadLetter]:
            """The newest documents that a target refused for good, with its reason."""
            return await self._store.dead_letters(max(1, min(limit, 1000)))

        return [forward_state, dead_letters]
