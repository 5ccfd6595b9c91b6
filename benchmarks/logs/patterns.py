"""What telling patterns apart costs: python benchmarks/logs/patterns.py [rows] [rounds] [kind…].

The store loop of `store.py` with and without the miner, in turns so that a busy machine hurts
both alike; the median of the rounds. `plain` lines carry numbers, `ids` lines also a random
hexadecimal id in each message, `words` lines a free word, which no shape can be remembered for.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from sustained import document

from mamimon.clock import SystemClock
from mamimon.config import LogSettings
from mamimon.logs.ingest import LogIngest
from mamimon.logs.patterns.miner import Miner
from mamimon.logs.store.days import LogDays

BATCH = 1024


def lines(kind: str, rows: int) -> list[bytes]:
    """JSON lines of one kind."""
    rng = random.Random(1)
    now = time.time() - 3600
    made = [document(n, now + n * 3500 / rows) for n in range(rows)]
    if kind == "ids":
        made = [raw.replace(b"for user", f"as {rng.randbytes(8).hex()} for".encode()) for raw in made]
    if kind == "words":
        letters = "abcdefghijklmnopqrstuvwxyz"
        made = [
            raw.replace(b"for user", f"{''.join(rng.choices(letters, k=9))} for".encode()) for raw in made
        ]
    return made


async def run(raws: list[bytes], miner: Miner | None) -> tuple[float, float]:
    """Rows a second of the whole loop and of the commits alone."""
    settings, clock = LogSettings(), SystemClock()
    with tempfile.TemporaryDirectory() as name:
        days = LogDays(Path(name), settings.block_rows, 2)
        days.scan_folder()
        if miner is not None:
            days.sort = miner.sort
        ingest = LogIngest(days, settings, clock, CollectorRegistry(), lambda: True)
        ingest.open()
        began = time.process_time()
        for start in range(0, len(raws), BATCH):
            await ingest.append([ingest.record_of(raw, "bench") for raw in raws[start : start + BATCH]])
        took = time.process_time() - began
        await ingest.close()
        size = sum(path.stat().st_size for path in Path(name).iterdir())
        await days.close()
    return len(raws) / took, size / sum(map(len, raws))


def main() -> None:
    """Print one line a kind of message."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for kind in sys.argv[3:] or ("plain", "ids", "words"):
        raws = lines(kind, rows)
        without, with_, disk = [], [], []
        for _ in range(rounds):
            without.append(asyncio.run(run(raws, None)))
            with_.append(asyncio.run(run(raws, Miner(CollectorRegistry(), SystemClock()))))
        a, b = (statistics.median(rate for rate, _ in part) for part in (without, with_))
        disk = [part[0][1] for part in (without, with_)]
        print(
            json.dumps(
                {
                    "kind": kind, "rows_s_without": round(a), "rows_s_with": round(b),
                    "cost_percent": round((a / b - 1) * 100, 1),
                    "disk_without": round(disk[0], 3), "disk_with": round(disk[1], 3),
                }
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
