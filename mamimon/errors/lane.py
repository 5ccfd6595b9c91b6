"""Small pieces of work done in a worker thread, many at a time.

A hop to a thread and back costs as much as reading a small event. Whatever waits when the thread is free
goes along in one hop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Done = TypeVar("Done")
MAX_BATCH = 64


class Lane(Generic[Done]):
    """One hop at a time, in turn with others that hold `turn`; belongs to one event loop."""

    def __init__(self, turn: asyncio.Lock) -> None:
        self._turn = turn
        self._waiting: list[tuple[Callable[[], Done], asyncio.Future[Done]]] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, work: Callable[[], Done]) -> Done:
        """What `work` gives or raises."""
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            async with self._turn:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                outcomes = await asyncio.to_thread(_each, [work for work, _ in batch])
            for (_, future), (made, problem) in zip(batch, outcomes, strict=True):
                if future.done():
                    continue  # its client went away
                if problem is not None:
                    future.set_exception(problem)
                else:
                    future.set_result(made)  # type: ignore[arg-type]


def _each(works: list[Callable[[], Done]]) -> list[tuple[Done | None, Exception | None]]:
    outcomes: list[tuple[Done | None, Exception | None]] = []
    for work in works:
        try:
            outcomes.append((work(), None))
        except Exception as problem:
            outcomes.append((None, problem))
    return outcomes
