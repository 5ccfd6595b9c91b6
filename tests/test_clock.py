"""The clock that tests move by hand."""

from __future__ import annotations

import asyncio

from mamimon.clock import ManualClock, rest


async def test_a_loop_at_work_does_not_miss_a_move_of_the_time() -> None:
    """Time that passes while a periodic loop works counts for its next sleep."""
    clock = ManualClock()
    rounds: list[float] = []
    work = asyncio.Event()

    async def loop() -> None:
        while True:
            await clock.sleep(10)
            rounds.append(clock.monotonic())
            await work.wait()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    clock.advance(10)
    await asyncio.sleep(0.01)
    assert len(rounds) == 1
    clock.advance(10)
    work.set()
    await asyncio.sleep(0.01)
    assert len(rounds) == 2, "it was at work when the time moved"
    clock.advance(9)
    await asyncio.sleep(0.01)
    assert len(rounds) == 2
    clock.advance(1_000)
    await asyncio.sleep(0.01)
    assert len(rounds) == 3, "a long time is one round, not a hundred"
    task.cancel()


async def test_rest_ends_by_time_or_by_the_call() -> None:
    """`rest` tells a call from the end of its time, and the next one begins when the last has ended."""
    clock = ManualClock()
    wake = asyncio.Event()
    napping = asyncio.create_task(rest(clock, 10, wake))
    await asyncio.sleep(0)
    clock.advance(4)
    wake.set()
    assert await napping is True
    wake.clear()
    napping = asyncio.create_task(rest(clock, 10, wake))
    await asyncio.sleep(0)
    clock.advance(9)
    await asyncio.sleep(0.01)
    assert not napping.done()
    clock.advance(1)
    assert await napping is False
