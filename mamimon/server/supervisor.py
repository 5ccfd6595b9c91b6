"""Runs the background tasks: by name, restarted with back-off, each with a metric."""

from __future__ import annotations

import asyncio
import logging
import random

from prometheus_client import CollectorRegistry, Counter, Gauge

from mamimon.clock import Clock
from mamimon.room import Task

_log = logging.getLogger("mamimon.server")


class Supervisor:
    """Keeps tasks alive between `start` and `stop`."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        self._restarts = Counter(
            "mamimon_task_restarts", "Background task restarts after an error.", ["task"], registry=registry
        )
        self._up = Gauge(
            "mamimon_task_running", "Whether the background task is running.", ["task"], registry=registry
        )

    def start(self, task: Task) -> None:
        """Run `task` until `stop`; a task that returns is done, one that raises is restarted."""
        self._restarts.labels(task.name)
        self._running[task.name] = asyncio.create_task(self._keep(task), name=task.name)

    async def _keep(self, task: Task) -> None:
        delay = 1.0
        while True:
            self._up.labels(task.name).set(1)
            began = self._clock.monotonic()
            try:
                await task.run()
            except asyncio.CancelledError:
                raise
            except Exception:
                _log.exception("background task %s failed; it restarts in %.0f s", task.name, delay)
            else:
                return
            finally:
                self._up.labels(task.name).set(0)
            self._restarts.labels(task.name).inc()
            if self._clock.monotonic() - began > 300:
                delay = 1.0
            await self._clock.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, 60.0)

    async def stop(self) -> None:
        """Cancel every task and wait until each has ended."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
