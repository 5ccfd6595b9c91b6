"""Searches over ten million lines of ten days: python benchmarks/logs/ten_million.py [lines] [folder].

Fills a store (an existing folder is used as it is), starts `mamimon serve` over it and asks the
Elasticsearch door. Warm: 30 questions of a kind, each with other values. Cold: in each round a new
process and all files dropped from the page cache. Prints a bar, a figure and pass or FAIL a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil
from lines import WORDS, lines, request_id
from prometheus_client import CollectorRegistry

from mamimon.clock import SystemClock
from mamimon.config import LogSettings
from mamimon.logs.ingest import LogIngest
from mamimon.logs.store.days import LogDays

DAYS = 10
BATCH = 1024
WARM, COLD = 30, 5
DAY_S = 86_400


def first_day() -> float:
    """Midnight ten days ago, so that every day is over."""
    return (time.time() // DAY_S - DAYS) * DAY_S


async def fill(folder: Path, count: int) -> None:
    """Write the lines and seal the days, as the server does once a day is over."""
    settings, clock = LogSettings(), SystemClock()
    days = LogDays(folder / "logs", settings.block_rows, 2)
    days.scan_folder()
    ingest = LogIngest(days, settings, clock, CollectorRegistry(), lambda: True)
    ingest.open()
    start = first_day()
    source = lines(count, start, start + DAYS * DAY_S)
    raw_bytes = rows = 0
    spent = 0.0
    while batch := list(islice(source, BATCH)):
        began = time.perf_counter()
        await ingest.append([ingest.record_of(raw, "shop") for raw in batch])
        spent += time.perf_counter() - began
        raw_bytes += sum(map(len, batch))
        rows += len(batch)
    print(f"filled {rows:,} lines, {raw_bytes / rows:.0f} bytes each, {rows / spent:,.0f} lines/s")
    print(f"  disk {disk(folder) / raw_bytes:.3f} of the raw JSON before sealing")
    if hasattr(days, "seal"):
        began = time.perf_counter()
        for day in days.days():
            await days.seal(day)
        print(f"  sealed {len(days.days())} days in {time.perf_counter() - began:.1f} s")
    await ingest.close()
    await days.close()
    (folder / "facts.json").write_text(json.dumps({"raw": raw_bytes, "rows": rows, "start": start}))


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "logs").iterdir())


@contextmanager
def serving(folder: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """A server over the folder."""
    command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", str(folder), "--port", "0"]
    env = {**os.environ, "MAMIMON_METRICS__SCRAPE_SELF": "false", "MAMIMON_SERVER__SELF_LOG": "false"}
    env["MAMIMON_LOGS__QUERY_TIMEOUT_S"] = "100"
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    assert server.stderr is not None
    url = ""
    while not url:
        said = server.stderr.readline()
        assert said, "the server did not start"
        found = re.search(r"ready on (\S+)", said)
        url = found.group(1) if found else ""
    try:
        with httpx.Client(base_url=url, timeout=120) as client:
            yield client, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(20)


def forget(folder: Path) -> None:
    """Take the store out of the page cache."""
    for path in (folder / "logs").iterdir():
        number = os.open(path, os.O_RDONLY)
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def remember(folder: Path) -> None:
    """Bring the store into the page cache, as one just written is: each question asks for other blocks."""
    for path in (folder / "logs").iterdir():
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass


def words(text: str) -> dict[str, Any]:
    return {"query_string": {"query": text}}


def within(start: float, end: float) -> dict[str, Any]:
    span = {"gte": round(start * 1000), "lt": round(end * 1000), "format": "epoch_millis"}
    return {"range": {"@timestamp": span}}


def newest(query: dict[str, Any]) -> dict[str, Any]:
    return {"size": 100, "query": query, "sort": [{"@timestamp": "desc"}], "track_total_hits": False}


def with_total(query: dict[str, Any]) -> dict[str, Any]:
    """Elasticsearch's default: hits are also counted, exactly up to 10,000."""
    return {"size": 100, "query": query, "sort": [{"@timestamp": "desc"}]}


def counted(query: dict[str, Any], name: str, **aggregation: Any) -> dict[str, Any]:
    return {"size": 0, "query": query, "track_total_hits": False, "aggs": {name: aggregation}}


def steps(interval: str) -> dict[str, str]:
    return {"field": "@timestamp", "fixed_interval": interval}


def questions(start: float, rows: int, pick: random.Random) -> dict[str, tuple[int, int, dict[str, Any]]]:
    """Kinds of questions: warm and cold bar in ms (0: only shown), and a body with values drawn anew."""
    end = start + DAYS * DAY_S
    day = start + pick.randrange(DAYS) * DAY_S
    one, other = pick.sample(WORDS, 2)
    service = pick.choice(("checkout", "catalog", "chat"))
    user, seen = pick.randrange(50_000), request_id(pick.randrange(rows))
    whole, that_day = within(start, end), within(day, day + DAY_S)
    both = {"filter": [{"term": {"level": "ERROR"}}, {"term": {"service": service}}]}
    hidden = {"must": [words('"user state request"')], "filter": [that_day]}
    daily = {"must": [words(service)], "filter": [that_day]}
    return {
        "newest 100: rare term": (50, 300, newest(words("zanzibar"))),
        "newest 100: user id": (50, 300, newest(words(f"u{user}"))),
        "newest 100: common term": (50, 300, newest(words(service))),
        "newest 100: phrase": (50, 300, newest(words('"moved from state packed"'))),
        "newest 100: rare phrase of common words": (0, 0, newest(words(f'"{one} {other}"'))),
        "newest 100: level:ERROR": (50, 300, newest(words("level:ERROR"))),
        "newest 100: request_id": (50, 300, newest(words(f"request_id:{seen}"))),
        "newest 100: bool of two fields": (50, 300, newest({"bool": both})),
        "newest 100: two rare values": (0, 0, newest(words("level:CRITICAL AND status:503"))),
        "common term, counted to 10,000": (0, 0, with_total(words(service))),
        "phrase, counted to 10,000": (0, 0, with_total(words('"moved from state packed"'))),
        "two rare values, counted to 10,000": (0, 0, with_total(words("level:CRITICAL AND status:503"))),
        "date_histogram minute, a day": (100, 0, counted(that_day, "t", date_histogram=steps("1m"))),
        "date_histogram hour, ten days": (300, 0, counted(whole, "t", date_histogram=steps("1h"))),
        "the same by level": (0, 0, counted(
            whole, "t", date_histogram=steps("1h"), aggs={"l": {"terms": {"field": "level"}}})),
        "terms on level, ten days": (300, 0, counted(whole, "l", terms={"field": "level"})),
        "terms on logger, ten days": (300, 0, counted(whole, "l", terms={"field": "logger", "size": 50})),
        "absent phrase of common words, a day": (500, 0, newest({"bool": hidden})),
        "minute histogram of level:ERROR, a day": (0, 0, counted(
            {"bool": {"filter": [{"term": {"level": "ERROR"}}, that_day]}}, "t", date_histogram=steps("1m"))),
        "minute histogram of a common term, a day": (0, 0, counted(
            {"bool": daily}, "t", date_histogram=steps("1m"))),
    }  # fmt: skip


def ask(client: httpx.Client, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    content = json.dumps(body)
    headers = {"content-type": "application/json"}
    began = time.perf_counter()
    answer = client.post("/es/logs-*/_search", content=content, headers=headers)
    took = (time.perf_counter() - began) * 1000
    answer.raise_for_status()
    found = answer.json()
    assert not found["timed_out"], body
    return took, found


def share(took: list[float], part: float) -> float:
    """A percentile."""
    return sorted(took)[min(len(took) - 1, int(len(took) * part))]


def verdict(bar: float, value: float) -> str:
    return "" if not bar else "pass" if value <= bar else "FAIL"


def measure(folder: Path) -> bool:
    """Ask everything and print the table."""
    facts = json.loads((folder / "facts.json").read_text())
    pick = random.Random(8)
    kinds = list(questions(facts["start"], facts["rows"], pick))
    warm: dict[str, list[float]] = {kind: [] for kind in kinds}
    cold: dict[str, list[float]] = {kind: [] for kind in kinds}
    remember(folder)
    with serving(folder) as (client, process):
        start_rss = process.memory_info().rss
        for kind in kinds:
            began = time.perf_counter()
            for round_number in range(WARM + 2):
                if round_number > 4 and time.perf_counter() - began > 10:
                    break
                took, _ = ask(client, questions(facts["start"], facts["rows"], pick)[kind][2])
                if round_number > 1:
                    warm[kind].append(took)
        rss = process.memory_info().rss
    for _ in range(COLD):
        with serving(folder) as (client, _):
            for kind in kinds:
                forget(folder)
                cold[kind].append(ask(client, questions(facts["start"], facts["rows"], pick)[kind][2])[0])
    passed = True
    print(f"{'':42} {'warm p50':>9} {'p95':>7} {'bar':>5} {'':4}  {'cold p50':>9} {'worst':>7} {'bar':>5}")
    for kind, (bar, cold_bar, _) in questions(facts["start"], facts["rows"], pick).items():
        p50, p95 = share(warm[kind], 0.5), share(warm[kind], 0.95)
        c50, worst = share(cold[kind], 0.5), max(cold[kind])
        verdicts = verdict(bar, p95), verdict(cold_bar, worst)
        passed &= "FAIL" not in verdicts
        print(f"{kind:42} {p50:9.1f} {p95:7.1f} {bar or '':>5} {verdicts[0]:4}"
              f"  {c50:9.1f} {worst:7.1f} {cold_bar or '':>5} {verdicts[1]}")  # fmt: skip
    ratio = disk(folder) / facts["raw"]
    print(f"{'disk / raw JSON':42} {ratio:9.3f} {'':7} {0.3:>5} {verdict(0.3, ratio)}")
    print(f"resident: {start_rss / 1e6:.0f} MB after the start, {rss / 1e6:.0f} MB after the warm questions")
    print("load average:", *(f"{load:.1f}" for load in os.getloadavg()))
    return passed and ratio <= 0.3


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="mamimon-ten-million-") as name:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else name)
        if not (folder / "facts.json").exists():
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            asyncio.run(fill(folder, count))
        return 0 if measure(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
