"""The logs pages over stores of growing size: python benchmarks/logs/pages.py [lines…].

Fills ten days with each number of lines, patterns included, starts `mamimon serve` over them and
fetches each page and each part that it loads, the median of 15. A page whose time grows with the
number of lines reads too much; what answers a question over all lines (the chart of a word) is
told apart.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import httpx
from lines import lines
from prometheus_client import CollectorRegistry

from mamimon.clock import SystemClock
from mamimon.config import LogSettings
from mamimon.logs.ingest import LogIngest
from mamimon.logs.patterns.miner import Miner
from mamimon.logs.store.days import LogDays

DAYS, BATCH, ROUNDS = 10, 1024, 15
PAGES = {
    "page": "/logs?since=7d",
    "page, a word": "/logs?since=7d&q=timeout",
    "page, level and columns": "/logs?since=7d&level=ERROR&cols=request_id,host",
    "older lines": "/logs/rows?since=7d&before={before}",
    "counts": "/logs/facets?since=7d",
    "counts, a word": "/logs/facets?since=7d&q=timeout",
    "chart": "/api/mamimon/logs/histogram?since=7d&step=7200",
    "chart, a word (reads every match)": "/api/mamimon/logs/histogram?since=7d&step=7200&q=timeout",
    "fields to complete": "/api/mamimon/logs/complete?prefix=re",
    "values to complete": "/api/mamimon/logs/complete?field=host&prefix=w",
    "patterns": "/logs/patterns?since=7d",
    "one pattern": "/logs/patterns/{pattern}?since=7d",
    "a line in context": "/logs/line/{line}",
    "one request": "/requests/{request}",
}


async def fill(folder: Path, count: int) -> int:
    """Write the lines; returns how many patterns they have."""
    settings, clock = LogSettings(), SystemClock()
    days = LogDays(folder / "logs", settings.block_rows, 2)
    days.scan_folder()
    miner = Miner(CollectorRegistry(), clock)
    days.sort = miner.sort
    ingest = LogIngest(days, settings, clock, CollectorRegistry(), lambda: True)
    ingest.open()
    now = time.time()
    source = lines(count, now - DAYS * 86_400, now)
    while batch := list(islice(source, BATCH)):
        await ingest.append([ingest.record_of(raw, "shop") for raw in batch])
    await ingest.close()
    await days.close()
    return len(miner.known())


def measure(url: str) -> dict[str, float]:
    """Milliseconds a page."""
    with httpx.Client(base_url=url, timeout=60) as client:
        search = {"since": "7d", "size": 100, "q": "_exists_:request_id"}
        answer = client.get("/api/mamimon/logs/search", params=search).json()
        hit = answer["hits"][50]
        for _ in range(20):  # definitions were not in this server's state: it makes them again, twenty a time
            client.get("/api/mamimon/logs/patterns?since=7d")
        places = {
            "before": answer["next"], "line": hit["id"], "request": hit["document"]["request_id"],
            "pattern": client.get("/api/mamimon/logs/patterns?since=7d").json()["patterns"][0]["id"],
        }  # fmt: skip
        found: dict[str, float] = {}
        for name, path in PAGES.items():
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                client.get(path.format(**places)).raise_for_status()
                took.append(time.perf_counter() - began)
            found[name] = round(statistics.median(took) * 1000, 1)
        return found


def main() -> None:
    """Print one JSON line a size."""
    for count in map(int, sys.argv[1:] or ("100000", "1000000")):
        with tempfile.TemporaryDirectory() as name:
            patterns = asyncio.run(fill(Path(name), count))
            command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", name, "--port", "0"]
            server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert server.stderr is not None
            url = ""
            while not url:
                ready = re.search(r"ready on (\S+)", server.stderr.readline())
                url = ready.group(1) if ready else ""
            try:
                print(json.dumps({"lines": count, "patterns": patterns, **measure(url)}), flush=True)
            finally:
                server.terminate()
                server.wait(20)


if __name__ == "__main__":
    main()
