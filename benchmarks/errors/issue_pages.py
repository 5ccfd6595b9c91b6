"""The errors' pages over many events: python benchmarks/errors/issue_pages.py [events [issues]].

Starts `mamimon serve`, sends the events of one issue (100,000, with users, tags and releases, the last
2,000 with variables and breadcrumbs too) and of 2,000 other issues through the envelope door, then
fetches each page, the median and 95th percentile of 30; and how long an event takes from being sent to
standing on the page of the list.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

ROUNDS, A_POST, HEAVY = 30, 100, 2_000
PAGES = {
    "issue page": "/errors/1",
    "an event of it": "/errors/1/events/{event}",
    "issue, API": "/api/mamimon/errors/issues/1",
    "list": "/errors",
    "list, by trend": "/errors?sort=trend",
    "list, a tag and a number": "/errors?query=plan:pro+times_seen:>1",
    "list, a word": "/errors?query=checkout",
    "chart of the issue": "/api/mamimon/errors/issues/1/histogram?since=24h",
}


def event(kind: str, number: int, *, light: bool = False) -> dict[str, Any]:
    """An event with what real ones carry; a light one is of the same issue, with its last frame only."""
    frames = [
        {
            "function": f"step_{depth}",
            "module": f"shop.checkout.part{depth}",
            "filename": f"shop/checkout/part{depth}.py",
            "lineno": 40 + depth,
            "in_app": depth > 8,
            "context_line": f"    return step_{depth + 1}(order, total={depth})",
            "pre_context": ["    # before"] * 5,
            "post_context": ["    # after"] * 5,
            "vars": {"order": {"id": number, "lines": [1, 2, 3]}, "total": "19.90"},
        }
        for depth in range(11 if light else 0, 12)
    ]
    return {
        "event_id": uuid.uuid4().hex,
        "platform": "python",
        "timestamp": time.time() - random.expovariate(1 / 30_000),
        "release": f"shop@1.{number % 9}",
        "environment": random.choice(["production", "staging"]),
        "tags": {"plan": random.choice(["free", "pro", "team"]), "region": f"r{number % 40}"},
        "user": {"id": str(number % 5_000)},
        "request": {"url": f"http://shop.example/checkout/{number}", "method": "POST"},
        "breadcrumbs": {
            "values": [{"category": "query", "message": f"SELECT {n}"} for n in range(0 if light else 20)]
        },
        "exception": {
            "values": [{"type": kind, "value": f"order {number} failed", "stacktrace": {"frames": frames}}]
        },
    }


def envelope(events: list[dict[str, Any]]) -> bytes:
    """Events as one envelope."""
    parts = [b"{}"]
    for one in events:
        body = json.dumps(one).encode()
        parts += [json.dumps({"type": "event", "length": len(body)}).encode(), body]
    return b"\n".join(parts)


def fill(client: httpx.Client, head: dict[str, str], count: int, issues: int) -> None:
    """Send everything through the door."""
    began = time.perf_counter()
    for start in range(0, count, A_POST):
        many, light = min(A_POST, count - start), start < count - HEAVY
        body = envelope([event("CheckoutError", start + n, light=light) for n in range(many)])
        client.post("/api/1/envelope/", content=body, headers=head).raise_for_status()
    print(f"{count} events of one issue in {time.perf_counter() - began:.0f} s", flush=True)
    for start in range(0, issues, A_POST):
        body = envelope([event(f"Error{start + n}", n) for n in range(min(A_POST, issues - start))])
        client.post("/api/1/envelope/", content=body, headers=head).raise_for_status()


def measure(client: httpx.Client, head: dict[str, str]) -> None:
    """Fetch each page and say what it took."""
    known = client.get("/api/mamimon/errors/issues/1/events?limit=50").json()
    for name, path in PAGES.items():
        took = []
        for round_ in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(path.format(event=known[round_ % len(known)]["id"]))
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
        took.sort()
        print(f"{name:28} median {statistics.median(took):7.1f} ms   p95 {took[int(ROUNDS * 0.95)]:7.1f} ms")
    seen = []
    for number in range(10):
        one = event(f"Fresh{number}Error", number) | {"timestamp": time.time()}
        began = time.perf_counter()
        client.post("/api/1/envelope/", content=envelope([one]), headers=head).raise_for_status()
        while f"Fresh{number}Error" not in client.get("/errors?sort=first_seen").text:
            pass
        seen.append((time.perf_counter() - began) * 1000)
    print(
        f"{'sent until on the page':28} median {statistics.median(seen):7.1f} ms   max {max(seen):11.1f} ms"
    )


def main() -> None:
    """The command."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    issues = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    random.seed(7)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mamimon.toml").write_text("[errors]\nevents_per_minute = 10000000\n")
        command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", folder, "--port", "0"]
        command += ["--config", f"{folder}/mamimon.toml"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            url = next(line.split()[-1] for line in server.stderr if "mamimon is ready on" in line)
            threading.Thread(target=server.stderr.read, daemon=True).start()
            with httpx.Client(base_url=url, timeout=60) as client:
                dsn = httpx.URL(client.get("/api/mamimon/errors/dsn").json()["dsn"])
                head = {"X-Sentry-Auth": f"Sentry sentry_key={dsn.username}"}
                fill(client, head, count, issues)
                measure(client, head)
            print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
