"""How long the store takes to read 100,000 series with open chunks back, without the rest of the server.

python benchmarks/metrics/restart.py [--series 100000] [--sources 20] [--rows 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.model import Matcher
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.store.day import Day
from mamimon.metrics.store.dayfile import DayFile

START = 1_767_225_600


async def write(folder: Path, given: argparse.Namespace) -> None:
    clock = ManualClock(float(START))
    store = SeriesStore(folder, Settings(), clock)
    await store.open()
    random = np.random.default_rng(1)
    each = given.series // given.sources
    day = await store.day_of(START * 1000)
    for source in range(given.sources):
        ids = np.asarray(
            [
                day.index.id_of(
                    {
                        "__name__": f"http_requests_{n % 50}_total",
                        "job": f"job{source % 5}",
                        "instance": f"host{source}:9100",
                        "path": f"/api/v1/items/{n // 50}",
                        "method": "GET",
                        "status": f"20{n % 5}",
                    }
                )
                for n in range(each)
            ],
            dtype=np.int64,
        )
        values = np.floor(random.random(each) * 1e5)
        for row in range(given.rows):
            values = values + np.floor(random.random(each) * 50) * (random.random(each) < 0.5)
            at = START + row * 15
            clock.jump(max(0.0, at - clock.now()))
            await store.write([Scrape(f"s{source}", at * 1000, ids, values)])
    await store.close()


async def measure(folder: Path) -> dict[str, float]:
    out: dict[str, float] = {}
    path = next(folder.glob("*.db"))
    file = DayFile(path, None)
    steps = {
        "series": lambda day: day.index.load(day.file.load_series()),
        "heads": lambda day: day.file.load_heads(),
    }
    for name, step in steps.items():
        began, used = time.perf_counter(), time.process_time()
        step(Day("2026-01-01", file))
        out[f"{name}_s"] = round(time.perf_counter() - began, 3)
        out[f"{name}_cpu_s"] = round(time.process_time() - used, 3)
    await file.close()
    store = SeriesStore(folder, Settings(), ManualClock(START + 3600.0))
    began, used = time.perf_counter(), time.process_time()
    await store.open()
    out["open_s"] = round(time.perf_counter() - began, 3)
    out["open_cpu_s"] = round(time.process_time() - used, 3)
    began = time.perf_counter()
    source = store.source(max_samples=50_000_000, deadline=time.monotonic() + 60)
    found = source.select([Matcher("__name__", "=~", ".+")], 0, 1 << 50)
    out["select_all_s"] = round(time.perf_counter() - began, 3)
    out["series"] = len(found.labels)
    out["file_mb"] = round(path.stat().st_size / 1e6, 1)
    await store.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mamimon-restart-") as folder:
        asyncio.run(write(Path(folder), given))
        print(json.dumps(asyncio.run(measure(Path(folder))), indent=1))


if __name__ == "__main__":
    main()
