"""Answers that several viewers share: asked once, kept until the next refresh."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

_MOST = 2000


class _Answer:
    """One that is made or was, and how many wait for it."""

    __slots__ = ("task", "tick", "waiting")

    def __init__(self, tick: float, task: asyncio.Task[Any]) -> None:
        self.tick = tick
        self.task = task
        self.waiting = 0


class SharedAnswers:
    """What was asked in this interval. Whoever asks for what is being made waits for it."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, _Answer] = OrderedDict()
        self.made = 0

    async def get(
        self,
        key: Hashable,
        now: float,
        interval_s: float,
        make: Callable[[], Awaitable[Any]],
        *,
        fresh: bool = False,
    ) -> Any:
        """The answer for `key` of the interval that `now` lies in; `fresh` makes it anew.

        What is under way is waited for all the same; a failure is not kept. What nobody waits for
        any more is given up.
        """
        tick = now // interval_s if interval_s > 0 else now
        found = self._kept.get(key)
        if found is None or (found.task.done() and (fresh or found.tick != tick)):
            self.made += 1
            found = _Answer(tick, asyncio.create_task(_run(make)))
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        task = found.task
        found.waiting += 1
        try:
            # One viewer who leaves must not take the answer from the others.
            return await asyncio.shield(task)
        finally:
            found.waiting -= 1
            if not found.waiting and not task.done():
                task.cancel()
                self._forget(key, found)
            elif task.done() and (task.cancelled() or task.exception() is not None):
                self._forget(key, found)

    def _forget(self, key: Hashable, answer: _Answer) -> None:
        if self._kept.get(key) is answer:
            del self._kept[key]


async def _run(make: Callable[[], Awaitable[Any]]) -> Any:
    return await make()
