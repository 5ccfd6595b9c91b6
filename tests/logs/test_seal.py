"""Sealing days that are over: packed, read-only, searched as before, open again for what comes late."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.logs.store import seal
from mamimon.logs.store.days import LogDays
from mamimon.storage.days import day_of
from tests.conftest import Running, wait_until


def _post(server: Running, numbers: range, at: float, **fields: Any) -> None:
    lines = [
        {"@timestamp": (at + n) * 1000, "n": n, "level": "INFO", "message": f"line {n}", **fields}
        for n in numbers
    ]
    body = "".join(f'{{"create":{{"_index":"logs-shop"}}}}\n{json.dumps(line)}\n' for line in lines)
    answer = server.client.post("/es/_bulk", content=body).json()
    assert not answer["errors"]


def _numbers(server: Running, query: str = "*") -> set[int]:
    answer = server.client.get("/es/logs-shop/_search", params={"q": query, "size": 5000}).json()
    assert not answer["timed_out"]
    return {hit["_source"]["n"] for hit in answer["hits"]["hits"]}


def _sealed(path: Path) -> bool:
    return path.exists() and not path.stat().st_mode & stat.S_IWUSR


def quiet(clock: ManualClock, path: Path) -> None:
    """Let time pass until the file is sealed."""

    def look() -> bool:
        clock.advance(120)
        return _sealed(path)

    wait_until(look, 60, "the day was sealed")


@pytest.mark.feature("L1")
def test_a_day_that_is_over_is_sealed_and_takes_late_lines(server: Running, clock: ManualClock) -> None:
    """A quiet day of the past becomes a read-only file that answers the same, and opens again."""
    yesterday = clock.now() // 86_400 * 86_400 - 80_000
    _post(server, range(1500), yesterday)
    _post(server, range(5000, 5010), yesterday, message="to be deleted")
    server.client.post("/es/logs-shop/_delete_by_query", json={"query": {"range": {"n": {"gte": 5000}}}})
    path = server.data_dir / "logs" / f"{day_of(yesterday)}.db"
    ids = server.client.get("/es/logs-shop/_search", params={"q": "n:77"}).json()["hits"]["hits"]

    quiet(clock, path)

    assert _numbers(server) == set(range(1500))
    assert _numbers(server, '"line 1234"') == {1234}
    assert server.client.get("/es/logs-shop/_count").json()["count"] == 1500
    assert server.client.get("/es/logs-shop/_search", params={"q": "n:77"}).json()["hits"]["hits"] == ids
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*), sum(rows) FROM block").fetchone() == (6, 1510)
        assert raw.execute("SELECT count(*) FROM tail").fetchone() == (0,)

    _post(server, range(9000, 9003), yesterday)

    assert not _sealed(path)
    assert _numbers(server, "n:>=9000") == {9000, 9001, 9002}
    quiet(clock, path)
    assert len(_numbers(server)) == 1503


@pytest.mark.feature("L1")
def test_what_was_deleted_is_not_in_a_sealed_file(server: Running, clock: ManualClock) -> None:
    """Sealing leaves nothing of deleted lines and datasets in the file."""
    yesterday = clock.now() // 86_400 * 86_400 - 80_000
    _post(server, range(300), yesterday)
    _post(server, range(300, 310), yesterday, secret_word="zanzibar")
    server.client.post(
        "/es/logs-shop/_delete_by_query", json={"query": {"match": {"secret_word": "zanzibar"}}}
    )
    path = server.data_dir / "logs" / f"{day_of(yesterday)}.db"

    quiet(clock, path)

    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert not raw.execute("SELECT rowid FROM text WHERE text MATCH 'zanzibar'").fetchall()
        assert raw.execute("SELECT rowid FROM text WHERE text MATCH 'line'").fetchall()
    assert len(_numbers(server)) == 300


@pytest.mark.feature("O5")
def test_a_kill_while_sealing_leaves_the_old_file(
    start: Callable[..., Running], clock: ManualClock, tmp_path: Path
) -> None:
    """The rest of a new file that a kill left is deleted at the start, and the old one answers."""
    first = start()
    yesterday = clock.now() // 86_400 * 86_400 - 80_000
    _post(first, range(700), yesterday)
    path = first.data_dir / "logs" / f"{day_of(yesterday)}.db"
    first.stop()
    rest = path.with_suffix(".sealing")
    seal.rewrite(path, rest, 0.0)
    whole = rest.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole)):
        rest.unlink(missing_ok=True)
        rest.write_bytes(whole[:size])

        again = start()

        assert not rest.exists()
        assert _numbers(again) == set(range(700))
        again.stop()


@pytest.mark.feature("O5")
def test_a_file_that_somebody_writes_is_not_replaced(tmp_path: Path) -> None:
    """With a WAL beside the old file the new one does not take its place."""
    old, new = tmp_path / "2026-01-01.db", tmp_path / "2026-01-01.sealing"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    old.with_name(old.name + "-wal").write_bytes(b"frames")

    with pytest.raises(OSError, match="in use"):
        seal.replace(new, old)

    assert old.read_bytes() == b"old"


@pytest.mark.feature("L1")
async def test_sealed_days_are_known_by_their_permissions(tmp_path: Path) -> None:
    """A day is sealed when its file may not be written, and leaves no WAL behind."""
    days = LogDays(tmp_path, 256, 1)
    days.scan_folder()
    async with days.using("2026-01-01") as file:
        assert file is not None
        await file.add_dataset("shop", False)
    assert days.unsealed() == ["2026-01-01"]

    assert await days.seal("2026-01-01")

    assert days.unsealed() == []
    assert not list(tmp_path.glob("*-wal"))
    async with days.using("2026-01-01") as file:
        assert file is not None and [one.name for one in file.datasets.values()] == ["shop"]
    await days.close()
