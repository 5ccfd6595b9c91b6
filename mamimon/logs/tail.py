"""Live tail: lines go to whoever watches, right after they are committed.

Nobody who reads slowly holds up the writer: a watcher has a bounded queue, what does not fit is
counted and said.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from mamimon.logs.clauses import Row
from mamimon.logs.model import LogHit, LogRecord, index_of, level_number
from mamimon.logs.query import hit_of
from mamimon.logs.store.day import Stored
from mamimon.logs.store.scan import Plan
from mamimon.problems import too_many
from mamimon.storage.days import day_of

_WAITING_ROWS = 20_000
_QUEUE_ROWS = 1_000
_WATCHERS = 200


class Watcher:
    """One reader of the live tail; `lost` counts lines it was too slow for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lost = 0
        self.closed = False
        self.left = False
        """Whether it is the reader who ended it."""
        self._hits: deque[LogHit] = deque()
        self._awake = asyncio.Event()

    def give(self, hits: Sequence[LogHit]) -> None:
        """Queue lines; the oldest go first where there are too many."""
        self._hits.extend(hits)
        while len(self._hits) > _QUEUE_ROWS:
            self._hits.popleft()
            self.lost += 1
        self._awake.set()

    async def take(self, timeout_s: float) -> list[LogHit]:
        """What came since the last time; empty after `timeout_s` without a line or when closed."""
        try:
            await asyncio.wait_for(self._awake.wait(), timeout_s)
        except TimeoutError:
            return []
        return self.drain()

    def drain(self) -> list[LogHit]:
        """What waits."""
        if not self.closed:
            self._awake.clear()
        hits = list(self._hits)
        self._hits.clear()
        return hits

    def close(self) -> None:
        """Wake the reader for the last time."""
        self.closed = True
        self._awake.set()


class TailHub:
    """Knows the watchers and shows each what its query matches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watchers: set[Watcher] = set()
        self._batches: deque[tuple[Sequence[LogRecord], Sequence[Stored]]] = deque()
        self._rows = 0
        self._awake = asyncio.Event()
        self._closed = False
        Gauge("mamimon_log_tail_watchers", "Readers of the live tail.", registry=registry).set_function(
            lambda: float(len(self._watchers))
        )

    def watch(self, plan: Plan) -> Watcher:
        """Begin to watch; `leave` ends it."""
        if len(self._watchers) >= _WATCHERS:
            raise too_many(f"{_WATCHERS} live tails are open already", retry_after_s=10)
        watcher = Watcher(plan)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop watching."""
        self._watchers.discard(watcher)

    def publish(self, records: Sequence[LogRecord], stored: Sequence[Stored]) -> None:
        """Called by the writer after each commit."""
        if not self._watchers:
            return
        self._batches.append((records, stored))
        self._rows += len(records)
        while self._rows > _WAITING_ROWS:
            dropped, _ = self._batches.popleft()
            self._rows -= len(dropped)
            for watcher in self._watchers:
                watcher.lost += len(dropped)
        self._awake.set()

    async def run(self) -> None:
        """Match batches against the watchers' queries, off the event loop."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._batches:
                records, stored = self._batches.popleft()
                self._rows -= len(records)
                watchers = list(self._watchers)
                found = await asyncio.to_thread(_match, records, stored, watchers)
                for watcher, hits in zip(watchers, found, strict=True):
                    if hits:
                        watcher.give(hits)

    def close(self) -> None:
        """End every tail."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()


class _Fresh:
    """Where a row that was just stored comes from."""

    def __init__(self, record: LogRecord, stored: Stored) -> None:
        self._record = record
        self._stored = stored

    def id_of(self, seq: int) -> str:
        return self._stored.id

    def dataset_of(self, number: int) -> str:
        return self._record.dataset

    def index_of(self, number: int) -> str:
        return index_of(self._record.dataset, self._record.plain, day_of(self._record.time))


def _match(
    records: Sequence[LogRecord], stored: Sequence[Stored], watchers: Sequence[Watcher]
) -> list[list[LogHit]]:
    found: list[list[LogHit]] = [[] for _ in watchers]
    for record, outcome in zip(records, stored, strict=True):
        if outcome.conflict:
            continue
        source = _Fresh(record, outcome)
        time_us = round(record.time * 1_000_000)
        row = Row(outcome.seq, time_us, level_number(record.level), 0, record.raw, source)
        hit: LogHit | None = None
        for watcher, hits in zip(watchers, found, strict=True):
            wanted = watcher.plan.datasets
            if wanted is not None and not wanted(record.dataset, record.plain, source.index_of(0)):
                continue
            if watcher.plan.clause.match(row):
                hit = hit or hit_of(row)
                hits.append(hit)
    return found
