"""Several worker processes under gunicorn: shipping after a fork, and one `/metrics` for all."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.receiver import Receiver
from tests.conftest import wait_until

APP = """
import os
import mamimon
from flask import Flask

mamimon.init(service="workers", console="off")
flask = Flask("workers")
jobs = mamimon.gauge("jobs_running", "Jobs.")

@flask.get("/work/<name>")
def work(name):
    jobs.set(1)
    mamimon.get_logger("work").info("work", extra={"worker": os.getpid()})
    return str(os.getpid())

app = mamimon.WSGIMiddleware(flask)
"""


@pytest.mark.feature("C3")
def test_workers_ship_and_count_together(receiver: Receiver, tmp_path: Path) -> None:
    """Workers ship their own records; any of them shows the sum; a dead one is not forgotten."""
    (tmp_path / "site_app.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-w", "3", "--preload", "-b", f"127.0.0.1:{port}", "--log-level", "warning", "site_app:app"]
    one = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "MAMIMON_URL": receiver.url,
            "MAMIMON_METRICS_DIR": str(tmp_path / "metrics"),
            "MAMIMON_SPOOL_DIR": str(tmp_path / "spool"),
            "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}",
        },
    )
    url = f"http://127.0.0.1:{port}"
    sent = 0

    def ask() -> int:
        nonlocal sent
        pid = int(
            httpx.get(url + "/work/a", timeout=10).text
        )  # a connection each, so that workers take turns
        sent += 1
        return pid

    def total() -> float:
        text = httpx.get(url + "/metrics", timeout=10).text
        found = re.search(r'http_requests_total\{method="GET",path="/work/<name>",status="200"\} (\S+)', text)
        return float(found[1]) if found else 0.0

    def lines() -> list[dict[str, Any]]:
        return [document for document in receiver.documents if "worker" in document]

    def answers() -> bool:
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, 60, "gunicorn")
        pids: set[int] = set()
        while len(pids) < 2 and sent < 300:
            pids.add(ask())
        assert len(pids) >= 2
        wait_until(lambda: total() == sent, what="the sum of the workers")
        wait_until(lambda: len(lines()) == sent, what="the lines")
        os.kill(min(pids), signal.SIGKILL)
        for _ in range(10):
            ask()
        wait_until(lambda: total() == sent, what="the sum with a dead worker")
        assert len(list((tmp_path / "metrics").glob("[0-9]*.json"))) <= 3
        wait_until(lambda: len(lines()) == sent, what="the lines after that")
        assert {line["worker"] for line in lines()} >= pids
        assert all(line["pid"] == line["worker"] for line in lines())
    finally:
        one.send_signal(signal.SIGTERM)
        assert one.wait(20) == 0
