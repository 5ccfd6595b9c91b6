"""The event loop and the thread that evaluates on one processor, while quick questions queue up.

The two hand the interpreter's lock to each other with every request. On two processors each handing over
wakes one that sleeps, mostly in vain, for the lock is taken again meanwhile; on one it is a switch between
threads. As only one of them may run Python at a time, little is lost by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

HELD_S = 0.02
"""For how long at a time: then all may go where there is room, until a question has to wait again."""


class OneCore:
    """Holds an event loop and the threads that joined it together. Does nothing where it cannot."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._joined: set[int] = set()
        self._at: set[int] = set()
        """The processor all are held at; empty while they are not."""
        self._free: set[int] = set()
        """Where they may run otherwise."""
        self._loop = 0
        """The event loop's thread."""
        self._known: set[int] = set()
        """Threads that have not inherited the place."""
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the event loop: keep it and the others where it is, for a while."""
        where = _where()
        if self._at or where is None:
            return
        free, at = os.sched_getaffinity(0), {where()}
        if len(free) < 2 or not at <= free:
            return
        with self._lock:
            self._loop, self._free, self._at = threading.get_native_id(), free, at
            for thread in (self._loop, *self._joined):
                _move(thread, at)
        self._timer = loop.call_later(HELD_S, self.release)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """In a thread: stay where the event loop is whenever that is held, until `leave`."""
        own = threading.get_native_id()
        with self._lock:
            self._joined.add(own)
            if self._at:
                _move(own, self._at)
        try:
            yield
        finally:
            self.leave(own)

    def leave(self, thread: int) -> None:
        """A thread, by its native number, goes its own way from here on."""
        with self._lock:
            if thread in self._joined:
                self._joined.remove(thread)
                if self._at:
                    _move(thread, self._free)

    def release(self) -> None:
        """Let all go; also for a loop that ends before the time is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with self._lock:
            at, self._at = self._at, set()
            if not at:
                return
            for thread in (self._loop, *self._joined):
                _move(thread, self._free)
            # What was begun by one of them meanwhile is held, too.
            every = _threads()
            for thread in every - self._known:
                if _place(thread) == at:
                    _move(thread, self._free)
            self._known = every


def _move(thread: int, to: set[int]) -> None:
    with contextlib.suppress(OSError):  # it has ended, or may not be moved
        os.sched_setaffinity(thread, to)


def _place(thread: int) -> set[int]:
    try:
        return os.sched_getaffinity(thread)
    except OSError:
        return set()  # it has ended


def _threads() -> set[int]:
    try:
        return {int(one.name) for one in Path("/proc/self/task").iterdir()}
    except OSError:
        return {one.native_id or 0 for one in threading.enumerate()}  # no /proc


@cache
def _where() -> Callable[[], int] | None:
    """What tells the processor that a thread runs on; None where threads cannot be held."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)
