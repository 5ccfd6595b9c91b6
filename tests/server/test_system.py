"""Liveness, readiness, own metrics and the protections in front of every request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_health_and_readiness(server: Any) -> None:
    """A started server is alive and ready."""
    assert server.client.get("/healthz").json()["status"] == "pass"
    assert server.client.get("/readyz").json()["status"] == "pass"


@pytest.mark.feature("H3")
def test_the_form_is_the_health_check_drafts(server: Any) -> None:
    """`application/health+json` with what was observed, by component and measurement; 503 says why."""
    answer = server.client.get("/readyz")
    assert answer.headers["content-type"].startswith("application/health+json")
    checks = answer.json()["checks"]
    assert set(checks) == {"state:responseTime", "disk:free", "uptime"}
    disk = checks["disk:free"][0]
    assert (disk["componentType"], disk["observedUnit"], disk["status"]) == ("system", "bytes", "pass")
    assert disk["observedValue"] > 0
    assert disk["time"].endswith("Z")
    server.server.house.core.writable = lambda: False
    full = server.client.get("/readyz")
    assert full.status_code == 503
    assert (full.json()["status"], full.json()["output"]) == ("fail", "the disk is full: read-only")
    assert full.json()["checks"]["disk:free"][0]["status"] == "fail"
    assert server.client.get("/healthz").json()["status"] == "pass"


@pytest.mark.feature("M5")
def test_own_metrics_have_the_six_of_the_mission(server: Any) -> None:
    """mamimon's own exposition has the mission's six metrics."""
    server.client.get("/healthz")
    text = server.client.get("/metrics").text
    for name in (
        'http_requests_total{method="GET",path="/healthz",status="200"} 1.0',
        "http_request_duration_seconds_bucket",
        "# TYPE http_requests_errors_total counter",
        "system_cpu_usage_percent",
        "system_memory_usage_percent",
        "system_disk_usage_percent",
    ):
        assert name in text


def test_unknown_paths_are_not_found(server: Any) -> None:
    """No catch-all answers 200: JSON for programs, a page for browsers."""
    assert server.client.get("/no/such").json() == {"error": "Not Found", "status": 404}
    page = server.client.get("/no/such", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<h1>Not found" in page.text


@pytest.mark.feature("S3")
def test_foreign_hosts_and_cross_site_posts_are_refused(server: Any) -> None:
    """A rebound host name and a cross-site POST are turned away with 403."""
    assert server.client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
    cross = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert server.client.post("/healthz", headers=cross).status_code == 403


def test_graceful_stop_and_ready_line(process: Callable[..., Any]) -> None:
    """SIGTERM stops the process with exit code 0."""
    one = process()
    assert one.terminate() == 0


@pytest.mark.feature("O1")
def test_configuration_error_exits_2_with_the_place(tmp_path: Path) -> None:
    """An unknown setting stops the start with file, line and a suggestion."""
    (tmp_path / "mamimon.toml").write_text("[server]\nport = 0\n\n[logs]\nretention_day = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "mamimon", "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "mamimon.toml:5: unknown setting logs.retention_day; did you mean retention_days?" in done.stderr


def test_a_second_server_on_the_same_data_is_refused(server: Any, start: Callable[..., Any]) -> None:
    """One server a data directory."""
    with pytest.raises(Exception, match="in use by another mamimon"):
        start()


@pytest.mark.feature("S3")
def test_a_client_that_never_finishes_its_body_is_let_go(start: Callable[..., Any]) -> None:
    """Past the body deadline a request is answered or dropped, and the server goes on."""
    import socket
    from urllib.parse import urlsplit

    one = start(server={"body_deadline_s": 1.0})
    place = urlsplit(one.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as slow:
        slow.sendall(b"POST /batch/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        assert b" 400 " in slow.recv(4096).split(b"\r\n")[0] + b" "
    assert one.client.get("/healthz").status_code == 200
