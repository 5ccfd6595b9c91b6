"""Sends samples on by remote write, in the order they were stored, from a queue on the disk.

What is stored is encoded and put into the outbox within a second; a receiver that is away costs disk,
within a budget (then the oldest goes), and no memory. What was stored in the second before a kill is
read back from the store at the next start, so each sample is sent at least once; receivers ignore a
sample that they have.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

import mamimon
from mamimon.clock import Clock
from mamimon.forward.outbox_store import OutboxStore, Queue, Waiting
from mamimon.metrics.scrape.client import Client, FetchError
from mamimon.metrics.scrape.read_remote_write import RemoteWrite
from mamimon.metrics.scrape.relabel import relabel
from mamimon.metrics.wire.remote_request import Encoder, Request
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels
    from mamimon.metrics.room import MetricRoom
    from mamimon.metrics.store.day import Day
    from mamimon.metrics.store.scrape import Scrape

_log = logging.getLogger("mamimon.forward")
_GATHER_S = 1.0
_BEFORE_S = 2.0
_MOST_PENDING = 2_000_000
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": f"mamimon/{mamimon.__version__}",
}


class MetricStatus(msgspec.Struct):
    """How sending to one receiver stands; times are epoch seconds."""

    target: str
    state: str = "starting"
    """starting, up, away, or off with the reason in `message`."""
    message: str = ""
    sent: int = 0
    refused: int = 0
    """Samples in requests that the receiver refused for good."""
    dropped: int = 0
    """Samples that were lost because the queue was full or could not be written."""
    skipped: int = 0
    """Native histograms that the receiver is not to be sent."""
    retries: int = 0
    queue: Queue = msgspec.field(default_factory=Queue)
    since: float = 0.0


class MetricForwarder:
    """One receiver of samples."""

    def __init__(
        self,
        settings: RemoteWrite,
        external: Labels,
        outbox: OutboxStore,
        metrics: MetricRoom,
        clock: Clock,
        most_bytes: int,
    ) -> None:
        self.settings = settings
        self.external = external
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._most_bytes = most_bytes
        self._client = Client(settings.http, clock)
        self._encoder = Encoder(self._rewrite, settings.batch_samples, native=settings.native_histograms)
        self._pending: deque[tuple[Day, Scrape]] = deque()
        self._pending_samples = 0
        self._waiting = asyncio.Event()
        self._delay_s = settings.first_delay_s
        self.status = MetricStatus(settings.name, since=clock.now())

    def _rewrite(self, labels: Labels) -> Labels | None:
        whole = {**self.external, **labels}
        return relabel(whole, self.settings.relabel) if self.settings.relabel else whole

    def take(self, day: Day, scrapes: Sequence[Scrape]) -> None:
        """Note what was stored."""
        for scrape in scrapes:
            if self._pending_samples >= _MOST_PENDING:
                self.status.dropped += len(scrape.ids)
                continue
            self._pending.append((day, scrape))
            self._pending_samples += len(scrape.ids)

    async def catch_up(self) -> None:
        """Put into the queue what was stored since the last time but never got there."""
        name, now = self.settings.name, self._clock.now()
        through = await self._outbox.through(name)
        if through is None:
            await self._outbox.add(name, [], now, self._most_bytes)
        elif through < now:
            series = await self._metrics.between(through - _BEFORE_S, now)
            await self._put(await asyncio.to_thread(self._encoder.encode_series, series), now)
        self.status.queue = await self._outbox.queue(name)

    async def gather(self) -> None:
        """Put what was stored into the queue, for ever."""
        while True:
            await self._clock.sleep(_GATHER_S)
            await self.flush()

    async def flush(self) -> None:
        """Put what was noted so far into the queue."""
        if not self._pending:
            return
        taken, now = list(self._pending), self._clock.now()
        self._pending.clear()
        self._pending_samples = 0
        requests = await asyncio.to_thread(self._encoder.encode, taken)
        self.status.skipped = self._encoder.skipped
        await self._put(requests, now)
        self.status.queue = await self._outbox.queue(self.settings.name)

    async def _put(self, requests: Sequence[Request], now: float) -> None:
        bodies = await asyncio.to_thread(_compress, requests)
        try:
            lost = await self._outbox.add(self.settings.name, bodies, now, self._most_bytes)
        except Problem as problem:
            lost = sum(one.samples for one in requests)
            _log.warning("%s: %d samples were not queued: %s", self.settings.name, lost, problem)
        else:
            if lost:
                _log.warning(
                    "%s: the queue is full (forward.queue_bytes): its oldest %d samples were dropped",
                    self.settings.name,
                    lost,
                )
        self.status.dropped += lost
        self._waiting.set()

    async def send(self) -> None:
        """Send what waits, the oldest first, for ever."""
        while True:
            self._waiting.clear()
            first = await self._outbox.first(self.settings.name)
            if first is None:
                await self._waiting.wait()
            else:
                await self._deliver(first)

    async def _deliver(self, one: Waiting) -> None:
        url = self.settings.url
        try:
            status, said, after = await self._client.post(
                url, one.body, headers=_HEADERS, timeout_s=self.settings.timeout_s
            )
        except FetchError as error:
            await self._wait(str(error).replace(url, self.settings.name), "")
            return
        if status >= 500 or status in {401, 403, 404, 408, 429}:
            # 401, 403 and 404 are settings that somebody mends: nothing is thrown away for them.
            await self._wait(f"HTTP {status} {said[:200]}".strip(), after)
            return
        await self._outbox.done(one.id)
        if 200 <= status < 300:
            self.status.sent += one.samples
        else:
            self.status.refused += one.samples
            name = self.settings.name
            _log.error("%s refused %d samples for good: HTTP %d %s", name, one.samples, status, said[:300])
        self._delay_s = self.settings.first_delay_s
        if self.status.state != "up":
            _log.info("samples are sent on to %s", self.settings.name)
            self.status.state, self.status.message, self.status.since = "up", "", self._clock.now()
        self.status.queue = await self._outbox.queue(self.settings.name)

    async def _wait(self, reason: str, after: str) -> None:
        if self.status.state != "away":
            _log.warning("%s does not take samples (%s); they wait in outbox.db", self.settings.name, reason)
            self.status.state, self.status.since = "away", self._clock.now()
        self.status.message = reason
        self.status.retries += 1
        own = min(float(after), 300.0) if after.isdigit() else 0.0
        delay = max(self._delay_s, own) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._delay_s = min(self._delay_s * 2, self.settings.longest_delay_s)
        await self._clock.sleep(delay)

    async def close(self) -> None:
        """Put what is left into the queue and drop the connections."""
        await self.flush()
        await self._client.close()


def _compress(requests: Sequence[Request]) -> list[tuple[bytes, int]]:
    import cramjam

    return [(bytes(cramjam.snappy.compress_raw(one.body)), one.samples) for one in requests]
