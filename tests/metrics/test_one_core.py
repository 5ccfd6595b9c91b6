"""The event loop and its threads are held on one processor for a moment, and everybody is free again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

import pytest

from mamimon.metrics import lane as lanes
from mamimon.metrics import one_core
from mamimon.metrics.lane import Lane
from mamimon.metrics.one_core import OneCore

FREE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
PATIENCE_S = 120.0
pytestmark = pytest.mark.skipif(len(FREE) < 2, reason="there is one processor")


@pytest.fixture(autouse=True)
async def free() -> AsyncIterator[None]:
    """Whatever a test before this one left held, or this one when it fails."""
    os.sched_setaffinity(0, FREE)
    yield
    os.sched_setaffinity(0, FREE)


class Sleeper:
    """A thread that does nothing until it is let go."""

    def __init__(self, core: OneCore | None = None) -> None:
        self._core = core
        self._begun, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(PATIENCE_S)

    def _run(self) -> None:
        if self._core is None:
            self._sleep()
        else:
            with self._core.joined():
                self._sleep()

    def _sleep(self) -> None:
        self._begun.set()
        self._end.wait(PATIENCE_S)

    @property
    def number(self) -> int:
        assert self._thread.native_id is not None
        return self._thread.native_id

    @property
    def place(self) -> set[int]:
        return os.sched_getaffinity(self.number)

    def end(self) -> None:
        self._end.set()
        self._thread.join(PATIENCE_S)


async def free_again() -> None:
    """Wait for the end of the holding."""
    async with asyncio.timeout(PATIENCE_S):
        while os.sched_getaffinity(0) != FREE:
            await asyncio.sleep(0.005)


async def test_those_that_joined_are_held_with_the_loop() -> None:
    """Also who joins meanwhile; not who left; and who was begun meanwhile goes free with all others."""
    core = OneCore()
    before, left, other = Sleeper(core), Sleeper(core), Sleeper()
    core.leave(left.number)
    core.hold(asyncio.get_running_loop())
    held = os.sched_getaffinity(0)
    late, begun = Sleeper(core), Sleeper()
    assert len(held) == 1
    assert [one.place for one in (before, late, begun)] == [held] * 3, "begun inherits the place"
    assert [one.place for one in (left, other)] == [FREE] * 2
    core.leave(late.number)
    assert late.place == FREE
    await free_again()
    assert [one.place for one in (before, left, other, late, begun)] == [FREE] * 5
    for one in (before, left, other, late, begun):
        one.end()


async def test_it_is_held_again_and_by_one_at_a_time() -> None:
    """Another that wants to hold the same loop leaves it to the first, whose end is the end."""
    first, second = OneCore(), OneCore()
    for _ in range(3):
        first.hold(asyncio.get_running_loop())
        second.hold(asyncio.get_running_loop())
        first.hold(asyncio.get_running_loop())
        assert len(os.sched_getaffinity(0)) == 1
        await free_again()


async def test_closing_lets_go_at_once() -> None:
    """A loop that ends before the time is over leaves its thread free."""
    core = OneCore()
    core.hold(asyncio.get_running_loop())
    assert len(os.sched_getaffinity(0)) == 1
    core.release()
    assert os.sched_getaffinity(0) == FREE
    core.hold(asyncio.get_running_loop())
    assert len(os.sched_getaffinity(0)) == 1
    await free_again()


async def test_nothing_is_held_where_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a system call for it questions are answered as ever."""
    monkeypatch.setattr(one_core, "_where", lambda: None)
    OneCore().hold(asyncio.get_running_loop())
    assert os.sched_getaffinity(0) == FREE


async def test_a_lane_holds_while_a_question_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that answers is where the loop is; when all are answered both are free."""
    monkeypatch.setattr(lanes, "LONG_S", 3600.0)  # however slow the machine is, the second has to wait
    lane = Lane(4)
    go = threading.Event()
    places: list[set[int]] = []

    def first() -> None:
        assert go.wait(PATIENCE_S)

    def second() -> int:
        places.append(os.sched_getaffinity(0))
        return threading.get_native_id()

    async with asyncio.timeout(PATIENCE_S):
        waits = asyncio.ensure_future(lane.run(first, PATIENCE_S))
        await asyncio.sleep(0)
        asked = asyncio.ensure_future(lane.run(second, PATIENCE_S))
        await asyncio.sleep(0)
        held = os.sched_getaffinity(0)
        go.set()
        await waits
        thread = await asked
        await free_again()
    assert len(held) == 1
    assert places[0] in (held, FREE), "free if the machine was so slow that it had been held long enough"
    lane.close()
    with contextlib.suppress(ProcessLookupError):  # it has ended
        assert os.sched_getaffinity(thread) == FREE
