"""Small envelopes are read together; each caller gets its own outcome."""

from __future__ import annotations

import asyncio
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mamimon.errors.lane import MAX_BATCH, Lane
from mamimon.errors.memo import Memo
from tests.errors.test_doors import dsn_of, envelope, event, issues, item


def test_what_waits_goes_along_in_one_hop() -> None:
    """While one piece of work is done the others gather; results, errors and a lost caller stay apart."""
    hops: list[int] = []
    free = threading.Event()

    def first() -> str:
        free.wait(60)
        return "first"

    def later(number: int) -> int:
        hops.append(threading.get_ident())
        if number == 3:
            raise ValueError("three is none")
        return number

    async def run() -> list[Any]:
        lane: Lane[Any] = Lane(asyncio.Lock())
        tasks = [asyncio.create_task(lane.do(first))]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(lane.do(lambda n=n: later(n))) for n in range(MAX_BATCH + 6)]  # type: ignore[misc]
        await asyncio.sleep(0)
        tasks[2].cancel()
        free.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    made = asyncio.run(run())

    assert made[0] == "first"
    assert isinstance(made[2], asyncio.CancelledError)
    assert isinstance(made[4], ValueError)
    rest = [one for index, one in enumerate(made) if index not in {0, 2, 4}]
    assert rest == [n for n in range(MAX_BATCH + 6) if n not in {1, 3}]
    assert len(hops) == MAX_BATCH + 6


def test_a_memo_is_bounded() -> None:
    """It forgets what was not asked for lately, keeps no long key, and hands out what it remembers."""
    made: list[tuple[str]] = []

    def make(key: tuple[str]) -> str:
        made.append(key)
        return key[0].upper()

    memo = Memo(make, most=8, longest=10)
    assert [memo((word,)) for word in "abcabc"] == [*"ABCABC"]
    assert len(made) == 3
    for number in range(20):
        memo((f"n{number}",))
        memo(("a",))
    assert made.count(("a",)) == 1
    memo(("b",))
    assert made.count(("b",)) == 2
    for _ in range(2):
        memo(("a long text",))
    assert made.count(("a long text",)) == 2
    with pytest.raises(TypeError):
        memo(([],))  # type: ignore[arg-type]


@pytest.mark.feature("E1")
def test_many_clients_at_once_and_one_that_unpacks_to_much(server: Any) -> None:
    """Every acknowledged event is there, whichever way it was read, and refusals go to whom they are for."""
    url = f"/api/1/envelope/?sentry_key={dsn_of(server)[1]}"
    large = event(extra={str(n): "x" * 8000 for n in range(100)})
    packed = gzip.compress(envelope(item(large)))
    assert len(packed) < 64 << 10

    def send(number: int) -> tuple[int, int]:
        if number % 10 == 3:
            return 400, server.client.post(url, content=b"no envelope").status_code
        if number % 10 == 7:
            one = server.client.post(url, content=packed, headers={"Content-Encoding": "gzip"})
            return 200, one.status_code
        return 200, server.client.post(url, content=envelope(item(event()))).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(60)))

    assert all(wanted == got for wanted, got in answers), answers
    (found,) = issues(server)
    # The large one is the same event each time.
    assert found["count"] == 60 - 6 - 6 + 1
    assert server.client.get(f"{found['url']}/events/{large['event_id']}").status_code == 200
