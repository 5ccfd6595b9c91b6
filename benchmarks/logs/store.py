"""The bare store loop and its searches: python benchmarks/logs/store.py [rows].

No HTTP: records are read, masked and appended in batches of 1,024 by one caller, so this is what
the doors can reach at most. Searches are the newest 100, the best of five, warm.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from sustained import document

from mamimon.clock import SystemClock
from mamimon.config import LogSettings
from mamimon.logs.ingest import LogIngest
from mamimon.logs.query import DayBackend, LogQuery
from mamimon.logs.store.days import LogDays

BATCH = 1024
QUERIES = {
    "wildcard in all fields, no match": "req-*1a2b",
    "common": "chat", "phrase": '"POST /api/chat"', "level": "level:ERROR",
    "request_id": "request_id:req-9e3779b1",
    "absent phrase of common words": '"chat POST for"', "bool": "level:ERROR AND status:203",
}  # fmt: skip


async def run(folder: Path, rows: int) -> dict[str, object]:
    """Fill a store and search it."""
    settings, clock = LogSettings(), SystemClock()
    days = LogDays(folder, settings.block_rows, 2)
    days.scan_folder()
    ingest = LogIngest(days, settings, clock, CollectorRegistry(), lambda: True)
    backend = DayBackend(days, settings, clock)
    ingest.open()
    now = time.time() - 3600
    raws = [document(n, now + n * 3500 / rows) for n in range(rows)]
    took: list[float] = []
    began = time.perf_counter()
    for start in range(0, rows, BATCH):
        at = time.perf_counter()
        await ingest.append([ingest.record_of(raw, "bench") for raw in raws[start : start + BATCH]])
        took.append(time.perf_counter() - at)
    elapsed = time.perf_counter() - began
    took.sort()
    result: dict[str, object] = {
        "rows_s": round(rows / elapsed),
        "batch_p50_ms": round(took[len(took) // 2] * 1000, 1),
        "batch_p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
    }
    for name, text in QUERIES.items():
        best = 1e9
        for _ in range(5):
            at = time.perf_counter()
            await backend.search(LogQuery(text=text, size=100))
            best = min(best, time.perf_counter() - at)
        result[f"{name} ms"] = round(best * 1000, 1)
    at = time.perf_counter()
    histogram = await backend.histogram(LogQuery(start=now - 60, end=now + 3600), 60)
    result["histogram ms"] = round((time.perf_counter() - at) * 1000, 1)
    assert histogram.total == rows
    await ingest.close()
    await days.close()
    size = sum(path.stat().st_size for path in folder.iterdir())
    result["disk_ratio"] = round(size / sum(map(len, raws)), 3)
    return result


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(asyncio.run(run(Path(name), count))))
