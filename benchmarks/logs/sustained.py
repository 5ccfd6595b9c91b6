"""A sustained rate through `_bulk`: python benchmarks/logs/sustained.py [lines a second] [seconds].

Starts `mamimon serve` over a temporary directory, sends batches on time, then looks for every line
it was told is stored. Prints refusals, percentiles of the acknowledgement, memory and disk.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

BATCH = 200


def document(n: int, now: float) -> bytes:
    """About 330 bytes, as a web service logs."""
    level = "ERROR" if n % 50 == 0 else "WARNING" if n % 20 == 0 else "INFO"
    return json.dumps(
        {
            "@timestamp": round(now * 1000),
            "level": level,
            "logger": f"app.{('api', 'chat', 'image')[n % 3]}",
            "message": f"POST /api/chat {200 + n % 7} in {n * 37 % 900} ms for user u_{n * 7919 % 5000}",
            "request_id": f"req-{n * 2654435761 % 4294967296:08x}",
            "n": n,
            "service": "mami-ai",
            "host": "web-1",
            "path": "/api/chat",
            "status": 200 + n % 7,
            "duration_ms": n * 37 % 900,
        }
    ).encode()


def run(url: str, pid: int, rate: int, seconds: float) -> dict[str, object]:
    """Send at `rate` for `seconds` and check; returns the measurements."""
    took: list[float] = []
    acknowledged: set[int] = set()
    refused = sent_bytes = 0
    action = b'{"create":{"_index":"logs-bench"}}\n'
    with httpx.Client(base_url=url, timeout=60) as client:
        began = time.perf_counter()
        for batch in range(int(rate * seconds / BATCH)):
            due = began + batch * BATCH / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            now = time.time()
            lines = [document(batch * BATCH + i, now) for i in range(BATCH)]
            body = b"".join(action + line + b"\n" for line in lines)
            start = time.perf_counter()
            answer = client.post("/es/_bulk", content=body)
            took.append(time.perf_counter() - start)
            if answer.status_code == 200 and not answer.json()["errors"]:
                acknowledged.update(range(batch * BATCH, (batch + 1) * BATCH))
                sent_bytes += sum(map(len, lines))
            else:
                refused += 1
        elapsed = time.perf_counter() - began
        memory = psutil.Process(pid).memory_info().rss
        found = client.get("/es/logs-bench/_count").json()["count"]
        at = time.perf_counter()
        lost = acknowledged - numbers(client)
        read_s = time.perf_counter() - at
    took.sort()
    return {
        "rate": round(len(acknowledged) / elapsed),
        "acknowledged": len(acknowledged),
        "counted": found,
        "lost": len(lost),
        "read_back_s": round(read_s, 1),
        "refused_batches": refused,
        "ack_p50_ms": round(took[len(took) // 2] * 1000, 1),
        "ack_p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
        "ack_max_ms": round(took[-1] * 1000, 1),
        "rss_mb": round(memory / 1e6),
        "raw_mb": round(sent_bytes / 1e6, 1),
    }


def numbers(client: httpx.Client) -> set[int]:
    """The number of every line that is there, page by page."""
    found: set[int] = set()
    search = {"size": 10_000, "_source": ["n"], "sort": [{"@timestamp": "desc"}, {"_doc": "desc"}]}
    while hits := client.post("/es/logs-bench/_search", json=search).json()["hits"]["hits"]:
        found.update(hit["_source"]["n"] for hit in hits)
        search["search_after"] = hits[-1]["sort"]
    return found


def main() -> int:
    """Run against a server of its own."""
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", folder, "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        url = ""
        while not url:
            found = re.search(r"ready on (\S+)", server.stderr.readline())
            url = found.group(1) if found else ""
        try:
            result = run(url, server.pid, rate, seconds)
        finally:
            server.terminate()
            server.wait(20)
        size = sum(path.stat().st_size for path in Path(folder, "logs").iterdir())
        result["disk_ratio"] = round(size / 1e6 / float(str(result["raw_mb"])), 3)
    print(json.dumps(result))
    return 0 if not result["lost"] and not result["refused_batches"] else 1


if __name__ == "__main__":
    sys.exit(main())
