"""Samples sent on by remote write to a real VictoriaMetrics and a real Prometheus."""

from __future__ import annotations

import math
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest

from mamimon.clock import ManualClock
from mamimon.config import ConfigError, MetricSettings
from mamimon.metrics.scrape.config import read
from mamimon.metrics.wire.remote_read import field, labels_fields, varint
from mamimon.metrics.wire.remote_write import V1
from mamimon.metrics.wire.remote_write import read as read_pushed
from tests.conftest import Process, Running, peer, wait_until
from tests.forward.test_servers import advancing
from tests.health.conftest import Web, free_port, listening, web

__all__ = ["web"]

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("F2")


class Peer:
    """A real receiver of remote write: `start`, `stop`, `query`."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._command = [part.replace("PORT", str(self.port)) for part in command]
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._popen = subprocess.Popen(
            self._command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: listening(self.port), 60, self._command[0])

    def stop(self) -> None:
        """End it as it likes: VictoriaMetrics keeps what it acknowledged in memory for seconds."""
        if self._popen is not None:
            self._popen.terminate()
            self._popen.wait(20)
            self._popen = None

    def query(self, expr: str, at: float) -> dict[str, float]:
        """Values by the label `n`; empty while it does not answer."""
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.port}/api/v1/query", params={"query": expr, "time": at}, timeout=10
            )
        except httpx.TransportError:
            return {}
        if answer.status_code != 200:
            return {}
        return {row["metric"].get("n", ""): float(row["value"][1]) for row in answer.json()["data"]["result"]}


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Peer]:
    """A VictoriaMetrics that is not started yet."""
    options = ["-storageDataPath=data", "-httpListenAddr=127.0.0.1:PORT", "-search.latencyOffset=0s"]
    one = Peer(tmp_path / "victoria", peer("victoria-metrics"), *options, "-retentionPeriod=10y")
    yield one
    one.stop()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Peer]:
    """A Prometheus with its receiver on, not started yet."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "p.yml").write_text("global: {}\n")
    options = ["--config.file=p.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:PORT"]
    one = Peer(folder, peer("prometheus"), *options, "--web.enable-remote-write-receiver")
    yield one
    one.stop()


def config(folder: Path, *receivers: str) -> dict[str, Any]:
    """A prometheus.yml whose receivers wait at most two seconds between tries."""
    path = folder / "prometheus.yml"
    text = "global:\n  external_labels: {site: izmir}\nremote_write:\n"
    for one in receivers:
        text += f"  - {one}\n    queue_config: {{max_backoff: 2s, max_samples_per_send: 50}}\n"
    path.write_text(text)
    return {"prometheus_config": str(path), "scrape_self": False}


def status(server: Running, place: int = 0) -> dict[str, Any]:
    return dict(server.client.get("/api/mamimon/forward").json()["metrics"][place])


def written(server: Running, value: float, at: float) -> None:
    """Write three series by remote write, as another agent does."""
    body = b""
    for number in range(3):
        sample = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(round(at * 1000))
        labels = labels_fields({"__name__": "sold", "n": str(number), "job": "shop"})
        body += field(1, labels + field(2, sample))
    answer = server.client.post("/api/v1/write", content=bytes(cramjam.snappy.compress_raw(body)))
    assert answer.status_code == 204, answer.text


@pytest.mark.peer("victoria-metrics")
@pytest.mark.peer("prometheus")
def test_what_is_stored_reaches_both_peers_also_after_they_were_away(
    start: Start, clock: ManualClock, tmp_path: Path, victoria: Peer, prometheus: Peer
) -> None:
    """Samples from before a peer was there, and from while it was away, arrive with external labels and
    relabelled, each once and in order; a restart of ours in between loses none."""
    drop = "write_relabel_configs: [{source_labels: [n], regex: '2', action: drop}]"
    settings = config(tmp_path, f"url: {victoria.url}", f"url: {prometheus.url}\n    name: prom\n    {drop}")
    server = start(metrics=settings, health={"host_checks": False})
    times = []
    for value in (1.0, 2.0):
        written(server, value, clock.now())
        times.append(clock.now())
        clock.advance(15)
    wait_until(advancing(clock, lambda: status(server)["state"] == "away"), 60, "the peer is missed")
    wait_until(advancing(clock, lambda: status(server)["queue"]["samples"] >= 6), 60, "samples wait")
    server.stop()
    server = start(metrics=settings, health={"host_checks": False})
    assert status(server)["queue"]["samples"] >= 6
    victoria.start()
    prometheus.start()
    for place in (0, 1):
        wait_until(
            advancing(clock, lambda place=place: status(server, place)["queue"]["requests"] == 0), 90, "sent"
        )
    victoria.stop()
    written(server, 3.0, clock.now())
    times.append(clock.now())
    wait_until(advancing(clock, lambda: status(server)["state"] == "away"), 60, "away again")
    victoria.start()
    wait_until(advancing(clock, lambda: status(server)["queue"]["requests"] == 0), 90, "sent again")
    for value, at in zip((1.0, 2.0, 3.0), times, strict=True):
        wait_until(
            lambda value=value, at=at: (
                victoria.query('sold{site="izmir"}', at) == dict.fromkeys(("0", "1", "2"), value)
            ),
            60,
            f"{value} in VictoriaMetrics",
        )
        wait_until(
            lambda value=value, at=at: (
                prometheus.query('sold{site="izmir"}', at) == dict.fromkeys(("0", "1"), value)
            ),
            60,
            f"{value} in Prometheus",
        )
    text = server.client.get("/metrics").text
    assert f'mamimon_remote_write_up{{target="{victoria.url}"}} 1.0' in text
    assert 'mamimon_remote_write_dropped_total{target="prom"} 0.0' in text


class Receiver:
    """A receiver that keeps what it gets, and answers `script` first."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], float, int]] = []
        self.script: list[tuple[int, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        one = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                one.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers = one.script.pop(0) if one.script else (204, {})
                if status == 204:
                    for series in read_pushed(bytes(cramjam.snappy.decompress_raw(body)), V1, {}):
                        for at, value in series.samples:
                            assert series.labels is not None
                            assert isinstance(value, float)
                            one.got.append((series.labels, value, at))
                self.send_response(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/v1/write"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    one = Receiver()
    yield one
    one.stop()


def test_answers_of_the_receiver(start: Start, clock: ManualClock, receiver: Receiver) -> None:
    """A refused request is dropped and counted, one that is put off or not allowed is repeated; the
    request carries the headers and credentials of remote write."""
    receiver.script = [(400, {}), (429, {"Retry-After": "3"}), (401, {}), (500, {})]
    url = receiver.url.replace("http://", "http://u:wrong@")
    forward = {"remote_write_url": url, "remote_write_username": "me", "remote_write_password": "s3cret"}
    server = start(metrics={"scrape_self": False}, forward=forward, health={"host_checks": False})
    written(server, 1.0, clock.now())
    wait_until(advancing(clock, lambda: status(server)["refused"] >= 3), 60, "refused")
    written(server, 2.0, clock.now())
    wait_until(
        advancing(clock, lambda: {one[1] for one in receiver.got if one[0]["__name__"] == "sold"} == {2.0}),
        60,
        "put off and repeated",
    )
    wait_until(advancing(clock, lambda: status(server)["state"] == "up"), 60, "up")
    assert status(server)["retries"] >= 3
    sent = receiver.headers[-1]
    assert sent["content-encoding"] == "snappy"
    assert sent["x-prometheus-remote-write-version"] == "0.1.0"
    assert sent["authorization"] == "Basic bWU6czNjcmV0"
    assert "wrong" not in server.client.get("/api/mamimon/forward").text + server.client.get("/metrics").text


def test_a_full_queue_drops_the_oldest(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """Beyond forward.queue_bytes the oldest requests go, and are counted; the newest stay."""
    settings = config(tmp_path, f"url: http://127.0.0.1:{free_port()}/api/v1/write")
    server = start(metrics=settings, forward={"queue_bytes": 2000}, health={"host_checks": False})
    for value in range(60):
        written(server, float(value), clock.now())
        wait_until(advancing(clock, lambda value=value: True), 60)
    wait_until(advancing(clock, lambda: status(server)["dropped"] > 0), 60, "dropped samples")
    queue = status(server)["queue"]
    assert 0 < queue["size_bytes"] <= 2000
    assert "mamimon_remote_write_dropped_total" in server.client.get("/metrics").text


def test_ends_of_series_are_sent(
    start: Start, clock: ManualClock, tmp_path: Path, receiver: Receiver, web: Web
) -> None:
    """A series that its target has no more is ended at the receiver too."""
    settings = config(tmp_path, f"url: {receiver.url}")
    target = web.url.removeprefix("http://")
    with Path(settings["prometheus_config"]).open("a") as file:
        file.write(f"scrape_configs: [{{job_name: parts, static_configs: [{{targets: ['{target}']}}], ")
        file.write("fallback_scrape_protocol: PrometheusText0.0.4}]\n")
    web.body = b'part{n="a"} 1\npart{n="b"} 1\n'
    start(metrics=settings, health={"host_checks": False})

    def got(name: str) -> list[float]:
        rows = [one for one in receiver.got if one[0]["__name__"] == "part" and one[0]["n"] == name]
        return [value for _, value, _ in sorted(rows, key=lambda one: one[2])]

    wait_until(advancing(clock, lambda: got("b")), 60, "the first scrape")
    web.body = b'part{n="a"} 1\n'
    wait_until(advancing(clock, lambda: math.isnan(got("b")[-1])), 60, "the end of b")
    assert not any(math.isnan(value) for value in got("a"))
    assert receiver.got[-1][0]["job"] == "parts"


@pytest.mark.peer("victoria-metrics")
def test_a_kill_loses_nothing(process: Callable[..., Process], tmp_path: Path, victoria: Peer) -> None:
    """What was acknowledged before a kill -9 arrives after the next start, whether it was queued or not."""
    text = f"remote_write: [{{url: '{victoria.url}', queue_config: {{max_backoff: 1s}}}}]\n"
    (tmp_path / "prometheus.yml").write_text(text)
    arguments = ("--prometheus-config", str(tmp_path / "prometheus.yml"))
    one = process(*arguments)
    times = {}
    with httpx.Client(base_url=one.url, timeout=20) as client:
        for value in range(1, 8):
            answer = client.put("/metrics/job/shop/n/0", content=f"sold {value}\n")
            assert answer.status_code == 200
            time.sleep(0.3)
            times[value] = time.time()
    one.kill()
    victoria.start()
    two = process(*arguments)

    def waits() -> bool:
        rows = httpx.get(f"{two.url}/api/mamimon/forward", timeout=10).json()["metrics"]
        return bool(rows[0]["state"] == "up" and rows[0]["queue"]["requests"] == 0)

    wait_until(waits, 60, "everything sent")
    stored = httpx.get(
        f"{two.url}/api/v1/query", params={"query": "count_over_time(sold[5m])"}, timeout=10
    ).json()["data"]["result"]
    kept = float(stored[0]["value"][1])
    assert kept >= 1
    wait_until(
        lambda: victoria.query("count_over_time(sold[5m])", time.time()).get("0", 0) >= kept, 60, "all of it"
    )


def test_never_to_oneself(start: Start, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """An address that is this server's own door is named and left out: it would be a circle."""
    port = free_port()
    url = f"http://localhost:{port}/api/v1/write"
    server = start(server={"port": port}, forward={"remote_write_url": url}, health={"host_checks": False})
    wait_until(lambda: server.client.get("/api/mamimon/forward").json()["metrics"] == [], 60, "left out")
    assert "it is this mamimon itself" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- url: nowhere", "needs a url"),
        ("- url: http://a/w\n- url: http://a/w", "are named"),
        ("- url: http://a/w\n  headrs: {}", "headrs"),
        ("- url: http://a/w\n  write_relabel_configs: [{action: explode}]", "explode"),
    ],
)
def test_mistakes_in_the_file_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    """A remote_write that cannot be stops the start with the line."""
    path = tmp_path / "prometheus.yml"
    path.write_text("remote_write:\n" + text + "\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read(path, MetricSettings())
    assert "prometheus.yml:" in str(caught.value)
