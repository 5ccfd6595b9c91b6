"""The same lines of one day in mamimon and in its peers: python benchmarks/logs/peers.py [lines] [PEER ...].

OpenSearch and VictoriaLogs (built by `.ci/peers opensearch victoria-logs`), SQLite FTS5 holding the content
(bare, no server), and grep over zstd files of 100,000 lines. Every server takes `_bulk` or its like from
`CONNECTIONS` at once and is asked over HTTP by one client; the median of nine questions. OpenSearch has one
shard, syncs its log every five seconds as mamimon does each second, and may not answer from its cache of
answers; its disk is measured after all segments were merged into one, ours after the day was sealed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import psutil
import zstandard
from lines import lines, request_id
from ten_million import DAY_S, ask, counted, newest, serving, share, steps, within, words

from mamimon.logs.store.days import LogDays

ROUNDS = 9
CONNECTIONS = 4
BATCH = 2_000
PART = 100_000
PEERS = Path("~/.cache/mamimon-peers/bin").expanduser()
JSON = {"content-type": "application/json"}
Question = Callable[[], Any]


class Figures:
    """One peer's row of the table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rate = self.disk = self.rss = self.start = 0.0
        self.took: dict[str, float] = {}

    def measure(self, kind: str, question: Question) -> None:
        """The median of several rounds after one to warm up."""
        took: list[float] = []
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            question()
            took.append((time.perf_counter() - began) * 1000)
            if sum(took) > 20_000 and len(took) > 2:
                break
        self.took[kind] = share(took[1:], 0.5)


def pour(url: str, path: str, bodies: list[bytes], count: int, **params: str) -> float:
    """Lines a second into a server from several connections at once."""

    def part(number: int) -> None:
        with httpx.Client(
            base_url=url, timeout=120, headers={"content-type": "application/x-ndjson"}
        ) as client:
            for body in bodies[number::CONNECTIONS]:
                answer = client.post(path, params=params, content=body)
                answer.raise_for_status()
                assert b'"errors":true' not in answer.content[:60], answer.text[:300]

    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(part, range(CONNECTIONS)))
    return count / (time.perf_counter() - began)


def bulk(corpus: list[bytes], index: str) -> list[bytes]:
    """The bodies of `_bulk`."""
    action = f'{{"create":{{"_index":"{index}"}}}}\n'.encode()
    return [
        b"".join(action + line + b"\n" for line in corpus[start : start + BATCH])
        for start in range(0, len(corpus), BATCH)
    ]


def searches(figures: Figures, count: int, day: float, post: Callable[[dict[str, Any]], Any]) -> None:
    """What an Elasticsearch door is asked."""
    for kind, (text, _) in kinds(count).items():
        figures.measure(kind, lambda text=text: post(newest(words(text))))  # type: ignore[misc]
    span = within(day, day + DAY_S)
    per_minute = counted(span, "t", date_histogram=steps("1m"))
    figures.measure("per minute", lambda: post(per_minute))
    level, service = (
        counted(span, "t", terms={"field": f"{field}.keyword"}) for field in ("level", "service")
    )
    figures.measure("by level", lambda: post(level))
    figures.measure("by service", lambda: post(service))
    slow = counted(words("service:checkout"), "t", date_histogram=steps("1m"))
    figures.measure("checkout/minute", lambda: post(slow))


def kinds(count: int) -> dict[str, tuple[str, str]]:
    """Questions as Lucene and as LogsQL."""
    seen = request_id(random.Random(3).randrange(count))
    return {
        "rare term": ("zanzibar", "zanzibar"),
        "service:checkout": ("service:checkout", "service:checkout"),
        "phrase": ('"moved from state packed"', '"moved from state packed"'),
        "level:ERROR": ("level:ERROR", "level:ERROR"),
        "request_id": (f"request_id:{seen}", f"request_id:{seen}"),
        "absent phrase": ('"user state request"', '"user state request"'),
    }


def mamimon(folder: Path, corpus: list[bytes], day: float) -> list[Figures]:
    figures, sealed = Figures("mamimon"), Figures("mamimon, sealed")
    bodies = bulk(corpus, "logs-shop")
    with serving(folder) as (client, process):
        figures.rate = pour(str(client.base_url), "/es/_bulk", bodies, len(corpus))
        searches(figures, len(corpus), day, lambda body: ask(client, body))
        figures.rss = process.memory_info().rss / 1e6
    figures.disk = sum(path.stat().st_size for path in (folder / "logs").iterdir())
    asyncio.run(seal(folder))
    began = time.perf_counter()
    with serving(folder) as (client, process):
        sealed.start = time.perf_counter() - began
        searches(sealed, len(corpus), day, lambda body: ask(client, body))
        sealed.rss = process.memory_info().rss / 1e6
    sealed.disk = sum(path.stat().st_size for path in (folder / "logs").iterdir())
    return [figures, sealed]


async def seal(folder: Path) -> None:
    """What the server does with a day that is over."""
    days = LogDays(folder / "logs", 256, 2)
    days.scan_folder()
    for day in days.days():
        await days.seal(day)
    await days.close()


@contextmanager
def node(folder: Path) -> Iterator[tuple[httpx.Client, psutil.Process, float]]:
    """An OpenSearch node and the seconds until it was ready."""
    port = free_port()
    began = time.perf_counter()
    with (folder / "out.log").open("wb") as log:
        server = subprocess.Popen([str(PEERS / "opensearch"), str(port), str(folder)], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            for _ in range(2400):
                try:
                    # Every shard of what is there already is open then.
                    path = "/_cluster/health?wait_for_status=green&timeout=60s"
                    if client.get(path).status_code == 200:
                        break
                except httpx.TransportError:
                    assert server.poll() is None, "OpenSearch did not start"
                time.sleep(0.05)
            yield client, psutil.Process(server.pid), time.perf_counter() - began
    finally:
        server.terminate()
        server.wait(60)


def opensearch(folder: Path, corpus: list[bytes], day: float) -> list[Figures]:
    """With the codec that it has by default, and ingest and disk with the one that packs best."""
    rows: list[Figures] = []
    for codec in ("default", "best_compression"):
        figures = Figures("OpenSearch" + (f", {codec}" if rows else ""))
        rows.append(figures)
        data = folder / codec
        data.mkdir()
        with node(data) as (client, process, _):
            settings = {
                "number_of_shards": 1,
                "number_of_replicas": 0,
                "codec": codec,
                "translog": {"durability": "async"},
            }
            client.put("/logs-shop", json={"settings": {"index": settings}}).raise_for_status()
            bodies = bulk(corpus, "logs-shop")
            figures.rate = pour(str(client.base_url), "/_bulk", bodies, len(corpus))
            del bodies
            client.post("/_refresh").raise_for_status()
            assert client.get("/logs-shop/_count").json()["count"] == len(corpus), "lines are missing"

            def post(body: dict[str, Any], client: httpx.Client = client) -> Any:
                # A whole answer that is kept would measure nothing.
                cached = {"request_cache": "false"} if body.get("size") == 0 else {}
                answer = client.post("/logs-*/_search", params=cached, content=json.dumps(body), headers=JSON)
                answer.raise_for_status()
                return answer.json()

            if codec == "default":
                searches(figures, len(corpus), day, post)
            figures.rss = process.memory_info().rss / 1e6
            client.post("/logs-shop/_forcemerge?max_num_segments=1&flush=true").raise_for_status()
            client.post("/logs-shop/_refresh").raise_for_status()
            # Segments alone: what its log still keeps would be cut in time.
            store = client.get("/logs-shop/_stats/store").json()["indices"]["logs-shop"]["total"]["store"]
            figures.disk = store["size_in_bytes"]
        with node(data) as (_, _, took):
            figures.start = took
    return rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def victoria(folder: Path) -> Any:
    port = free_port()
    command = [
        str(PEERS / "victoria-logs"),
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
    ]
    server = subprocess.Popen([*command, "-retentionPeriod=90d"], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(200):
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield client, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(30)


def victoria_logs(folder: Path, corpus: list[bytes], day: float) -> list[Figures]:
    figures = Figures("VictoriaLogs")
    span = {"start": str(day), "end": str(day + DAY_S)}
    with victoria(folder) as (client, process):
        where = {"_stream_fields": "service,host", "_time_field": "@timestamp", "_msg_field": "message"}
        bodies = [b"\n".join(corpus[start : start + BATCH]) for start in range(0, len(corpus), BATCH)]
        figures.rate = pour(str(client.base_url), "/insert/jsonline", bodies, len(corpus), **where)
        client.get("/internal/force_flush")

        def query(text: str, path: str = "query", **more: str) -> bytes:
            answer = client.post(f"/select/logsql/{path}", data={"query": text, **span, **more})
            answer.raise_for_status()
            content: bytes = answer.content
            return content

        assert str(len(corpus)).encode() in query("* | stats count() n"), "lines are missing"
        for kind, (_, text) in kinds(len(corpus)).items():
            figures.measure(kind, lambda text=text: query(text, limit="100"))  # type: ignore[misc]
        figures.measure("per minute", lambda: query("*", "hits", step="1m"))
        figures.measure("by level", lambda: query("* | stats by (level) count() n"))
        figures.measure("by service", lambda: query("* | stats by (service) count() n"))
        figures.measure("checkout/minute", lambda: query("service:checkout", "hits", step="1m"))
        figures.rss = process.memory_info().rss / 1e6
        client.get("/internal/force_merge")
        time.sleep(3)
    figures.disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return [figures]


def fts5(folder: Path, corpus: list[bytes], day: float) -> list[Figures]:
    figures = Figures("SQLite FTS5 with content")
    raw = sqlite3.connect(folder / "fts5.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=NORMAL")
    raw.execute("CREATE VIRTUAL TABLE line USING fts5(body)")
    began = time.perf_counter()
    for start in range(0, len(corpus), BATCH):
        raw.execute("BEGIN")
        raw.executemany(
            "INSERT INTO line VALUES (?)", [(one.decode(),) for one in corpus[start : start + BATCH]]
        )
        raw.execute("COMMIT")
    figures.rate = len(corpus) / (time.perf_counter() - began)
    sql = "SELECT body FROM line WHERE line MATCH ? ORDER BY rowid DESC LIMIT 100"
    for kind, (text, _) in kinds(len(corpus)).items():
        phrase = text if text.startswith('"') else '"' + text.replace(":", " ") + '"'
        figures.measure(kind, lambda phrase=phrase: raw.execute(sql, (phrase,)).fetchall())  # type: ignore[misc]
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    figures.disk = sum(path.stat().st_size for path in folder.iterdir())
    return [figures]


def grep(folder: Path, corpus: list[bytes], day: float) -> list[Figures]:
    figures = Figures("grep over zstd files")
    began = time.perf_counter()
    for start in range(0, len(corpus), PART):
        packed = zstandard.ZstdCompressor(3).compress(b"\n".join(corpus[start : start + PART]) + b"\n")
        (folder / f"{start:09}.zst").write_bytes(packed)
    figures.rate = len(corpus) / (time.perf_counter() - began)
    tool = "rg" if which("rg") else "grep"
    for kind, (text, _) in kinds(len(corpus)).items():
        wanted = text.strip('"').rpartition(":")[2]
        found = f"zstd -dcq $f | {tool} -F '{wanted}' | tail -100"
        command = f"for f in $(ls -r {folder}/*.zst); do {found}; done | head -100"
        figures.measure(kind, lambda command=command: subprocess.run(["sh", "-c", command], stdout=-3))  # type: ignore[misc]
    figures.disk = sum(path.stat().st_size for path in folder.iterdir())
    return [figures]


def absent(name: str) -> str:
    """Why a peer cannot be measured here; empty where it can."""
    if name in {"opensearch", "victoria-logs"} and not (PEERS / name).exists():
        return f"{name} is not there; .ci/peers {name} builds it"
    return (
        "zstd is not installed: no figures of grep over zstd files"
        if name == "grep" and not which("zstd")
        else ""
    )


def ratios(rows: list[Figures]) -> None:
    """mamimon ÷ peer: more is better for the rate, less for everything else."""
    ours, sealed = rows[:2]
    for peer in rows[2:]:
        parts = [f"ingest {ours.rate / peer.rate:.2f}x", f"disk {sealed.disk / peer.disk:.2f}x"]
        if peer.rss:
            parts.append(f"memory {ours.rss / peer.rss:.2f}x")
        if peer.start:
            parts.append(f"start {sealed.start / peer.start:.2f}x")
        for kind, took in peer.took.items():
            parts.append(f"{kind} {ours.took[kind] / took:.2f}x ({sealed.took[kind] / took:.2f}x)")
        print(f"mamimon / {peer.name}: " + ", ".join(parts))
    print("targets of a peer like OpenSearch: ingest >= 2x, search <= 0.5x, disk <= 0.5x; (sealed day)")


ALL = {
    "mamimon": mamimon,
    "opensearch": opensearch,
    "victoria-logs": victoria_logs,
    "fts5": fts5,
    "grep": grep,
}


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    wanted = ["mamimon", *(sys.argv[2:] or [name for name in ALL if name != "mamimon"])]
    day = (time.time() // DAY_S - 1) * DAY_S
    corpus = list(lines(count, day, day + DAY_S))
    size = sum(map(len, corpus))
    rows: list[Figures] = []
    print(f"{count:,} lines, {size / count:.0f} bytes each; load average:", *os.getloadavg(), flush=True)
    for name in dict.fromkeys(wanted):
        if why := absent(name):
            print(why)
            continue
        with tempfile.TemporaryDirectory(prefix="mamimon-peers-") as folder:
            (Path(folder) / "logs").mkdir()
            rows += ALL[name](Path(folder), corpus, day)
    names = list(rows[0].took)
    print(
        f"{'newest 100, ms (p50)':29} {'lines/s':>9} {'disk':>6} {'MB':>5}", *(f"{one:>16}" for one in names)
    )
    for one in rows:
        took = (f"{one.took[kind]:16.1f}" if kind in one.took else f"{'':16}" for kind in names)
        rate = f"{one.rate:9,.0f}" if one.rate else f"{'':9}"
        print(f"{one.name:29} {rate} {one.disk / size:6.3f} {one.rss:5.0f}", *took)
    ratios(rows)
    print("load average:", *(f"{one:.1f}" for one in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
