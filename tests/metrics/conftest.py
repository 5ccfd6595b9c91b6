"""Real targets: a prometheus_client application and a server whose body a test chooses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from mamimon.clock import ManualClock
from tests.conftest import wait_until


class App:
    """An instrumented application with its own `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests.", ["method", "status"], registry=self.registry)
        self.latency = Histogram(
            "http_request_duration_seconds", "Time to answer.", registry=self.registry, buckets=(0.1, 0.5, 1)
        )
        self._server, self._thread = start_http_server(0, addr="127.0.0.1", registry=self.registry)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Close the port; scrapes fail from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Body:
    """A target that answers what `text` holds."""

    def __init__(self) -> None:
        self.text = "a 1\n"
        self.raw: bytes | None = None
        self.content_type = "text/plain; version=0.0.4"
        self.status = 200
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.headers.append(dict(self.headers))
                raw = outer.text.encode() if outer.raw is None else outer.raw
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def openmetrics(self, text: str) -> None:
        """Answer OpenMetrics from now on."""
        self.text, self.content_type = text, CONTENT_TYPE_LATEST

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def app() -> Iterator[App]:
    """An instrumented application."""
    one = App()
    yield one
    one.stop()


@pytest.fixture
def body() -> Iterator[Body]:
    """A target whose answer the test writes."""
    one = Body()
    yield one
    one.stop()


@pytest.fixture
def yml(tmp_path: Path) -> Callable[..., str]:
    """Write a prometheus.yml of one job `app` and answer its path."""

    def write(*addresses: str, extra: str = "") -> str:
        path = tmp_path / "prometheus.yml"
        targets = ", ".join(f'"{address}"' for address in addresses)
        path.write_text(
            "global:\n  scrape_interval: 15s\n  scrape_timeout: 5s\n"
            "scrape_configs:\n  - job_name: app\n"
            f"    static_configs:\n      - targets: [{targets}]\n{extra}"
        )
        return str(path)

    return write


class Scraped:
    """A running server and its clock: scrapes happen when `tick` says so, questions go by HTTP."""

    def __init__(self, server: Any, clock: ManualClock) -> None:
        self.server = server
        self.clock = clock

    def target(self, job: str = "app") -> dict[str, Any]:
        """The job's target as the API shows it."""
        active = self.server.client.get("/api/v1/targets").json()["data"]["activeTargets"]
        return next((one for one in active if one["labels"]["job"] == job), {})

    def tick(self, seconds: float = 15.0) -> dict[str, Any]:
        """Let one scrape interval pass and wait for the scrape; answers the target."""
        wait_until(self.target, what="discovery of the target")
        before = self.target()["lastScrape"]
        wait_until(self._resting, what="the scrape loops at rest")
        self.clock.advance(seconds)
        return dict(
            wait_until(
                lambda: (found := self.target())["lastScrape"] != before and found, what="the next scrape"
            )
        )

    def _resting(self) -> bool:
        """Whether every target waits for its next scrape."""
        room = next(room for room in self.server.server.house.rooms if room.name == "metrics")
        return all((one.status.next_at or 0) > self.clock.now() for one in room.scraper.targets)

    def query(self, text: str, **more: Any) -> list[dict[str, Any]]:
        """An instant query's result."""
        answer = self.server.client.get("/api/v1/query", params={"query": text, **more}).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def value(self, text: str) -> float:
        """The value of a query with one result."""
        found = self.query(text)
        assert len(found) == 1, found
        return float(found[0]["value"][1])


@pytest.fixture
def scraped(start: Callable[..., Any], clock: ManualClock, yml: Callable[..., str]) -> Callable[..., Scraped]:
    """Start a server that scrapes the given addresses: `scraped(app.address)`."""

    def run(*addresses: str, extra: str = "", **sections: dict[str, Any]) -> Scraped:
        metrics = {"prometheus_config": yml(*addresses, extra=extra), **sections.pop("metrics", {})}
        return Scraped(start(metrics=metrics, **sections), clock)

    return run
