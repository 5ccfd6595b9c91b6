"""Bugsink over a temporary directory, as its single-server template sets it up: gunicorn and snappea.

Installed in a virtual environment of its own by `.ci/peers bugsink`.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_OVERRIDES = """
ALLOWED_HOSTS = ["*"]
BUGSINK["BASE_URL"] = "http://127.0.0.1:{port}"
for _span in ("5_MINUTES", "HOUR", "MONTH"):
    BUGSINK["MAX_EVENTS_PER_PROJECT_PER_" + _span] = BUGSINK["MAX_EVENTS_PER_" + _span] = 10**9
"""
_PROJECT = (
    "from projects.models import Project; "
    "one = Project.objects.create(name='bench', retention_max_event_count=10**6); "
    "print('KEY', one.id, one.sentry_key.hex)"
)


class Bugsink:
    """A running one: its DSN, its processes and how many events it has digested."""

    def __init__(self, dsn: str, folder: Path, processes: list[int]) -> None:
        self.dsn = dsn
        self.processes = processes
        self._folder = folder

    def digested(self) -> int:
        """How many events are stored."""
        raw = sqlite3.connect(f"file:{self._folder / 'db.sqlite3'}?mode=ro", uri=True, timeout=30)
        try:
            return int(raw.execute("SELECT count(*) FROM events_event").fetchone()[0])
        finally:
            raw.close()

    def wait_for(self, many: int, timeout_s: float) -> float:
        """Seconds until that many are stored, or until the time is over."""
        began = time.monotonic()
        while self.digested() < many and time.monotonic() - began < timeout_s:
            time.sleep(0.2)
        return time.monotonic() - began


def _answers(port: int) -> bool:
    """Whether a worker is there, not only the socket."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code < 600
    except httpx.TransportError:
        return False


@contextmanager
def running(binaries: Path, folder: Path) -> Iterator[Bugsink]:
    """Set up, start, and stop at the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "bugsink_conf", "PYTHONPATH": str(folder)}

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        return done.stdout

    template = ("--template", "singleserver", "--base-dir", str(folder), "--port", str(port))
    run("bugsink-create-conf", *template, "-o", str(folder / "bugsink_conf.py"))
    with (folder / "bugsink_conf.py").open("a") as file:
        file.write(_OVERRIDES.format(port=port))
    run("bugsink-manage", "migrate")
    run("bugsink-manage", "migrate", "snappea", "--database=snappea")
    said = next(line for line in run("bugsink-manage", "shell", "-c", _PROJECT).splitlines() if "KEY" in line)
    _, number, key = said.split()
    quiet = {"cwd": folder, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    web = [str(binaries / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "2", "bugsink.wsgi"]
    parts = [subprocess.Popen(one, **quiet) for one in (web, [str(binaries / "bugsink-runsnappea")])]  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 120
        while not _answers(port) and time.monotonic() < deadline:
            time.sleep(0.5)
        yield Bugsink(f"http://{key}@127.0.0.1:{port}/{number}", folder, [part.pid for part in parts])
    finally:
        for part in parts:
            part.terminate()
        for part in parts:
            part.wait(30)
