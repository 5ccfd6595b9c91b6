"""A real Prometheus beside us: it sends by remote write and must answer what we answer; promtool asks us."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import peer, wait_until
from tests.metrics.conftest import App

QUERIES = (
    'http_requests_total{job="app"}',
    'rate(http_requests_total{job="app"}[10s])',
    'sum by (job) (rate(http_request_duration_seconds_bucket{job="app"}[5s]))',
    'histogram_quantile(0.9, rate(http_request_duration_seconds_bucket{job="app"}[5s]))',
    'max_over_time(http_requests_total{job="app"}[4s])',
    'count_over_time(up{job="app"}[3s])',
    'topk(1, http_requests_total{job="app"} offset 2s)',
    'irate(http_requests_total{job="app"}[3s]) > 1',
)


class Peer:
    """Prometheus scraping `target` each second and sending it on to `url`."""

    def __init__(self, folder: Path, target: str, url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        file = folder / "peer.yml"
        file.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"scrape_configs:\n  - {{job_name: app, static_configs: [{{targets: ['{target}']}}]}}\n"
            f"remote_write:\n  - url: '{url}/api/v1/write'\n"
            "    queue_config: {batch_send_deadline: 500ms}\n"
        )
        self.popen = subprocess.Popen(
            [
                peer("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'peer'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stderr=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def peers(process: Callable[..., Any], app: App, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Prometheus and mamimon with the same ten seconds of samples: their addresses."""
    one = process()
    sender = Peer(tmp_path, app.address, one.url)
    try:

        def count() -> int:
            app.requests.labels("GET", "200").inc(3)
            app.requests.labels("GET", "500").inc()
            app.latency.observe(0.2)
            params = {"query": 'http_requests_total{job="app",status="200"}[1m]'}
            found = httpx.get(f"{one.url}/api/v1/query", params=params).json()["data"]["result"]
            return len(found[0]["values"]) if found else 0

        wait_until(lambda: count() >= 10, timeout_s=60, what="ten pushed samples")
        yield sender.url, one.url
    finally:
        sender.popen.terminate()
        sender.popen.wait(20)


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M2")
@pytest.mark.feature("M4")
def test_what_prometheus_sends_is_answered_as_it_answers(peers: tuple[str, str]) -> None:
    """Prometheus' own remote write arrives whole: each query gives its values, within 1e-9."""
    theirs, ours = peers
    end = time.time() - 3
    for query in QUERIES:
        params = {"query": query, "start": end - 6, "end": end, "step": 1}

        def ask(url: str, params: dict[str, Any] = params) -> dict[str, list[list[Any]]]:
            answer = httpx.post(f"{url}/api/v1/query_range", data=params).json()["data"]["result"]
            return {json.dumps(one["metric"], sort_keys=True): one["values"] for one in answer}

        expected, found = ask(theirs), ask(ours)
        assert expected, query
        assert found.keys() == expected.keys(), query
        for series, points in expected.items():
            assert [at for at, _ in found[series]] == [at for at, _ in points], query
            values = [float(value) for _, value in points]
            assert [float(value) for _, value in found[series]] == pytest.approx(values, rel=1e-9), query


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M4")
def test_promtool_asks_us_as_it_asks_prometheus(peers: tuple[str, str]) -> None:
    """promtool's queries about series, labels and values get the same answers from both."""
    outputs = []
    for url in peers:
        for arguments in (
            ["query", "series", url, '--match={job="app",__name__="http_requests_total"}'],
            ["query", "labels", url, "status"],
            ["query", "range", url, "vector(1)", "--start=100", "--end=110", "--step=5s"],
            ["query", "instant", url, "1 + 1", "--time=100"],
        ):
            done = subprocess.run([peer("promtool"), *arguments], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
    half = len(outputs) // 2
    # Our own metrics have label values that Prometheus' have not, so only these are compared whole.
    assert outputs[half] == outputs[0]
    assert {"200", "500"} <= set(outputs[half + 1].split())
    assert outputs[half + 2 :] == outputs[2:half]
