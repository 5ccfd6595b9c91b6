"""`mamimon demo`: everything shows real data soon, the crashed service comes back, and all of it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import slowness, wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The demo on a free port."""
    folder = tmp_path_factory.mktemp("demo")
    log = folder / "demo.log"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
    with log.open("wb") as out:
        one = subprocess.Popen(
            [sys.executable, "-m", "mamimon", "demo", "--port", "0", "--service-port", "0"],
            cwd=folder,
            env=clean,
            stdout=out,
            stderr=out,
        )
    wait_until(lambda: "Sample service" in log.read_text(), 60, "the demo")
    yield one, log
    if one.poll() is None:
        one.kill()
        one.wait(10)


def _urls(log: Path) -> tuple[str, str]:
    pages, service = re.findall(r"(?:Pages|Sample service)\s+(http://\S+)", log.read_text())
    return pages, service


@pytest.mark.feature("O5")
def test_every_signal_has_data_within_15_seconds(demo: tuple[subprocess.Popen[bytes], Path]) -> None:
    """Logs, rates, an error, events, a firing alert and a check, all of the real service."""
    began = time.monotonic()
    pages, _ = _urls(demo[1])

    def everything() -> bool:
        with httpx.Client(base_url=pages, timeout=5) as client:
            return bool(
                client.get("/es/logs-chat-service-*/_count").json().get("count", 0) > 20
                and client.get(
                    "/api/v1/query", params={"query": 'rate(http_requests_total{job="chat-service"}[1m]) > 0'}
                ).json()["data"]["result"]
                and any(
                    "KeyError" in one["title"]
                    for one in client.get("/api/mamimon/errors/issues").json()["issues"]
                )
                and client.get("/api/mamimon/events/summary").json()["count"] > 5
                and any(
                    one["labels"]["alertname"] == "ChatErrors" and one["state"] == "firing"
                    for one in client.get("/api/v1/alerts").json()["data"]["alerts"]
                )
            )

    wait_until(everything, 90, "data of every signal")
    assert time.monotonic() - began < 15 * 2 * slowness()


@pytest.mark.feature("O5")
def test_the_service_comes_back_after_its_crash(demo: tuple[subprocess.Popen[bytes], Path]) -> None:
    """The planted crash kills the service's process; it answers again, and the crash is in the logs."""
    pages, service = _urls(demo[1])
    wait_until(lambda: _answers(service), 60, "the service")
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{service}/api/crash", timeout=5)

    wait_until(lambda: _answers(service), 60, "the service after its crash")
    search = {"q": 'message:"exited with signal"'}
    found = wait_until(
        lambda: httpx.get(f"{pages}/es/logs-chat-service-*/_search", params=search).json()["hits"]["hits"],
        10,
        "the crash in the logs",
    )
    assert found[0]["_source"]["level"] == "CRITICAL"


@pytest.mark.feature("O5")
def test_it_ends_with_everything_it_started(demo: tuple[subprocess.Popen[bytes], Path]) -> None:
    """SIGTERM: exit code 0, no server, no service left."""
    urls = _urls(demo[1])
    demo[0].send_signal(signal.SIGTERM)

    assert demo[0].wait(20) == 0
    assert not any(_answers(url) for url in urls)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/", timeout=2).status_code < 500
    except httpx.TransportError:
        return False
