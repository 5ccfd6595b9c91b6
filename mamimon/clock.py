"""The one source of time.

Every part of mamimon asks a `Clock` that it was handed, so tests can move time by hand and a
suspended laptop is noticed in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
import weakref
from collections.abc import Coroutine
from typing import Any, Protocol


class Clock(Protocol):
    """Wall and monotonic time, and sleeping on them."""

    def now(self) -> float:
        """Wall-clock seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of this clock have passed; a negative or zero value yields once."""
        ...


async def rest(clock: Clock, seconds: float, wake: asyncio.Event) -> bool:
    """Sleep until `seconds` are over or `wake` is set; whether it was set first."""
    nap = asyncio.ensure_future(clock.sleep(seconds))
    call = asyncio.ensure_future(wake.wait())
    try:
        await asyncio.wait({nap, call}, return_when=asyncio.FIRST_COMPLETED)
        return not nap.done()
    finally:
        for task in (nap, call):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.time()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until somebody calls `advance`; shipped for tests and backtests.

    Thread-safe: a test thread may advance it while a server's event loop sleeps on it. Work takes no time
    here: a loop that is still at work when the clock is moved has begun its next sleep at the time it last
    woke, or first looked at the clock, so it does not miss the move, however slow the machine is.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = start
        self._monotonic = 1_000.0
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._woken: weakref.WeakKeyDictionary[asyncio.Task[Any], float] = weakref.WeakKeyDictionary()

    def now(self) -> float:
        """See `Clock.now`."""
        self._look()
        return self._now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        self._look()
        return self._monotonic

    def _look(self) -> None:
        with contextlib.suppress(RuntimeError):  # a thread without a loop
            if (task := asyncio.current_task()) is not None:
                self._woken.setdefault(task, self._monotonic)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """See `Clock.sleep`."""
        task = asyncio.current_task()
        assert task is not None
        return self._sleep(task, self._woken.get(task, self._monotonic) + seconds, seconds)

    async def _sleep(self, task: asyncio.Task[Any], until: float, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            waits = seconds > 0 and until > self._monotonic
            if waits:
                heapq.heappush(self._sleepers, (until, next(self._order), asyncio.get_running_loop(), future))
        try:
            await (future if waits else asyncio.sleep(0))
        finally:
            self._woken[task] = self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: wall and monotonic time move together and due sleepers wake in order."""
        with self._lock:
            self._now += seconds
            self._monotonic += seconds
            due = []
            while self._sleepers and self._sleepers[0][0] <= self._monotonic:
                due.append(heapq.heappop(self._sleepers))
        for _, _, loop, future in due:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)

    def jump(self, seconds: float) -> None:
        """Move only the wall clock, as a time correction or a suspended machine does."""
        with self._lock:
            self._now += seconds

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep on this clock; lets a test wait until a loop has come to rest."""
        with self._lock:
            return sum(1 for *_, future in self._sleepers if not future.done())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
