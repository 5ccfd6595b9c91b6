"""What waits in memory for the sender: bounded, never blocking, least important dropped first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from mamimon.client.settings import warn

# Importance of what is shipped: the lanes of the buffer and the order in which things are given up.
RANKS = ("DEBUG", "INFO", "WARNING", "ERROR")
WARN_EVERY_S = 60.0


Item = tuple[str, Any]
"""One thing to ship: its kind (log, event, error, metrics) and what it is. Plain: one is made a log call."""


def rank_of(levelno: int) -> int:
    """The lane of a log level."""
    if levelno < 30:
        return 1 if levelno >= 20 else 0
    return 2 if levelno < 40 else 3


class Losses:
    """Counts what had to be given up, by kind and level, and says so on stderr at most once a minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._warned_at = float("-inf")
        self._unsaid = 0

    def add(self, kind: str, rank: int, count: int, reason: str) -> None:
        """Count `count` things of one kind and importance that will not arrive."""
        with self._lock:
            key = (kind, RANKS[rank])
            self.counts[key] = self.counts.get(key, 0) + count
            self._unsaid += count
            now = self._monotonic()
            if now - self._warned_at < WARN_EVERY_S:
                return
            self._warned_at, said, self._unsaid = now, self._unsaid, 0
        warn(f"dropped {said} record(s), the last {kind} at {RANKS[rank]}: {reason}")

    def total(self) -> int:
        """Everything lost so far."""
        return sum(self.counts.values())

    def after_fork(self) -> None:
        """A child starts with its own lock and no losses."""
        self._lock = threading.Lock()
        self.counts = {}
        self._unsaid = 0


class Buffer:
    """Four lanes of items. `put` is called by the application's threads and takes no lock.

    The lanes are deques, whose append and popleft are atomic; the bound may be passed by as many
    items as there are threads in `put` at that moment.
    """

    def __init__(self, limit: int, losses: Losses) -> None:
        self.limit = limit
        self._losses = losses
        self._lanes: tuple[deque[Item], ...] = (deque(), deque(), deque(), deque())
        self._low, self._mid, self._high, self._top = self._lanes

    def __len__(self) -> int:
        return len(self._low) + len(self._mid) + len(self._high) + len(self._top)

    def put(self, item: Item, rank: int) -> int:
        """Add an item and return how many wait now; when full, something less important makes room."""
        waiting = len(self._low) + len(self._mid) + len(self._high) + len(self._top)
        if waiting >= self.limit and not self._make_room(item, rank):
            return waiting
        self._lanes[rank].append(item)
        return waiting + 1

    def _make_room(self, item: Item, rank: int) -> bool:
        for lower in range(rank + 1):
            try:
                dropped = self._lanes[lower].popleft()
            except IndexError:
                continue
            self._losses.add(dropped[0], lower, 1, f"more than {self.limit} waited in memory")
            return True
        self._losses.add(item[0], rank, 1, f"more than {self.limit} waited in memory")
        return False

    def take(self, limit: int, rank: int) -> list[Item]:
        """Remove up to `limit` items of one lane, oldest first."""
        lane = self._lanes[rank]
        items: list[Item] = []
        try:
            for _ in range(limit):
                items.append(lane.popleft())  # noqa: PERF401 - what was taken must not be lost when it ends
        except IndexError:
            pass
        return items

    def clear(self) -> None:
        """Forget everything: what waits at a fork belongs to the parent."""
        for lane in self._lanes:
            lane.clear()
