"""100,000 active series scraped at 15 s: processor time, memory, disk; then kill -9 and how fast it is back.

    python benchmarks/metrics/scrape.py [--series 100000] [--targets 20] [--interval 15] [--scrapes 8]

The exporter is a process of its own with bodies made beforehand, so only mamimon's time is counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

VARIANTS = 6


def bodies(target: int, series: int) -> list[bytes]:
    """What a target says at one scrape after another: counters, gauges and buckets."""
    random = np.random.default_rng(target)
    names = []
    for n in range(series):
        kind = n % 10
        if kind < 5:
            names.append(
                f'http_requests_total{{path="/api/v1/items/{n // 10}",method="GET",status="20{kind}"}}'
            )
        elif kind < 8:
            names.append(f'latency_seconds_bucket{{path="/api/v1/items/{n // 10}",le="0.{kind}"}}')
        else:
            names.append(f'memory_bytes{{pool="pool-{n // 10}",kind="{kind}",zone="eu-west-{n % 3}"}}')
    gauges = np.arange(series) % 10 >= 8
    values = np.floor(random.random(series) * 1e5)
    out = []
    for _ in range(VARIANTS):
        values = values + np.where(random.random(series) < 0.5, np.floor(random.random(series) * 50), 0)
        shown = np.where(gauges, values * 4096.5, values)
        lines = [f"{name} {value:.17g}" for name, value in zip(names, shown.tolist(), strict=True)]
        out.append(("\n".join(lines) + "\n").encode())
    return out


def serve(target: int, series: int, port: Any) -> None:
    """An exporter until it is killed."""
    answers = bodies(target, series)
    turn = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = answers[min(turn[0], VARIANTS - 1)] if turn[0] < VARIANTS else answers[turn[0] % VARIANTS]
            turn[0] += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_port)
    server.serve_forever()


def start(folder: Path, config: Path) -> tuple[subprocess.Popen[str], str, float]:
    """mamimon, its address and the seconds until it was ready."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "mamimon", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    popen = subprocess.Popen(
        [*command, "--prometheus-config", str(config)], stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert popen.stderr is not None
    for line in popen.stderr:
        if "is ready on" in line:
            url = line.split("is ready on ")[1].split()[0]
            took = time.perf_counter() - began
            threading.Thread(target=popen.stderr.read, daemon=True).start()
            return popen, url, took
    raise SystemExit("mamimon did not start")


def ask(url: str, query: str) -> tuple[float, float]:
    """A query's value and its seconds."""
    began = time.perf_counter()
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=60).json()
    found = answer["data"]["result"]
    return (float(found[0]["value"][1]) if found else 0.0), time.perf_counter() - began


def measure(popen: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    """Share of one core and memory over some seconds."""
    one = psutil.Process(popen.pid)
    before, began, peak = sum(one.cpu_times()[:2]), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        peak = max(peak, one.memory_info().rss)
        time.sleep(0.25)
    used = sum(one.cpu_times()[:2]) - before
    return {
        "cpu_share_of_a_core": round(used / (time.perf_counter() - began), 4),
        "rss_peak_mb": round(peak / 1e6, 1),
    }


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure."""
    ports, exporters = [], []
    for target in range(given.targets):
        mine, theirs = multiprocessing.Pipe()
        exporter = multiprocessing.Process(
            target=serve, args=(target, given.series // given.targets, theirs), daemon=True
        )
        exporter.start()
        exporters.append(exporter)
        ports.append(mine.recv())
    config = folder / "prometheus.yml"
    shown = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    config.write_text(
        f"global: {{scrape_interval: {given.interval}s, scrape_timeout: {min(10, given.interval)}s}}\n"
        f"scrape_configs: [{{job_name: bench, static_configs: [{{targets: [{shown}]}}]}}]\n"
    )
    popen, url, ready = start(folder, config)
    out: dict[str, Any] = {"series": given.series, "targets": given.targets, "interval_s": given.interval}
    out["ready_empty_s"] = round(ready, 2)
    try:
        first = measure(popen, given.interval + 1.0)
        out["first_round"] = first
        out["steady"] = measure(popen, given.interval * given.scrapes)
        count, took = ask(url, 'count({job="bench", __name__!~"up|scrape_.*"})')
        out["series_seen"], out["count_all_s"] = count, round(took, 3)
        out["up"] = ask(url, 'sum(up{job="bench"})')[0]
        out["slowest_scrape_s"] = round(ask(url, 'max(scrape_duration_seconds{job="bench"})')[0], 3)
        popen.send_signal(signal.SIGKILL)
        popen.wait()
        out["disk_mb"] = round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, 1)
        popen, url, ready = start(folder, config)
        out["ready_again_s"] = round(ready, 2)
        out["count_again_s"] = round(ask(url, 'count({job="bench"})')[1], 3)
    finally:
        popen.kill()
        popen.wait()
        for exporter in exporters:
            os.kill(exporter.pid or 0, signal.SIGKILL)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--scrapes", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mamimon-scrape-") as folder:
        print(json.dumps(run(given, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
