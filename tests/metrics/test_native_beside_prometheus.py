"""Prometheus' own native histograms, sent to us by remote write: both must answer the same to the letter."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import peer, wait_until

CLIENT = httpx.Client(timeout=30)
"""One for all questions: making a client takes longer than most of them."""
H = "prometheus_http_request_duration_seconds"
QUERIES = (
    H,
    f"{H}[10s]",
    f"sum({H})",
    f"sum by (handler) (rate({H}[5s]))",
    f"increase({H}[6s])",
    f"histogram_quantile(0.9, sum(rate({H}[8s])))",
    f"histogram_quantile(0.5, {H})",
    f"histogram_count({H})",
    f"histogram_sum(rate({H}[5s]))",
    f"histogram_avg({H})",
    f"histogram_fraction(0, 0.001, {H})",
    f"histogram_stddev({H})",
    f"irate({H}[5s])",
    f"{H} * 2",
    f"-{H}",
    f"{H} - {H} offset 3s",
    f"avg_over_time({H}[5s])",
    f"resets({H}[10s])",
    f"count_over_time({H}[5s])",
    f"max({H})",
    f"{H}_count",
)


@pytest.fixture(params=["prometheus.WriteRequest", "io.prometheus.write.v2.Request"], ids=["rw1", "rw2"])
def both(
    request: pytest.FixtureRequest, process: Callable[..., Any], tmp_path: Path
) -> Iterator[tuple[str, str]]:
    """Prometheus that scrapes itself and sends everything on, and mamimon: their addresses."""
    ours = process(env={"MAMIMON_METRICS__SCRAPE_SELF": "false"})
    config = tmp_path / "peer.yml"
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, scrape_native_histograms: true}\n"
        "scrape_configs: [{job_name: p, static_configs: [{targets: ['127.0.0.1:PORT']}]}]\n"
    )
    command = [peer("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'peer'}"]
    popen = subprocess.Popen(
        [*command, "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert popen.stderr is not None
        found = (re.search(r"Listening on.* address=127\.0\.0\.1:(\d+)", line) for line in popen.stderr)
        port = next(one.group(1) for one in found if one)
        threading.Thread(target=popen.stderr.read, daemon=True).start()
        theirs = f"http://127.0.0.1:{port}"
        config.write_text(
            config.read_text().replace("PORT", port) + f"remote_write:\n  - url: '{ours.url}/api/v1/write'\n"
            f"    protobuf_message: {request.param}\n    send_native_histograms: true\n"
            "    queue_config: {batch_send_deadline: 200ms}\n"
        )
        wait_until(lambda: _ok(f"{theirs}/-/ready"), what="the peer ready")
        assert CLIENT.post(f"{theirs}/-/reload").status_code == 200
        yield theirs, ours.url
    finally:
        popen.terminate()
        popen.wait(20)


def _ok(url: str) -> bool:
    try:
        return CLIENT.get(url).status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, query: str, **more: Any) -> Any:
    """What a query gives, series in one order."""
    path = "query_range" if "step" in more else "query"
    answer = CLIENT.get(f"{url}/api/v1/{path}", params={"query": query, **more}).json()
    assert answer["status"] == "success", answer
    return sorted(answer["data"]["result"], key=lambda one: sorted(one["metric"].items()))


def close(left: Any, right: Any) -> bool:
    """Equal but for the last digits of numbers."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(close, left, right))
    if left == right:
        return True
    try:
        return bool(float(left) == pytest.approx(float(right), rel=1e-9))
    except (TypeError, ValueError):
        return False


@pytest.mark.feature("M2")
@pytest.mark.feature("M3")
@pytest.mark.peer("prometheus")
def test_native_histograms_are_answered_as_prometheus_answers(both: tuple[str, str]) -> None:
    """The same samples, twenty questions, instant and over a range: no bucket, bound or sum differs."""
    theirs, ours = both

    def enough() -> bool:
        for path in ("/-/healthy", "/api/v1/query?query=up", "/metrics"):
            CLIENT.get(f"{theirs}{path}")
        found = ask(ours, f'{H}{{handler="/-/healthy"}}[1m]')
        return bool(found) and len(found[0]["histograms"]) >= 12

    wait_until(enough, timeout_s=60, what="a dozen native histograms")
    # A step back, so that everything up to then has been sent.
    at = int(time.time()) - 3
    wrong = []
    for query in QUERIES:
        left, right = ask(theirs, query, time=at), ask(ours, query, time=at)
        if not close(left, right):
            wrong.append((query, "instant", left[:1], right[:1]))
        if query.endswith("]"):
            continue
        span = {"start": at - 6, "end": at, "step": 2}
        left, right = ask(theirs, query, **span), ask(ours, query, **span)
        if not close(left, right):
            wrong.append((query, "range", left[:1], right[:1]))
    assert wrong == []
