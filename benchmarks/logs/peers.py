"""The same million lines of one day in mamimon and in its peers: python benchmarks/logs/peers.py [lines].

VictoriaLogs (the binary that `.ci/peers` builds), SQLite FTS5 holding the content (bare, no server),
and grep over zstd files of 100,000 lines. Every server is asked over HTTP; the median of nine questions.
"""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import psutil
import zstandard
from lines import lines, request_id
from ten_million import DAY_S, ask, counted, newest, serving, share, steps, within, words

ROUNDS = 9
BATCH = 2_000
PART = 100_000
PEERS = Path("~/.cache/mamimon-peers/bin").expanduser()
Question = Callable[[], Any]


class Figures:
    """One peer's row of the table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rate = self.disk = self.rss = 0.0
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


def mamimon(folder: Path, corpus: list[bytes], day: float) -> Figures:
    figures = Figures("mamimon")
    with serving(folder) as (client, process):
        action = b'{"create":{"_index":"logs-shop"}}\n'
        began = time.perf_counter()
        for start in range(0, len(corpus), BATCH):
            body = b"".join(action + line + b"\n" for line in corpus[start : start + BATCH])
            answer = client.post("/es/_bulk", content=body)
            assert b'"errors":false' in answer.content[:40], answer.text[:300]
        figures.rate = len(corpus) / (time.perf_counter() - began)
        for kind, (text, _) in kinds(len(corpus)).items():
            figures.measure(kind, lambda text=text: ask(client, newest(words(text))))  # type: ignore[misc]
        body = counted(within(day, day + DAY_S), "t", date_histogram=steps("1m"))
        figures.measure("per minute", lambda: ask(client, body))
        figures.rss = process.memory_info().rss / 1e6
    figures.disk = sum(path.stat().st_size for path in (folder / "logs").iterdir())
    return figures


@contextmanager
def victoria(folder: Path) -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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


def victoria_logs(folder: Path, corpus: list[bytes], day: float) -> Figures:
    figures = Figures("VictoriaLogs")
    span = {"start": str(day), "end": str(day + DAY_S)}
    with victoria(folder) as (client, process):
        where = {"_stream_fields": "service,host", "_time_field": "@timestamp", "_msg_field": "message"}
        began = time.perf_counter()
        for start in range(0, len(corpus), BATCH):
            client.post(
                "/insert/jsonline", params=where, content=b"\n".join(corpus[start : start + BATCH])
            ).raise_for_status()
        figures.rate = len(corpus) / (time.perf_counter() - began)
        client.get("/internal/force_flush")

        def query(text: str, path: str = "query", **more: str) -> bytes:
            answer = client.post(f"/select/logsql/{path}", data={"query": text, **span, **more})
            answer.raise_for_status()
            return answer.content

        assert str(len(corpus)).encode() in query("* | stats count() n"), "lines are missing"
        for kind, (_, text) in kinds(len(corpus)).items():
            figures.measure(kind, lambda text=text: query(text, limit="100"))  # type: ignore[misc]
        figures.measure("per minute", lambda: query("*", "hits", step="1m"))
        figures.rss = process.memory_info().rss / 1e6
        client.get("/internal/force_merge")
        time.sleep(3)
    figures.disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return figures


def fts5(folder: Path, corpus: list[bytes]) -> Figures:
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
    return figures


def grep(folder: Path, corpus: list[bytes]) -> Figures:
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
    return figures


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    day = (time.time() // DAY_S - 1) * DAY_S
    corpus = list(lines(count, day, day + DAY_S))
    size = sum(map(len, corpus))
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="mamimon-peers-") as name:
        root = Path(name)
        for part in ("mamimon/logs", "victoria", "fts5", "grep"):
            (root / part).mkdir(parents=True)
        rows.append(mamimon(root / "mamimon", corpus, day))
        if (PEERS / "victoria-logs").exists():
            rows.append(victoria_logs(root / "victoria", corpus, day))
        else:
            print("victoria-logs is not there; .ci/peers builds it")
        rows.append(fts5(root / "fts5", corpus))
        if which("zstd"):
            rows.append(grep(root / "grep", corpus))
        else:
            print("zstd is not installed: no figures of grep over zstd files")
    names = [*kinds(count), "per minute"]
    print(
        f"{'newest 100, ms (p50)':26} {'lines/s':>9} {'disk':>6} {'MB':>5}", *(f"{one:>16}" for one in names)
    )
    for one in rows:
        took = (f"{one.took[kind]:16.1f}" if kind in one.took else f"{'':16}" for kind in names)
        print(f"{one.name:26} {one.rate:9,.0f} {one.disk / size:6.3f} {one.rss:5.0f}", *took)
    print("one sequential client; load average:", *(f"{one:.1f}" for one in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
