"""Targets that say too much or nonsense: refused with their reason, and no other target is disturbed."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import wait_until

MIB = 1 << 20


def million() -> bytes:
    """A million series in 18 MB."""
    return b"".join(b'a{n="%d"} 1\n' % n for n in range(1_000_000))


def huge() -> bytes:
    """60 MB of one series."""
    return b"a_metric_with_a_long_name_that_goes_on_and_on 1\n" * (60 * MIB // 48)


def large() -> bytes:
    """49 MB, 150,000 series with long labels: within every limit."""
    pad = b"x" * 290
    return b"".join(b'a{n="%06d",pad="%s"} 1\n' % (n, pad) for n in range(150_000))


def bomb() -> bytes:
    """A gzip of 200 kB that unpacks to 200 MB."""
    return gzip.compress(b"a 1\n" * (50 * MIB), 9)


def label_bomb() -> bytes:
    """One series with 50,000 labels."""
    return b"a{" + b",".join(b'l%d="v"' % n for n in range(50_000)) + b"} 1\n"


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a million series": (million, "", "max_series_per_target"),
    "60 MB": (huge, "", "body size limit exceeded"),
    "a gzip bomb": (bomb, "gzip", "body size limit exceeded"),
    "50,000 labels": (label_bomb, "", "label_limit exceeded"),
    "a value of 2 MB": (lambda: b'a{x="' + b"y" * 2 * MIB + b'"} 1\n', "", "label_value_length_limit"),
    "half a quote": (lambda: b'a{x="' + b"y" * 2 * MIB, "", "labels are not closed"),
    "NaN as a timestamp": (lambda: b"a 1 NaN\n", "", "line 1"),
    "a timestamp of 40 digits": (lambda: b"a 1 " + b"9" * 40 + b"\n", "", "in the future"),
    "a timestamp of next year": (lambda: b"a 1 %d\n" % ((time.time() + 3e7) * 1000), "", "in the future"),
    "a timestamp of 1970": (lambda: b"a 1 12345\n", "", "older than the retention"),
    "no text at all": (lambda: bytes(range(256)) * 4000, "", "UTF-8"),
    "two million blank lines": (lambda: b"\n" * 2_000_000, "", "max_series_per_target"),
}


class Hostile:
    """Targets by path: `/<case number>`, and `/good`; `/hang` never answers."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[bytes, str]] = {"/good": (b"good 1\n", "")}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/hang":
                    outer.hanging.wait(60)
                    return
                body, encoding = outer.bodies[self.path]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                if encoding:
                    self.send_header("Content-Encoding", encoding)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, *_: Any) -> None:
                return

        self.hanging = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.hanging.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    one = Hostile()
    yield one
    one.stop()


def jobs(hostile: Hostile, paths: dict[str, str], interval: str) -> str:
    """A prometheus.yml with a job a path."""
    shown = [f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs:"]
    shown += [
        f"  - {{job_name: '{name}', metrics_path: {path},"
        f" static_configs: [{{targets: ['{hostile.address}']}}]}}"
        for name, path in paths.items()
    ]
    return "\n".join(shown) + "\n"


def targets(url: str) -> dict[str, dict[str, Any]]:
    """Job → target, of those that were scraped."""
    active = httpx.get(f"{url}/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
    return {one["labels"]["job"]: one for one in active if one["health"] != "unknown"}


def value(url: str, query: str) -> float:
    """One number, 0 without a result."""
    found = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=30).json()["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


@pytest.mark.feature("M1")
def test_hostile_targets_are_refused_and_disturb_nobody(
    process: Callable[..., Any], hostile: Hostile, tmp_path: Path
) -> None:
    """A dozen hostile targets and one that hangs: each is DOWN with its reason, the good one never misses."""
    paths = {"good": "/good", "hang": "/hang"}
    for number, (name, (make, encoding, _)) in enumerate(CASES.items()):
        hostile.bodies[f"/{number}"] = (make(), encoding)
        paths[name] = f"/{number}"
    config = tmp_path / "prometheus.yml"
    config.write_text(jobs(hostile, paths, "5s"))
    one = process("--prometheus-config", str(config))
    found = wait_until(
        lambda: len(got := targets(one.url)) == len(paths) + 1 and got,
        timeout_s=60,
        what="every target scraped",
    )
    wait_until(
        lambda: value(one.url, "count_over_time(good[5m])") >= 3, timeout_s=60, what="three good scrapes"
    )
    found = targets(one.url)
    # A sample that is refused for its time does not take the target down with it, as in Prometheus, whose
    # API has no reason then; the page has.
    rows = httpx.get(f"{one.url}/targets", timeout=30).text.split("<tr")
    timed = [name for name in CASES if name.startswith("a timestamp")]
    said = {name: found[name]["lastError"] for name in CASES} | {
        name: next(row for row in rows if f"{found[name]['scrapeUrl']}<" in row) for name in timed
    }
    assert {name: said[name] for name, (_, _, why) in CASES.items() if why not in said[name]} == {}
    assert "deadline exceeded" in found["hang"]["lastError"]
    assert found["good"]["health"] == "up"
    assert value(one.url, "min_over_time(up{job='good'}[5m])") == 1
    assert value(one.url, "max(scrape_series_added{job='good'})") <= 1
    assert psutil.Process(one.popen.pid).memory_info().rss < 1000 * MIB
    assert [found[name]["health"] for name in timed] == ["up"] * len(timed)


@pytest.mark.feature("M1")
def test_a_large_but_lawful_exposition_is_taken(
    process: Callable[..., Any], hostile: Hostile, tmp_path: Path
) -> None:
    """49 MB with 150,000 series are stored, while questions are answered all the time."""
    hostile.bodies["/large"] = (large(), "")
    config = tmp_path / "prometheus.yml"
    config.write_text(jobs(hostile, {"large": "/large", "good": "/good"}, "20s"))
    one = process("--prometheus-config", str(config))
    slowest = 0.0
    deadline = time.monotonic() + 90
    while targets(one.url).get("large", {}).get("health") != "up":
        began = time.monotonic()
        value(one.url, "good")
        slowest = max(slowest, time.monotonic() - began)
        assert time.monotonic() < deadline, targets(one.url).get("large")
        time.sleep(0.1)
    assert value(one.url, "count(a)") == 150_000
    assert slowest < 15
