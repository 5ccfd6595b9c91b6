"""Real senders of remote write, through a kill of mamimon in the middle: nothing is lost."""

from __future__ import annotations

import http.server
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import peer, wait_until


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Counting:
    """A target whose counter is the number of its scrapes; with an exemplar each in OpenMetrics."""

    def __init__(self) -> None:
        self.scrapes = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.scrapes += 1
                if "openmetrics" in self.headers.get("Accept", ""):
                    kind, name, end = "application/openmetrics-text; version=1.0.0", "scrapes", "# EOF\n"
                    example = f' # {{trace_id="t{outer.scrapes}"}} 0.5 {time.time():.3f}'
                else:
                    kind, name, end, example = "text/plain; version=0.0.4", "scrapes_total", "", ""
                text = f"# TYPE {name} counter\nscrapes_total {outer.scrapes}{example}\n{end}"
                raw = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def target() -> Iterator[Counting]:
    """The counting target."""
    one = Counting()
    yield one
    one.stop()


def values(url: str) -> list[int]:
    """The counter's values as mamimon has them, in order of time."""
    params = {"query": "scrapes_total[10m]", "time": f"{time.time()}"}
    found = httpx.get(f"{url}/api/v1/query", params=params).json()["data"]["result"]
    return [int(value) for _, value in found[0]["values"]] if found else []


def through_a_kill(process: Callable[..., Any], sender: Callable[[str], Any], target: Counting) -> str:
    """Receive, be killed while the sender goes on, come back on the same port; answers the address."""
    port = str(free_port())
    one = process("--port", port)
    program = sender(one.url)
    try:
        wait_until(lambda: len(values(one.url)) >= 4, timeout_s=60, what="four samples")
        one.kill()
        missed = target.scrapes
        wait_until(lambda: target.scrapes >= missed + 3, timeout_s=60, what="three scrapes unheard")
        again = process("--port", port)
        assert again.url == one.url
        wanted = target.scrapes + 2
        wait_until(
            lambda: (found := values(again.url)) and found[-1] >= wanted, timeout_s=60, what="what was missed"
        )
        found = values(again.url)
        assert found == list(range(found[0], found[-1] + 1))
        return str(again.url)
    finally:
        program.terminate()
        program.wait(20)


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M2")
def test_prometheus_in_agent_mode(process: Callable[..., Any], target: Counting, tmp_path: Path) -> None:
    """An agent loses nothing over a kill of ours; exemplars and its own native histograms arrive."""
    port = free_port()

    def start(url: str) -> subprocess.Popen[bytes]:
        file = tmp_path / "agent.yml"
        file.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
            f"  - {{job_name: app, static_configs: [{{targets: ['{target.address}']}}]}}\n"
            "  - {job_name: agent, scrape_native_histograms: true,"
            f" static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
            f"remote_write:\n  - url: '{url}/api/v1/write'\n    send_exemplars: true\n"
            "    send_native_histograms: true\n    protobuf_message: io.prometheus.write.v2.Request\n"
            "    queue_config: {batch_send_deadline: 500ms, max_backoff: 1s}\n"
        )
        return subprocess.Popen(
            [
                peer("prometheus"),
                "--agent",
                f"--config.file={file}",
                f"--storage.agent.path={tmp_path / 'agent'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage,metadata-wal-records",
            ],
            stderr=(tmp_path / "agent.log").open("wb"),
        )

    url = through_a_kill(process, start, target)
    params: dict[str, Any] = {"query": "scrapes_total", "start": time.time() - 600, "end": time.time()}
    (found,) = httpx.get(f"{url}/api/v1/query_exemplars", params=params).json()["data"]
    traces = [int(one["labels"]["trace_id"][1:]) for one in found["exemplars"]]
    kept = values(url)
    assert set(kept[:-1]) <= set(traces)
    query = 'histogram_count(prometheus_remote_storage_sent_batch_duration_seconds{job="agent"})'
    asked = {"query": query, "time": f"{time.time()}"}
    native = httpx.get(f"{url}/api/v1/query", params=asked).json()["data"]["result"]
    assert native
    assert float(native[0]["value"][1]) > 0


@pytest.mark.peer("vmagent")
@pytest.mark.feature("M2")
def test_vmagent(process: Callable[..., Any], target: Counting, tmp_path: Path) -> None:
    """vmagent falls back from its own protocol to remote write, and loses nothing over a kill of ours."""

    def start(url: str) -> subprocess.Popen[bytes]:
        file = tmp_path / "vmagent.yml"
        file.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
            f"  - {{job_name: app, static_configs: [{{targets: ['{target.address}']}}]}}\n"
        )
        return subprocess.Popen(
            [
                peer("vmagent"),
                f"-promscrape.config={file}",
                f"-remoteWrite.url={url}/api/v1/write",
                f"-remoteWrite.tmpDataPath={tmp_path / 'vmagent'}",
                f"-httpListenAddr=127.0.0.1:{free_port()}",
                "-remoteWrite.retryMinInterval=500ms",
                "-remoteWrite.retryMaxTime=2s",
            ],
            stderr=(tmp_path / "vmagent.log").open("wb"),
        )

    through_a_kill(process, start, target)
