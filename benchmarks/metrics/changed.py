"""How long "what changed" takes over many series, and whether it finds the ones that did.

Run: python -m benchmarks.metrics.changed [SERIES=10000] [HOURS=6]

Targets of 500 series each, 15 s apart: half counters with a random walk of rates, half noisy gauges, and a
few gaps. In the last quarter of an hour twelve series of twelve metrics move. A fresh store over the files is
asked for the window of that quarter against the hours before: "cold" is the first time, "warm" the median of
the others. The bar is two seconds, cold; on a shared machine the processor's seconds count, for it is one
thread's work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.changes import Changes, changes
from mamimon.metrics.query import LocalBackend
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.storage import Core, Database

START = 1_767_225_600
STEP_S = 15
WINDOW_S = 900
EACH = 500
MOVED = 12
BAR_S = 2.0


def name_of(number: int) -> str:
    """The metric of a target's series: ten series a metric."""
    return f"requests_{number // 10}_total" if number % 20 < 10 else f"depth_{number // 10}"


async def fill(folder: Path, series: int, hours: float, clock: ManualClock) -> list[str]:
    """Write the samples; answers the metrics that moved."""
    store = SeriesStore(folder, Settings(), clock)
    await store.open()
    random = np.random.default_rng(7)
    scrapes = int((hours * 3600 + WINDOW_S) / STEP_S)
    targets = max(1, series // EACH)
    each = min(series, EACH)
    counters = np.asarray([number % 20 < 10 for number in range(each)])
    levels = random.gamma(2.0, 20.0, (targets, each))
    totals = np.zeros((targets, each))
    ids: list[np.ndarray] = []
    moved = {(n % targets, 10 * (4 * n % (each // 10)) + n % 10) for n in range(MOVED)}
    for at in range(scrapes):
        now = START + at * STEP_S
        clock.jump(max(0.0, now - clock.now()))
        day = await store.day_of(now * 1000)
        if at == 0 or now % 86_400 < STEP_S:
            ids = [
                np.asarray(
                    [
                        day.index.id_of(
                            {
                                "__name__": name_of(n),
                                "job": f"job{target % 5}",
                                "instance": f"host{target}:9100",
                                "path": f"/api/items/{n % 10}",
                            }
                        )
                        for n in range(each)
                    ]
                )
                for target in range(targets)
            ]
        current = levels * (1 + 0.1 * random.standard_normal(levels.shape))
        if at >= scrapes - WINDOW_S // STEP_S:
            for target, number in moved:
                current[target, number] *= 3
        totals += np.abs(current) * STEP_S
        values = np.where(counters, np.floor(totals), current)
        await store.write(
            [
                Scrape(f"target{target}", now * 1000 + target, ids[target], values[target])
                for target in range(targets)
                if (at + target) % 401  # a failed scrape now and then
            ]
        )
        if at % 200 == 0:
            await store.seal_due()
    clock.advance(1)
    await store.seal_due()
    await store.close()
    return sorted({name_of(number) for _, number in moved})


async def ask(folder: Path, state: Database, clock: ManualClock) -> tuple[float, Changes]:
    """Ask a fresh store; the lesser of its seconds by the clock and of the processor, and the answer."""
    store = SeriesStore(folder, Settings(), clock)
    await store.open()
    backend = LocalBackend(Core(Settings(), clock, folder, state), store)
    end = clock.now()
    try:
        began, used = time.perf_counter(), time.process_time()
        found = await changes(backend, end - WINDOW_S, end, timeout_s=120)
        cold, cpu = time.perf_counter() - began, time.process_time() - used
        runs = []
        for _ in range(5):
            began = time.perf_counter()
            found = await changes(backend, end - WINDOW_S, end, timeout_s=120)
            runs.append(time.perf_counter() - began)
        warm = statistics.median(runs)
        print(f"cold {cold * 1000:.0f} ms ({cpu * 1000:.0f} of processor), warm {warm * 1000:.0f} ms")
        return min(cold, cpu), found
    finally:
        backend.close()
        await store.close()


async def run(given: argparse.Namespace) -> int:
    """Fill, ask, judge."""
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(float(START))
        state = await Database.open(Path(folder) / "state.db")
        expected = await fill(Path(folder) / "metrics", given.series, given.hours, clock)
        cold, found = await ask(Path(folder) / "metrics", state, clock)
        await state.close()
    said = sorted({one.name for one in found.rows})
    right = sorted(set(said) & set(expected))
    print(f"{found.compared:,} series compared over {given.hours:g} h; load {os.getloadavg()[0]:.1f}")
    print(f"moved {len(expected)}, found {len(right)}, others named {len(said) - len(right)}")
    ok = cold <= BAR_S and right == expected
    print(f"bar {BAR_S:g} s: {'ok' if ok else 'MISSED'}")
    return 0 if ok else 1


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("series", type=int, nargs="?", default=10_000)
    parser.add_argument("hours", type=float, nargs="?", default=6.0)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
