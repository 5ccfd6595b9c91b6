"""Sends log lines on, in the order they were acknowledged, from a cursor that survives restarts.

The log store is the queue: nothing is kept twice, and a target that is away costs no memory and
no disk. At least once, and by the documents' ids in effect once.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.clock import Clock
from mamimon.forward.elastic import Away, ElasticTarget, TooLarge
from mamimon.forward.model import Document, ForwardStatus, Hit, LogSource
from mamimon.forward.store import ForwardStore

_log = logging.getLogger("mamimon.forward")
BATCH_ROWS = 1000
BATCH_BYTES = 8 << 20
IDLE_S = 1.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0


class LogForwarder(Collector):
    """Keeps one target up to date with the log store; also the collector of its metrics."""

    def __init__(
        self,
        clock: Clock,
        source: LogSource,
        store: ForwardStore,
        target: ElasticTarget,
        retention_days: int,
    ) -> None:
        self._clock = clock
        self._source = source
        self._store = store
        self._target = target
        self._retention_days = retention_days
        self._cursor = ""
        self._template_done = False
        self._delay_s = _FIRST_DELAY_S
        self.status = ForwardStatus(target.name, since=clock.now())

    async def open(self) -> None:
        """Take up the cursor; a target seen for the first time starts at the newest line."""
        found = await self._store.cursor(self._target.name)
        if found is None:
            self._cursor = await self._source.cursor_now()
            await self._store.advance(self._target.name, self._cursor, 0, self._clock.now(), [])
        else:
            self._cursor, self.status.sent = found
        self.status.dead = await self._store.dead_count(self._target.name)

    async def run(self) -> None:
        """Forward for ever."""
        while True:
            hits, cursor = await self._source.read_after(self._cursor, BATCH_ROWS)
            if not hits:
                self.status.caught_up_at = self._clock.now()
                await self._clock.sleep(IDLE_S)
                continue
            await self._deliver([_document(hit) for hit in hits], cursor)

    async def _deliver(self, documents: list[Document], cursor: str) -> None:
        dead: list[tuple[Document, str]] = []
        delivered = 0
        for part in _parts(documents):
            waiting = [part]
            while waiting:
                batch = waiting.pop()
                done, again = await self._attempt(batch, dead)
                delivered += done
                waiting.extend(again)
        await self._store.advance(self._target.name, cursor, delivered, self._clock.now(), dead)
        self._cursor = cursor
        self.status.sent += delivered
        self.status.dead += len(dead)
        if dead:
            _log.warning("%s refused %d log lines, first: %s", self._target.name, len(dead), dead[0][1][:200])

    async def _attempt(
        self, batch: list[Document], dead: list[tuple[Document, str]]
    ) -> tuple[int, list[list[Document]]]:
        """Send one request; returns how many arrived and what is still to be sent."""
        try:
            if not self._template_done:
                _log.info("%s: %s", self._target.name, await self._target.put_template(self._retention_days))
                self._template_done = True
            outcome = await self._target.bulk(batch)
        except Away as away:
            await self._wait(str(away), away.retry_after_s)
            return 0, [batch]
        except TooLarge:
            if len(batch) == 1:
                dead.append((batch[0], "413 the document is larger than the target takes"))
                return 0, []
            half = len(batch) // 2
            return 0, [batch[half:], batch[:half]]
        dead.extend(outcome.dead)
        if outcome.again:
            await self._wait(f"{len(outcome.again)} lines were put off", None)
            return outcome.delivered, [outcome.again]
        self._arrived()
        return outcome.delivered, []

    def _arrived(self) -> None:
        self._delay_s = _FIRST_DELAY_S
        if self.status.state != "up":
            _log.info("log lines are forwarded to %s", self._target.name)
            self.status.state, self.status.message, self.status.since = "up", "", self._clock.now()

    async def _wait(self, reason: str, retry_after_s: float | None) -> None:
        if self.status.state != "away":
            _log.warning("%s does not take log lines (%s); they wait in the store", self._target.name, reason)
            self.status.state, self.status.since = "away", self._clock.now()
        self.status.message = reason
        self.status.retries += 1
        delay = max(self._delay_s, retry_after_s or 0.0) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
        await self._clock.sleep(delay)

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Sent, refused, retried, and how long ago the target had everything."""
        status, labels = self.status, ["target"]
        behind = 0.0
        if status.state == "away" or status.caught_up_at is not None:
            behind = max(0.0, self._clock.now() - (status.caught_up_at or status.since))
        for name, about, value in (
            ("mamimon_forward_sent", "Log lines that arrived.", status.sent),
            ("mamimon_forward_dead", "Log lines that the target refused for good.", status.dead),
            ("mamimon_forward_retries", "Requests that are repeated.", status.retries),
        ):
            counter = CounterMetricFamily(name, about, labels=labels)
            counter.add_metric([status.target], value)
            yield counter
        for name, about, number in (
            ("mamimon_forward_up", "1 while the target takes log lines.", float(status.state == "up")),
            ("mamimon_forward_lag_seconds", "Seconds since the target had every line.", behind),
        ):
            gauge = GaugeMetricFamily(name, about, labels=labels)
            gauge.add_metric([status.target], number)
            yield gauge


def _parts(documents: Sequence[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    size = 0
    for doc in documents:
        if part and size + len(doc.raw) > BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(doc)
        size += len(doc.raw)
    if part:
        yield part


def _document(hit: Hit) -> Document:
    """The line as Elasticsearch wants it: one line of JSON that has an `@timestamp`."""
    at = dt.datetime.fromtimestamp(hit.time, dt.UTC)
    raw = hit.raw
    if b"\n" in raw:
        raw = msgspec.json.encode(msgspec.json.decode(raw))
    if b'"@timestamp"' not in raw:
        stamp = b'{"@timestamp":"%s"' % at.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
        rest = raw.strip()[1:]
        raw = stamp + (rest if rest.lstrip().startswith(b"}") else b"," + rest)
    return Document(hit.id, hit.index or f"logs-{hit.dataset}-{at:%Y.%m.%d}", raw)
