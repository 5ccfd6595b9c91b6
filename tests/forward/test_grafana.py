"""Grafana's provisioning files and its API: structure, queries, and what is written where."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from mamimon.forward.grafana_dashboards import dashboards, queries
from mamimon.metrics.promql import parse


def provision(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mamimon", "grafana", "provision", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.feature("F4")
@pytest.mark.feature("D4")
def test_files_are_what_grafana_reads(tmp_path: Path) -> None:
    """Three data sources with the uids that the dashboards name, a provider, and the four dashboards."""
    done = provision(tmp_path, "--output", "out", "--server", "http://mon.example:7007")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    sources = yaml.safe_load((tmp_path / "out/datasources/mamimon.yaml").read_text())
    assert sources["apiVersion"] == 1
    by_type = {source["type"]: source for source in sources["datasources"]}
    assert by_type["prometheus"]["url"] == "http://mon.example:7007"
    assert by_type["elasticsearch"]["url"] == "http://mon.example:7007/es"
    assert by_type["alertmanager"]["url"] == "http://mon.example:7007/alertmanager"
    assert by_type["elasticsearch"]["jsonData"]["timeField"] == "@timestamp"
    provider = yaml.safe_load((tmp_path / "out/dashboards/mamimon.yaml").read_text())["providers"][0]
    files = sorted(Path(provider["options"]["path"]).glob("*.json"))
    loaded = [json.loads(file.read_text()) for file in files]
    assert [one["title"] for one in loaded] == [
        "API Performance",
        "Error Rate",
        "System Metrics",
        "Top Errors",
    ]
    uids = {source["uid"] for source in sources["datasources"]}
    for dashboard in loaded:
        assert dashboard["uid"]
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            assert panel["targets"], panel["title"]
            assert {panel["datasource"]["uid"], *(t["datasource"]["uid"] for t in panel["targets"])} <= uids


@pytest.mark.feature("F4")
def test_panels_do_not_overlap() -> None:
    """Each panel has its own place in Grafana's grid of 24 columns."""
    for dashboard in dashboards():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells


@pytest.mark.feature("F4")
@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda one: one["uid"])
def test_every_query_is_promql(dashboard: dict[str, Any]) -> None:
    """Every expression parses as PromQL, by Prometheus' grammar in Rust and by our own engine."""
    found = queries(dashboard)
    assert found
    for expr in found:
        parse(expr)


@pytest.mark.feature("F4")
def test_a_token_is_kept_from_other_eyes(tmp_path: Path) -> None:
    """With a token the data sources present it, and only the owner may read their file."""
    done = provision(tmp_path, "--token", "mm_secret")
    assert "mm_secret" not in done.stdout + done.stderr
    path = tmp_path / "grafana/provisioning/datasources/mamimon.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    source = yaml.safe_load(path.read_text())["datasources"][0]
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source["secureJsonData"] == {"httpHeaderValue1": "Bearer mm_secret"}


class Grafana:
    """Answers the calls of provisioning as Grafana's HTTP API documents them."""

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self.folders: dict[str, Any] = {}
        self.dashboards: dict[str, Any] = {}
        self.is_grafana = True
        one = self

        class Handler(BaseHTTPRequestHandler):
            def do_any(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                status, answer = one.answer(self.command, self.path, body, self.headers.get("Authorization"))
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_PUT = do_POST = do_any

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, body: Any, authorization: str | None) -> tuple[int, Any]:
        if path == "/api/health":
            return (200, {"database": "ok", "version": "11.0.0"}) if self.is_grafana else (404, {})
        if authorization != "Basic YWRtaW46YWRtaW4=":
            return 401, {"message": "Invalid username or password"}
        part, _, uid = path.removeprefix("/api/").rpartition("/")
        if path in {"/api/datasources", "/api/folders"}:
            kept = self.sources if path == "/api/datasources" else self.folders
            if body["uid"] in kept:
                return 409, {"message": "exists already"}
            kept[body["uid"]] = body
            return 200, {}
        if path == "/api/dashboards/db":
            self.dashboards[body["dashboard"]["uid"]] = body
            return 200, {"status": "success"}
        kept = {"datasources/uid": self.sources, "folders": self.folders}[part]
        if uid not in kept:
            return 404, {"message": "not found"}
        if method == "PUT":
            kept[uid] = body
        return 200, kept[uid]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    one = Grafana()
    yield one
    one.stop()


@pytest.mark.feature("F4")
def test_push_creates_and_updates(tmp_path: Path, grafana: Grafana) -> None:
    """Pushing twice creates and then updates; a wrong password and a server that is no Grafana are told."""
    (tmp_path / ".env").write_text(
        f"GRAFANA_URL={grafana.url}\nGRAFANA_ADMIN_USER=admin\nGRAFANA_ADMIN_PASSWORD=admin\n"
    )
    first = provision(tmp_path, "--push", "--server", "http://mon.example:7007")
    assert first.returncode == 0, first.stderr
    assert "created data source mamimon Prometheus" in first.stdout
    second = provision(tmp_path, "--push", "--server", "http://mon2.example:7007")
    assert "updated data source mamimon Prometheus" in second.stdout
    assert grafana.sources["mamimon-prometheus"]["url"] == "http://mon2.example:7007"
    assert sorted(one["dashboard"]["title"] for one in grafana.dashboards.values())[0] == "API Performance"
    assert {one["folderUid"] for one in grafana.dashboards.values()} == {"mamimon"}
    wrong = provision(tmp_path, "--push", "--password", "nope")
    assert (wrong.returncode, "401 Invalid username or password" in wrong.stderr) == (1, True)
    grafana.is_grafana = False
    assert "is not Grafana" in provision(tmp_path, "--push").stderr
