"""The two that are compared: a real Prometheus 3 and mamimon, given the same remote writes."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import cramjam
import httpx

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server
from tests.conformance.differential.generator import Query
from tests.conformance.differential.moving import END, World
from tests.conftest import Running, peer, wait_until
from tests.metrics.test_remote_write import request

FEATURES = ("promql-experimental-functions", "promql-extended-range-selectors", "promql-binop-fill-modifiers")
DELAYED = "promql-delayed-name-removal"
"""What mamimon always does and Prometheus 3 does where it is told to."""


class Prometheus:
    """A Prometheus that scrapes nothing and takes remote writes."""

    def __init__(self, folder: Path, *features: str) -> None:
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = folder / "prometheus.yml"
        config.write_text("global: {}\n")
        self.popen = subprocess.Popen(
            [
                peer("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--storage.tsdb.retention.time=100y",
                "--web.enable-remote-write-receiver",
                f"--web.listen-address=127.0.0.1:{self.port}",
                f"--enable-feature={','.join((*FEATURES, *features))}",
            ],
            stderr=subprocess.DEVNULL,
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        wait_until(self._ready, timeout_s=60, what="Prometheus")

    def _ready(self) -> bool:
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.popen.terminate()
        self.popen.wait(20)


def mamimon(folder: Path) -> Running:
    """A server of ours, half an hour after the last sample: the first windows are sealed."""
    settings = Settings()
    settings.server.port = 0
    settings.metrics.scrape_self = False
    settings.alerts.builtin_rules = False
    return Running(Server(settings, folder / "data", ManualClock(END / 1000 + 1800)))


def push(client: httpx.Client, world: World) -> None:
    """Send every sample, in the order of time."""
    for batch in world.batches():
        for at in range(0, len(batch), 500):
            raw = bytes(cramjam.snappy.compress_raw(request(*batch[at : at + 500]).SerializeToString()))
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
            answer = client.post("/api/v1/write", content=raw, headers=headers)
            assert answer.status_code in (200, 204), answer.text


def ask(client: httpx.Client, query: Query) -> dict[str, Any]:
    """The answer of one side, with its status."""
    if query.step:
        form = {"query": query.expr, "start": query.start, "end": query.end, "step": query.step}
        answer = client.post("/api/v1/query_range", data=form)
    else:
        answer = client.post("/api/v1/query", data={"query": query.expr, "time": query.start})
    found: dict[str, Any] = answer.json()
    return {**found, "code": answer.status_code}
