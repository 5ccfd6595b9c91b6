"""The store: what the index finds is what reading every line finds; limits; masking; cursors."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mamimon.clock import ManualClock
from mamimon.config import LogSettings
from mamimon.logs.clauses import All, Clause, Row
from mamimon.logs.ingest import LogIngest
from mamimon.logs.query import DayBackend, LogQuery
from mamimon.logs.store import days as days_module
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from mamimon.problems import Kind, Problem
from mamimon.storage import heap

WORDS = [
    "error",
    "timeout",
    "chat",
    "KeyError",
    "İşlem",
    "başladı",
    "req-8f31",
    "10.0.0.1",
    "C:\\new",
    'a"b',
    "foo_bar",
    "İstanbul",
    "40 \u212a",
    "a\u00a0b",
    "worker—kill",
]
NOW = 1_767_225_600.0


def documents(count: int) -> list[dict[str, Any]]:
    """Random lines with everything that JSON can hide a word in."""
    rng = random.Random(7)
    made = []
    for i in range(count):
        one: dict[str, Any] = {
            "@timestamp": NOW - rng.random() * 200_000,
            "message": rng.choice([" ", "\n", "\t", ", "]).join(rng.choices(WORDS, k=rng.randint(0, 5))),
            "level": rng.choice(["INFO", "error", "WARN", "odd error"]),
            "n": rng.choice([i, i * 0.5, -i, str(i)]),
            "http": {"status": rng.choice([200, 404, 500])},
            "tags": rng.sample(["x", "y", "Zed zed"], k=rng.randint(0, 2)),
        }
        if rng.random() < 0.3:
            one["flag"] = rng.random() < 0.5
        made.append(one)
    return made


def random_query(rng: random.Random, depth: int = 0) -> str:
    """A query of the language, any part of it."""
    pick = rng.random()
    if depth < 3 and pick < 0.35:
        left, right = random_query(rng, depth + 1), random_query(rng, depth + 1)
        return f"({left}) {rng.choice(['AND', 'OR', '', 'AND NOT', 'OR NOT'])} ({right})"
    field = rng.choice(["", "", "message:", "level:", "tags:", "http.status:", "n:", "*:", "h*.status:"])
    word = rng.choice(
        [
            "error",
            "TIMEOUT",
            "chat",
            "KeyError",
            "işlem",
            "başladı",
            "new",
            "b",
            "foo_bar",
            "zed",
            "istanbul",
            "40",
            "k",
            "worker",
        ]
    )
    value = rng.choice(
        [
            word, word, f'"{word} error"',
            f'"{word} chat"~2', word[:3] + "*", "*" + word[1:], f"/{word[:2].lower()}.*/",
            word + "~",
            f'"{word} {rng.choice(WORDS[:3] + WORDS[-4:])}"', "*" + word[1:-1] + "*", "?" + word[1:], "*5*",
            f'"{rng.choice(["worker kill", "a b", "40 k", "C: new", "foo_bar istanbul"])}"',
            str(rng.randint(0, 600)), "[1 TO 300]", ">=404", "{* TO 100}", "req-8f31", "10.0.0.1", "true",
            "200", "-5", "12.5", "error", "WARNING",
        ]
    )  # fmt: skip
    if value == "-5":
        value = "\\-5"
    return rng.choice(["", "", "", "NOT ", "-", "+"]) + field + value


def store(folder: Path, **changes: Any) -> tuple[LogDays, LogIngest, DayBackend]:
    """A store of its own, without a server."""
    settings = LogSettings()
    for name, value in changes.items():
        setattr(settings, name, value)
    clock = ManualClock(NOW)
    days = LogDays(folder, settings.block_rows, 2)
    days.scan_folder()
    ingest = LogIngest(days, settings, clock, CollectorRegistry(), lambda: True)
    return days, ingest, DayBackend(days, settings, clock)


def places(view: View) -> list[tuple[str, int]]:
    """What the indexed search finds."""
    return [(view.day, row.seq) for row in view.newest()]


def read_all(clause: Clause, view: View) -> list[tuple[str, int]]:
    """What reading every line finds."""
    return [(view.day, row.seq) for row in view.any_order() if clause.match(row)]


@pytest.mark.feature("L4")
async def test_the_index_misses_nothing(tmp_path: Path) -> None:
    """Over 450 random queries, half of them of sealed days, the index finds what reading all lines finds."""
    days, ingest, backend = store(tmp_path, block_rows=16, mask=False)
    ingest.open()
    made = documents(600)
    for start in range(0, len(made), 37):
        await ingest.append(
            [ingest.record_of(json.dumps(one).encode(), "app") for one in made[start : start + 37]]
        )
    rng = random.Random(11)
    for number in range(450):
        if number == 225:
            # Sealed days have pairs of words in their index as well; a late line makes one of both kinds.
            assert all([await days.seal(day) for day in days.days()])
            late = [one | {"message": "timeout error chat error"} for one in made[:40]]
            await ingest.append([ingest.record_of(json.dumps(one).encode(), "app") for one in late])
        text = random_query(rng)
        plan, whole = backend.plan(LogQuery(text=text)), backend.plan(LogQuery())
        found, everything = [], []
        for day in days.days():
            found += (await days.read(day, plan, places))[0] or []
            everything += (await days.read(day, whole, partial(read_all, plan.clause)))[0] or []
        assert sorted(found) == sorted(everything), text
    await ingest.close()
    await days.close()


@pytest.mark.feature("L1")
async def test_newest_first_over_days_and_a_cursor_that_sees_each_line_once(tmp_path: Path) -> None:
    """Search is in the order of time over days; the cursor passes every line once, late ones too."""
    days, ingest, backend = store(tmp_path, block_rows=16)
    ingest.open()
    made = documents(500)
    await ingest.append([ingest.record_of(json.dumps(one).encode(), "app") for one in made])
    page = await backend.search(LogQuery(size=500))
    times = [hit.time for hit in page.hits]
    assert len(times) == 500
    assert times == sorted(times, reverse=True)
    assert len(days.days()) >= 3
    histogram = await backend.histogram(LogQuery(start=NOW - 200_000, end=NOW + 1), 3600)
    assert histogram.total == 500
    assert sum(n for _, n in await backend.facet(LogQuery(), "level")) == 500 - sum(
        one["level"] == "odd error" for one in made
    )
    await ingest.close()
    await days.close()


@pytest.mark.feature("L1")
async def test_a_full_queue_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    """More lines than may wait are refused whole with TOO_MANY; those that wait are stored."""
    days, ingest, backend = store(tmp_path, queue_rows=100)
    records = [ingest.record("INFO", "a", str(n)) for n in range(80)]
    waiting = asyncio.create_task(ingest.append(records))
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        await ingest.append(records)
    assert refused.value.kind is Kind.TOO_MANY and refused.value.retry_after_s
    ingest.open()
    assert len(await waiting) == 80
    assert len((await backend.search(LogQuery(size=100))).hits) == 80
    await ingest.close()
    await days.close()


@pytest.mark.feature("L1")
def test_a_full_disk_answers_503_and_secrets_are_masked(start: Callable[..., Any]) -> None:
    """A read-only server answers 503 to lines and 200 to searches; a stored line has no password."""
    server = start(server={"self_log": False})
    body = '{"message":"login password=hunter2 ok","token":"abc","db":"postgres://u:pw@h/x"}'
    assert server.client.post("/api/mamimon/logs", content=body).json()["accepted"] == 1
    stored = server.client.get("/api/mamimon/logs/search?q=login").json()["hits"][0]["document"]
    assert stored == {"message": "login password=*** ok", "token": "***", "db": "postgres://u:***@h/x"}
    core = server.server.house.core
    core.writable = lambda: False
    answer = server.client.post("/es/_bulk", content='{"index":{"_index":"a"}}\n{"b":1}\n')
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "cluster_block_exception"
    assert server.client.get("/es/_search?q=login").json()["hits"]["total"]["value"] == 1


@pytest.mark.feature("L4")
def test_a_query_out_of_time_says_that_its_answer_is_not_whole(start: Callable[..., Any]) -> None:
    """Past logs.query_timeout_s a search answers with what it has, and says so at every door."""
    server = start(logs={"query_timeout_s": 0.0})
    now = server.server.clock.now()
    body = "".join(
        f'{{"create":{{"_index":"logs-slow"}}}}\n{{"@timestamp":{now * 1000 - n:.0f},"message":"line {n}"}}\n'
        for n in range(600)
    )
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    for query in ("*nothing*", '"9 line"', "*"):
        found = server.client.get("/es/logs-slow/_search", params={"q": query, "size": 600}).json()
        assert found["timed_out"], query
        assert len(found["hits"]["hits"]) < 600
    counted = server.client.get("/es/logs-slow/_count", params={"q": "line"}).json()
    assert counted["count"] < 600 and counted["_shards"]["failed"] == 1
    shown = server.client.get("/api/mamimon/logs/search", params={"q": "*nothing*"})
    assert shown.status_code == 200 and shown.json()["partial"]


async def test_a_day_of_an_earlier_version_is_read_and_goes_on(tmp_path: Path) -> None:
    """A file from before there were columns of its lines is searched, counted and written as any other."""
    days, ingest, _ = store(tmp_path, block_rows=16, mask=False)
    ingest.open()
    line = b'{"message":"hello","level":"INFO"}'
    await ingest.append([ingest.record_of(line, "app") for _ in range(50)])
    await ingest.close()
    await days.close()
    [day] = days.days()
    raw = sqlite3.connect(days.path(day))
    for table in ("segment", "segment_column", "segment_words"):
        raw.execute(f"DROP TABLE {table}")
    raw.close()
    days, ingest, backend = store(tmp_path, block_rows=16, mask=False)
    ingest.open()
    await ingest.append([ingest.record_of(line, "app")])
    assert len((await backend.search(LogQuery(text="hello"))).hits) == 51
    query = LogQuery(text="hello", start=NOW - 10, end=NOW + 10)
    assert (await backend.histogram(query, 1.0)).total == 51
    assert await days.add_columns(day) is False
    await ingest.close()
    await days.close()


@pytest.mark.feature("L1")
async def test_memory_of_long_reads_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a read that took long, and not after others."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(heap, "give_back", lambda: loop.call_soon_threadsafe(told.set))
    monkeypatch.setattr(days_module, "_PAUSE_S", 0.0)
    days = LogDays(tmp_path, 256, 1)
    days.scan_folder()
    read = partial(days.read, "2026-01-01", Plan(clause=All()), lambda view: view.count(None))
    monkeypatch.setattr(days_module, "_LARGE_S", 1e9)
    await read()
    assert days._tidying is None and not told.is_set()

    monkeypatch.setattr(days_module, "_LARGE_S", -1.0)
    await read()
    await asyncio.wait_for(told.wait(), 60)
    await days.close()


@pytest.mark.feature("L1")
async def test_a_second_day_is_read_beside_one_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that take little of the processor are read one after the other; after a long one two at once."""
    days = LogDays(tmp_path, 256, 1)
    days.scan_folder()
    names = ["2026-01-03", "2026-01-02", "2026-01-01"]
    running: list[str] = []
    most = 0
    together = threading.Barrier(2, timeout=60)

    def alone(view: View) -> str:
        nonlocal most
        running.append(view.day)
        most = max(most, len(running))
        time.sleep(0.01)
        running.remove(view.day)
        return view.day

    def beside(view: View) -> str:
        if view.day != names[0]:
            together.wait()
        return view.day

    monkeypatch.setattr(days_module, "_LONG_S", 1e9)
    assert [day async for day, _ in days.read_each(names, Plan(clause=All()), alone)] == names
    assert most == 1

    monkeypatch.setattr(days_module, "_LONG_S", -1.0)
    assert [day async for day, _ in days.read_each(names, Plan(clause=All()), beside)] == names
    await days.close()


@pytest.mark.feature("L1")
async def test_older_days_are_asked_only_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six lines and the one that says that there are more: five of the newest day, two of the one before."""
    days, ingest, backend = store(tmp_path)
    ingest.open()
    made = [{"@timestamp": NOW - day * 86_400 + n, "n": 5 * day - n} for day in range(3) for n in range(5)]
    await ingest.append([ingest.record_of(json.dumps(one).encode(), "app") for one in made])
    read: dict[str, int] = {}
    newest = View.newest

    def noted(view: View) -> Iterator[Row]:
        for row in newest(view):
            read[view.day] = read.get(view.day, 0) + 1
            yield row

    monkeypatch.setattr(View, "newest", noted)
    monkeypatch.setattr(days_module, "_LONG_S", 1e9)
    page = await backend.search(LogQuery(size=6))

    assert [hit.document()["n"] for hit in page.hits] == [*range(-4, 2)]
    assert page.more and list(read.values()) == [5, 2]
    rest = await backend.search(LogQuery(size=50, before=page.next))
    assert [hit.document()["n"] for hit in rest.hits] == [*range(2, 11)]
    await ingest.close()
    await days.close()
