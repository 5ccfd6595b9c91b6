"""The mission document as a user meets it: its folders, its ports, its snippets."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, absent, wait_until

PORTS = {"es": 9200, "prometheus": 9090, "ui": 3000, "main": 7007, "app": 8000}

# What the document calls `app/`: the modules of its service are one line each with mamimon.
APP = {
    "app/__init__.py": "",
    "app/core/__init__.py": "",
    "app/core/logger.py": "from mamimon import get_logger, mask_sensitive_data  # noqa: F401\n",
    "app/core/analytics.py": "from mamimon import track_event  # noqa: F401\n",
    "app/main.py": """
import asyncio

from fastapi import FastAPI

import mamimon
from app.core.logger import get_logger

mamimon.init(url="http://127.0.0.1:7007", service="mami-ai")
logger = get_logger(__name__)
app = FastAPI()


@app.get("/api/chat")
async def chat() -> dict:
    logger.info("message stored")
    return {"ok": True}


@app.get("/api/image/{name}")
async def image(name: str) -> dict:
    await asyncio.sleep(0.02)
    return {"image": name}


@app.get("/api/broken")
async def broken() -> dict:
    raise KeyError("model")


app.mount("/metrics", mamimon.metrics_app())
app.add_middleware(mamimon.ASGIMiddleware)
""",
    "docker/prometheus.yml": """
global:
  scrape_interval: 15s
rule_files:
  - alert_rules.yml
scrape_configs:
  - job_name: mami-ai
    static_configs:
      - targets: ["127.0.0.1:8000"]
  - job_name: gone
    static_configs:
      - targets: ["127.0.0.1:9"]
""",
}


class Mission:
    """The document's fenced blocks, in order."""

    def __init__(self, text: str) -> None:
        self.blocks = [m.group(1) for m in re.finditer(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]

    def lines(self, number: int) -> list[str]:
        """The lines of a block that are not comments or blank."""
        return [
            line.strip()
            for line in self.blocks[number].splitlines()
            if line.strip() and not line.strip().startswith("#")
        ]


@pytest.fixture(scope="session")
def mission() -> Mission:
    """The mission document."""
    path = ROOT.parent / "shared" / "mission-document.tr.md"
    if not path.is_file():
        absent("the mission document")
    return Mission(path.read_text(encoding="utf-8"))


class Place:
    """A user's folder with the server and the document's service running in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
        self.env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{folder}"
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, command: str, timeout_s: float = 60) -> str:
        """Run a shell line of the document and return what it prints; it must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, snippet: str) -> str:
        """Run a Python snippet of the document in the user's folder, as a short program does."""
        head = 'import mamimon\nmamimon.init(url="http://127.0.0.1:7007", service="mami-ai")\n'
        done = subprocess.run(
            [sys.executable, "-c", head + snippet],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def doctor(self) -> subprocess.CompletedProcess[str]:
        """`mamimon doctor` in the user's folder, with its `.env`."""
        return subprocess.run(
            [sys.executable, "-m", "mamimon", "doctor"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *command: str, log: str) -> None:
        """Start a program that stays."""
        with (self.folder / log).open("ab") as out:
            self._running.append(
                subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=out, stderr=out)
            )

    def stop(self) -> None:
        """End what was started, last first."""
        for one in reversed(self._running):
            one.terminate()
            one.wait(20)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """`mamimon serve --drop-in` on the document's own ports, with its service scraped and logging."""
    for name, port in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                absent(f"a free port {port} ({name})")
    place = Place(tmp_path_factory.mktemp("mission"))
    for path, text in APP.items():
        file = place.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (place.folder / ".env.example").write_text((ROOT / ".env.example").read_text(encoding="utf-8"))
    (place.folder / "docker/alert_rules.yml").write_text(
        (ROOT / "examples" / "alert_rules.yml").read_text(encoding="utf-8")
    )
    place.run("cp .env.example .env")
    (place.folder / "mamimon-data").mkdir()
    mamimon = (sys.executable, "-m", "mamimon")
    place.start(
        *mamimon, "serve", "--drop-in", "--prometheus-config", "docker/prometheus.yml", log="server.log"
    )
    place.start(sys.executable, "-m", "uvicorn", "app.main:app", "--port", "8000", log="app.log")
    try:
        wait_until(lambda: _up("http://127.0.0.1:7007/readyz"), 60, "mamimon")
        wait_until(lambda: _up("http://127.0.0.1:8000/api/chat"), 60, "the service")
        yield place
    finally:
        place.stop()


def _up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def traffic(place: Place) -> float:
    """Requests of every kind were made and two scrapes have seen them; returns when they began."""
    began = time.time()
    with httpx.Client(base_url="http://127.0.0.1:8000") as client:
        for round_ in range(20):
            client.get("/api/chat", headers={"X-Request-ID": "123"} if round_ == 0 else {})
            client.get(f"/api/image/{round_}")
            # uvicorn drops the connection of a request that raised.
            client.get("/api/broken", headers={"Connection": "close"})

        def seen() -> bool:
            client.get("/api/chat")
            found = query('count_over_time(http_requests_total{job="mami-ai",path="/api/chat"}[5m])')
            return any(float(one["value"][1]) >= 2 for one in found)

        wait_until(seen, 60, "two scrapes of the service")
    return began


def query(expr: str) -> list[dict]:  # type: ignore[type-arg]
    """The result of an instant query at the document's Prometheus address."""
    answer = httpx.get("http://localhost:9090/api/v1/query", params={"query": expr})
    body = answer.json()
    assert body["status"] == "success", body
    return list(body["data"]["result"])
