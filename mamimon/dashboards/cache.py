"""Answers that several viewers share: asked once, kept until the next refresh."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

_MOST = 2000


class SharedAnswers:
    """What was asked in this interval. Whoever asks for what is being made waits for it."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[Any]]] = OrderedDict()
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

        What is under way is waited for all the same; a failure is not kept.
        """
        tick = now // interval_s if interval_s > 0 else now
        found = self._kept.get(key)
        if found is None or (found[1].done() and (fresh or found[0] != tick)):
            self.made += 1
            found = (tick, asyncio.create_task(_run(make)))
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        try:
            # One viewer who leaves must not take the answer from the others.
            return await asyncio.shield(found[1])
        except BaseException:
            task = found[1]
            failed = task.done() and (task.cancelled() or task.exception() is not None)
            if failed and self._kept.get(key) is found:
                del self._kept[key]
            raise


async def _run(make: Callable[[], Awaitable[Any]]) -> Any:
    return await make()
