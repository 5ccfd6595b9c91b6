"""The two that are compared: a real Prometheus 3 and mamimon, given the same remote writes."""

from __future__ import annotations

import socket
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import cramjam
import httpx

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server
from tests.conformance.differential.generator import Query
from tests.conformance.differential.moving import END, Native, World
from tests.conftest import Running, peer, wait_until
from tests.metrics.messages import messages

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


_SHAPES: dict[str, list[tuple[str, int, str, bool]]] = {
    "Label": [("name", 1, "string", False), ("value", 2, "string", False)],
    "Sample": [("value", 1, "double", False), ("timestamp", 2, "int64", False)],
    "Span": [("offset", 1, "sint32", False), ("length", 2, "uint32", False)],
    "Histogram": [
        ("count", 1, "uint64", False),
        ("sum", 3, "double", False),
        ("schema", 4, "sint32", False),
        ("zero_threshold", 5, "double", False),
        ("zero_count", 6, "uint64", False),
        ("positive_spans", 11, "Span", True),
        ("positive_deltas", 12, "sint64", True),
        ("timestamp", 15, "int64", False),
        ("custom_values", 16, "double", True),
    ],
    "TimeSeries": [
        ("labels", 1, "Label", True),
        ("samples", 2, "Sample", True),
        ("histograms", 4, "Histogram", True),
    ],
    "WriteRequest": [("timeseries", 1, "TimeSeries", True)],
}
_MESSAGES = messages(_SHAPES)


def write_request(batch: list[tuple[dict[str, str], list[tuple[int, Any]]]]) -> bytes:
    """A remote write 1.0 of floats and native histograms."""
    out = _MESSAGES["WriteRequest"]()
    for labels, samples in batch:
        one = out.timeseries.add()
        for name, value in sorted(labels.items()):
            one.labels.add(name=name, value=value)
        for at, value in samples:
            if isinstance(value, Native):
                _add(one.histograms.add(timestamp=at), value)
            else:
                one.samples.add(timestamp=at, value=value)
    return bytes(out.SerializeToString())


def _add(message: Any, native: Native) -> None:
    message.count, message.sum = sum(native.counts) + native.zero, native.sum
    message.schema = -53 if native.bounds else 1
    message.custom_values.extend(native.bounds)
    if not native.bounds:
        message.zero_threshold, message.zero_count = 0.001, native.zero
    message.positive_spans.add(offset=0, length=len(native.counts))
    message.positive_deltas.extend(b - a for a, b in pairwise([0, *native.counts]))


def push(client: httpx.Client, world: World) -> None:
    """Send every sample, in the order of time."""
    for batch in world.batches():
        for at in range(0, len(batch), 500):
            raw = bytes(cramjam.snappy.compress_raw(write_request(batch[at : at + 500])))
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
