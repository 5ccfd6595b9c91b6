"""One thread evaluates what is quick, question after question; what turns out long goes on beside it.

Evaluating is many short calls into numpy, each of which lets go of the interpreter's lock. Threads that do
so at once hand it to each other a thousand times, which costs more than the second processor gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import msgspec

from mamimon.metrics.one_core import OneCore

Done = TypeVar("Done")

LONG_S = 0.02
"""What has run for so long holds up nobody any more: the next question begins beside it."""


class Late(Exception):  # noqa: N818 - the caller says what was late
    """The turn did not come in time."""


class _Job(msgspec.Struct, Generic[Done], eq=False):
    """A question, and who waits for its answer."""

    work: Callable[[], Done]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Done]
    began: float = 0.0
    """When, of `time.monotonic`; 0.0 while it waits."""
    thread: int = 0
    """The thread that does it, by its native number."""

    def run(self) -> None:
        """In a thread: do the work and say so."""
        self.thread = threading.get_native_id()
        found, error = None, None
        try:
            found = self.work()
        except BaseException as raised:
            error = raised  # for who waits
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(_settle, self.done, found, error)


def _settle(done: asyncio.Future[Any], found: object, error: BaseException | None) -> None:
    if done.done():
        return  # who asked has gone
    if error is None:
        done.set_result(found)
    else:
        done.set_exception(error)


class Lane:
    """Runs work in threads in the order of asking, at most `most` at once; for one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="promql")
        self._lock = threading.Lock()
        self._core = OneCore()
        self._waiting: deque[_Job[Any]] = deque()
        self._running = 0
        """Threads that work."""
        self._newest: _Job[Any] | None = None
        """What began last; until it is done, or has run for long, nothing else begins."""
        self._look: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[[], Done], patience_s: float) -> Done:
        """What `work` returns or raises; `Late` if its turn did not come in time.

        Work whose asker is cancelled does not begin; what has begun goes on.
        """
        loop = asyncio.get_running_loop()
        job = _Job[Done](work, loop, loop.create_future())
        with self._lock:
            self._waiting.append(job)
        self._begin()
        if job.began:
            return await job.done
        self._core.hold(loop)
        self._watch(loop)
        giving_up = loop.call_later(max(0.0, patience_s), self._give_up, job)
        try:
            return await job.done
        finally:
            giving_up.cancel()
            self._withdraw(job)

    def close(self) -> None:
        """Let the threads end; what waits is cancelled."""
        if self._look is not None:
            self._look.cancel()
        self._core.release()
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for job in waiting:
            job.done.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        """Have a thread do what may begin now."""
        with self._lock:
            job = self._next() if self._running < self._most else None
            if job is None:
                return
            self._running += 1
        self._pool.submit(self._serve, job)

    def _next(self) -> _Job[Any] | None:
        """What may begin now, which it does; under the lock."""
        now = time.monotonic()
        if not self._waiting or (self._newest is not None and now - self._newest.began < LONG_S):
            return None
        if self._newest is not None:
            self._core.leave(self._newest.thread)
        self._newest = job = self._waiting.popleft()
        job.began = now
        return job

    def _serve(self, first: _Job[Any]) -> None:
        """The work of a thread, until nothing more may begin."""
        job: _Job[Any] | None = first
        with self._core.joined():
            while job is not None:
                job.run()
                with self._lock:
                    if self._newest is job:
                        self._newest = None
                    job = self._next()
                    if job is None:
                        self._running -= 1

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """While something waits, see from time to time whether it still has to."""
        if self._look is None:
            self._look = loop.call_later(LONG_S, self._overtake, loop)

    def _overtake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        self._begin()
        if self._waiting:
            self._watch(loop)

    def _give_up(self, job: _Job[Any]) -> None:
        if self._withdraw(job) and not job.done.done():
            job.done.set_exception(Late())

    def _withdraw(self, job: _Job[Any]) -> bool:
        """Whether it waited still, which it does no longer."""
        with self._lock:
            if job.began:
                return False
            with contextlib.suppress(ValueError):  # withdrawn already
                self._waiting.remove(job)
                return True
            return False
