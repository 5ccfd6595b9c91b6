"""`kill -9` while a day is sealed: the file is the old one or the new one, with all that was acknowledged."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.storage.days import day_of
from tests.conftest import wait_until

KILLS = 100 if os.environ.get("MAMIMON_FULL") else 12

# Seals a day again and again; in between lines come late, sometimes while it is being sealed.
SEALING = """
    import asyncio, sys
    from pathlib import Path
    from mamimon.logs.model import LogRecord
    from mamimon.logs.store.days import LogDays

    folder, day, start, number = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

    async def late(days, first):
        async with days.using(day) as file:
            raws = [b'{"n":%d,"message":"late line"}' % n for n in range(first, first + 100)]
            await file.append([
                LogRecord(time=start + i, level="INFO", raw=raw, dataset="kill", plain=True)
                for i, raw in enumerate(raws)
            ])
        print("stored", first, flush=True)

    async def main():
        days = LogDays(folder, 64, 1)
        days.scan_folder()
        for round in range(1_000):
            first = number + round * 200
            await late(days, first)
            sealing = asyncio.create_task(days.seal(day))
            if round % 2:
                await late(days, first + 100)
            print("sealed" if await sealing else "changed meanwhile", flush=True)

    asyncio.run(main())
"""


@pytest.mark.feature("O5")
def test_kill_9_while_a_day_is_sealed_loses_no_acknowledged_line(
    start: Callable[..., Any], clock: ManualClock, tmp_path: Path
) -> None:
    """Killed at any moment of sealing, the day has each acknowledged line once, and what is left goes."""
    yesterday = clock.now() // 86_400 * 86_400 - 80_000
    day, folder = day_of(yesterday), tmp_path / "data" / "logs"
    folder.mkdir(parents=True)
    pick = random.Random(3)
    acknowledged: set[int] = set()
    seen = {"sealed": 0, "changed": 0, "unfinished": 0}
    for run in range(KILLS):
        command = [sys.executable, "-c", textwrap.dedent(SEALING), str(folder), day, str(yesterday)]
        child = subprocess.Popen([*command, str(run * 1_000_000)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines: list[str] = []
        try:
            lines.append(child.stdout.readline().strip())
            while run % 4 == 0 and "sealed" not in lines:
                lines.append(child.stdout.readline().strip())
            wait_until(lambda: any(folder.glob("*.sealing")), 60, "a day is being sealed")
            time.sleep(pick.random() ** 3 * 0.2)
        finally:
            child.kill()
        for line in [*lines, *child.stdout.read().splitlines()]:
            word, _, number = line.partition(" ")
            if word == "stored":
                acknowledged.update(range(int(number), int(number) + 100))
            else:
                seen[word] += 1
        child.wait(20)
        child.stdout.close()
        seen["unfinished"] += (folder / f"{day}.sealing").exists()
    print(f"{KILLS} kills, {len(acknowledged)} lines, {seen}")
    assert seen["sealed"] and seen["unfinished"], "no kill fell into sealing"

    server = start()
    found: list[int] = []
    answer = server.client.post("/es/kill/_search?scroll=1m", json={"size": 10_000}).json()
    while answer["hits"]["hits"]:
        found += [hit["_source"]["n"] for hit in answer["hits"]["hits"]]
        answer = server.client.post("/es/_search/scroll", json={"scroll_id": answer["_scroll_id"]}).json()

    assert not list(folder.glob("*.sealing*"))
    assert (folder / f"{day}.db").stat().st_mode & stat.S_IRUSR
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
