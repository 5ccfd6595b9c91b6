"""Quick questions are evaluated one after another, long ones beside them; each has its turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from mamimon.metrics import lane
from mamimon.metrics.lane import Lane, Late

PATIENCE_S = 120.0


@pytest.fixture
def lanes() -> Iterator[Callable[[int], Lane]]:
    """Make lanes that end with the test."""
    made: list[Lane] = []

    def make(most: int) -> Lane:
        made.append(Lane(most))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Held:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self._free = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self._free.wait(PATIENCE_S)
        return "held"

    def let_go(self) -> None:
        self._free.set()


async def begun(*held: Held) -> None:
    for one in held:
        assert await asyncio.to_thread(one.begun.wait, PATIENCE_S)


async def test_quick_ones_follow_each_other(
    lanes: Callable[[int], Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time and in the order of asking, whatever loop or thread is slow meanwhile."""
    monkeypatch.setattr(lane, "LONG_S", 3600.0)
    one = lanes(8)
    order: list[int] = []
    busy = threading.Lock()

    def work(number: int) -> int:
        assert busy.acquire(blocking=False), "two at once"
        order.append(number)
        busy.release()
        return number * 2

    asked = [one.run(lambda number=number: work(number), PATIENCE_S) for number in range(50)]  # type: ignore[misc]
    assert await asyncio.gather(*asked) == [number * 2 for number in range(50)]
    assert order == list(range(50))


async def test_long_ones_hold_up_nobody(lanes: Callable[[int], Lane]) -> None:
    """While six go on, others are answered; those that are long by then end as the others."""
    one = lanes(7)
    held = [Held() for _ in range(6)]
    long = [asyncio.ensure_future(one.run(work, PATIENCE_S)) for work in held]
    assert [await one.run(lambda: "quick", PATIENCE_S) for _ in range(20)] == ["quick"] * 20
    assert not any(task.done() for task in long)
    for work in held:
        work.let_go()
    assert await asyncio.gather(*long) == ["held"] * 6
    assert await one.run(lambda: "after", PATIENCE_S) == "after"


async def test_there_are_no_more_than_so_many(lanes: Callable[[int], Lane]) -> None:
    """With all turns taken a question waits, until it is late or a turn ends."""
    one = lanes(2)
    held = [Held(), Held(), Held()]
    tasks = [asyncio.ensure_future(one.run(work, PATIENCE_S)) for work in held]
    await begun(*held[:2])
    with pytest.raises(Late):
        await one.run(lambda: "never", 0.1)
    assert not held[2].begun.is_set()
    held[1].let_go()
    await begun(held[2])
    held[0].let_go()
    held[2].let_go()
    assert await asyncio.gather(*tasks) == ["held"] * 3


async def test_who_leaves_the_queue_is_not_served(lanes: Callable[[int], Lane]) -> None:
    """Work of a cancelled asker does not begin; work that has begun ends, and its turn with it."""
    one = lanes(1)
    first, left = Held(), Held()
    running, waiting = (asyncio.ensure_future(one.run(work, PATIENCE_S)) for work in (first, left))
    await begun(first)
    for task in (waiting, running):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    after = asyncio.ensure_future(one.run(lambda: "after", PATIENCE_S))
    first.let_go()
    assert await after == "after"
    assert not left.begun.is_set()


async def test_what_is_raised_reaches_who_asked(lanes: Callable[[int], Lane]) -> None:
    """Also `TimeoutError`, which is not the lane's; the next question is answered."""
    one = lanes(1)

    def fail() -> None:
        raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        await one.run(fail, PATIENCE_S)
    assert await one.run(lambda: 1, PATIENCE_S) == 1


async def test_closing_ends_the_waiting(lanes: Callable[[int], Lane]) -> None:
    """Who waits for a turn is not left hanging."""
    one = lanes(1)
    held = Held()
    running = asyncio.ensure_future(one.run(held, PATIENCE_S))
    await begun(held)
    waiting = asyncio.ensure_future(one.run(lambda: "never", PATIENCE_S))
    await asyncio.sleep(0)
    one.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.let_go()
    assert await running == "held"
