"""Sentry events a second: python benchmarks/errors/ingest.py [--seconds 60] [--rate 1000] [--flood 5].

Starts `mamimon serve` over a temporary directory and sends envelopes of one event each (a Python stack
of twelve frames with variables and breadcrumbs, 6 kB; 200 issues; every fourth with a password and an
Authorization header). First as many as it takes with 1, 4 and 16 connections, with the processor time of
an event, then `--rate` a second for `--seconds`, timed from when each was due to its acknowledgement, so
that a stall counts for all that waited. Bugsink, where `.ci/peers bugsink` has installed it, is flooded
with the same events in the same run until it has digested them all. Ends with 1 where mamimon takes less
than five times as many. Run with PYTHONPATH set to the project's root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent))
from bugsink import running

ISSUES = 200


def event(number: int) -> bytes:
    """The payload of one event."""
    place = number % ISSUES
    frames: list[dict[str, Any]] = [
        {
            "function": f"step_{depth}_{place}", "module": f"shop.part_{place}",
            "filename": f"shop/part_{place}.py", "abs_path": f"/srv/shop/part_{place}.py",
            "lineno": 10 + depth, "in_app": depth > 4,
            "pre_context": ["    order = load(number)", "    lines = order.lines"],
            "context_line": f"    return step_{depth + 1}_{place}(order)",
            "post_context": ["", "def other(order):"],
            "vars": {"order": f"<Order {number}>", "lines": ["tea", "cup"], "total": number % 97},
        }
        for depth in range(12)
    ]  # fmt: skip
    crumbs = [
        {"type": "http", "category": "httplib", "timestamp": time.time(),
         "data": {"url": f"/stock/{n}", "status_code": 200}}
        for n in range(10)
    ]  # fmt: skip
    made: dict[str, Any] = {
        "event_id": uuid.uuid4().hex,
        "timestamp": time.time(),
        "platform": "python",
        "level": "error",
        "release": f"shop@1.{number % 7}",
        "environment": "production",
        "server_name": f"web-{number % 3}",
        "exception": {
            "values": [
                {
                    "type": "PaymentError",
                    "value": f"order {number} declined",
                    "stacktrace": {"frames": frames},
                }
            ]
        },
        "breadcrumbs": {"values": crumbs},
        "tags": {"cart": "big"},
        "user": {"id": str(number % 500)},
        "request": {"url": "https://shop.example/pay", "method": "POST", "headers": {"User-Agent": "curl/8"}},
    }
    if number % 4 == 0:
        frames[-1]["vars"] |= {"password": f"hunter-{number}"}
        made["request"] |= {"headers": {"User-Agent": "curl/8", "Authorization": f"Bearer abcdef{number:08}"}}
    return json.dumps(made).encode()


def envelopes(dsn: str) -> Iterator[bytes]:
    """Whole HTTP requests, for ever."""
    parts = urlsplit(dsn)
    number = 0
    while True:
        payload = event(number)
        head = json.dumps({"event_id": json.loads(payload)["event_id"], "dsn": dsn}).encode()
        body = head + b'\n{"type":"event","length":%d}\n' % len(payload) + payload
        yield (
            f"POST /api{parts.path}/envelope/ HTTP/1.1\r\nHost: {parts.hostname}:{parts.port}\r\n"
            f"X-Sentry-Auth: Sentry sentry_key={parts.username}, sentry_version=7\r\n"
            f"Content-Type: application/x-sentry-envelope\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        number += 1


class Connection:
    """One connection that is kept open."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        """Send a request; returns the status."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        if b"connection: close" in head or not length:
            writer.close()
            self._streams = None
        return int(head.split(b" ", 2)[1])


async def flood(dsn: str, connections: int, seconds: float) -> float:
    """Events a second while every connection sends its next one as soon as it is answered."""
    source = [request for request, _ in zip(envelopes(dsn), range(4_000), strict=False)]
    queue = iter(source)
    done = 0
    began = time.monotonic()

    async def run() -> None:
        nonlocal done
        one = Connection(dsn)
        while time.monotonic() - began < seconds:
            request = next(queue, None)
            if request is None:
                return
            assert await one.send(request) == 200
            done += 1

    await asyncio.gather(*(run() for _ in range(connections)))
    return done / (time.monotonic() - began)


async def sustain(
    dsn: str, rate: int, seconds: float, connections: int = 64
) -> tuple[list[float], dict[int, int]]:
    """Latencies from when each event was due, and answers by status, at a fixed rate."""
    # The generator and the server share the machine's cores: requests are made beforehand.
    ready = [request for request, _ in zip(envelopes(dsn), range(2_000), strict=False)]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(Connection(dsn))
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    began = time.monotonic()

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        try:
            status = await connection.send(request)
        finally:
            free.put_nowait(connection)
        latencies.append(time.monotonic() - due)
        statuses[status] = statuses.get(status, 0) + 1

    tasks: set[asyncio.Task[None]] = set()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        # Ids must differ, the rest of the event need not.
        request = ready[number % len(ready)]
        if number >= len(ready):
            request = _renamed(request)
        task = asyncio.create_task(one(request, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return latencies, statuses


def _renamed(request: bytes) -> bytes:
    found = re.search(rb'"event_id": "([0-9a-f]{32})"', request)
    assert found is not None
    return request.replace(found[1], uuid.uuid4().hex.encode())


def report(name: str, latencies: list[float], statuses: dict[int, int]) -> None:
    """One line of a sustained run."""
    ordered = sorted(latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"{name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, worst {ordered[-1] * 1000:.0f} ms, answers {statuses}"
    )


def used(processes: Sequence[int]) -> float:
    """Seconds of processor time that processes and their children took so far."""
    every = [psutil.Process(one) for one in processes]
    times = [one.cpu_times() for top in every for one in (top, *top.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def run_mamimon(arguments: argparse.Namespace) -> dict[int, float]:
    """Measure ourselves; returns events a second by connections."""
    rates: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", folder, "--port", "0"]
        env = {**os.environ, "MAMIMON_ERRORS__EVENTS_PER_MINUTE": "10000000"}
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        try:
            assert server.stderr is not None
            url = next(found[1] for line in server.stderr if (found := re.search(r"ready on (\S+)", line)))
            threading.Thread(target=server.stderr.read, daemon=True).start()
            dsn = httpx.get(f"{url}/api/mamimon/errors/dsn").json()["dsn"]
            for connections in (1, 4, 16):
                before, began = used([server.pid]), time.monotonic()
                rate = rates[connections] = asyncio.run(flood(dsn, connections, arguments.flood))
                each = (used([server.pid]) - before) / (rate * (time.monotonic() - began))
                print(
                    f"mamimon, {connections} connections: {rate:.0f} events/s, {each * 1e3:.2f} ms CPU each"
                )
            before = used([server.pid])
            latencies, statuses = asyncio.run(sustain(dsn, arguments.rate, arguments.seconds))
            report(f"mamimon, {arguments.rate} events/s for {arguments.seconds:g} s", latencies, statuses)
            print(
                f"mamimon, {(used([server.pid]) - before) / len(latencies) * 1e3:.2f} ms CPU an event in that"
            )
            size = sum(path.stat().st_size for path in Path(folder, "errors").rglob("*"))
            print(f"mamimon, errors on disk: {size / 1e6:.1f} MB")
        finally:
            server.terminate()
            server.wait(30)
    return rates


def run_bugsink(arguments: argparse.Namespace, ours: dict[int, float]) -> float:
    """Give Bugsink the same flood, and wait until it has digested it; returns the smallest ratio."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder, running(arguments.bugsink, Path(folder)) as one:
        for connections in (1, 4, 16):
            before, spent = one.digested(), used(one.processes)
            began = time.monotonic()
            rate = asyncio.run(flood(one.dsn, connections, arguments.flood))
            sent = round(rate * (time.monotonic() - began))
            one.wait_for(before + sent, 120)
            digested = one.digested() - before
            stored, each = digested / (time.monotonic() - began), (used(one.processes) - spent) / digested
            ratios.append(ours[connections] / stored)
            print(
                f"bugsink, {connections} connections: {rate:.0f} events/s answered, {stored:.0f} digested, "
                f"{each * 1e3:.1f} ms CPU each: mamimon takes {ratios[-1]:.0f} times as many"
            )
    return min(ratios)


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--flood", type=float, default=5.0, help="Seconds of each flood.")
    peers = os.environ.get("MAMIMON_PEERS", str(Path.home() / ".cache" / "mamimon-peers"))
    parser.add_argument("--bugsink", type=Path, default=Path(peers, "bugsink", "bin"), help="Its programs.")
    arguments = parser.parse_args()
    ours = run_mamimon(arguments)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if not (arguments.bugsink / "bugsink-manage").exists():
        print(f"bugsink is not in {arguments.bugsink}: .ci/peers bugsink installs it")
        return
    if run_bugsink(arguments, ours) < 5:
        sys.exit("less than five times Bugsink")


if __name__ == "__main__":
    main()
