"""docs/shippers.md is true: every block of it runs, with only addresses and paths changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, absent, wait_until

PAGE = (ROOT / "docs" / "shippers.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- ([\w.]+) -->\n```\w*\n(.*?)```", PAGE, re.DOTALL))
ACCESS = '192.0.2.7 - - [24/Nov/2026:10:00:00 +0300] "GET /basket HTTP/1.1" 500 12 "-" "curl"\n'


class Place:
    """A running server, as the page's two tables of settings make it, and where its ports are."""

    def __init__(self, process: Callable[..., Any], folder: Path) -> None:
        self.folder = folder
        config = folder / "mamimon.toml"
        toml = BLOCKS["syslog.toml"] + BLOCKS["gelf.toml"]
        config.write_text(re.sub(r'"(1514|12201)"', '"0"', toml))
        self.process = process("--config", str(config))
        self.url = str(self.process.url)
        self.ports: dict[str, int] = wait_until(self._listening, what="four listeners in its own log")

    def _listening(self) -> dict[str, int] | None:
        """The ports by door and transport, once all are told."""
        asked = {"q": "message:(syslog OR gelf)", "dataset": "mamimon"}
        answer = httpx.get(self.url + "/api/mamimon/logs/search", params=asked)
        lines = [hit["message"] for hit in answer.json()["hits"]]
        found = [re.search(r"(syslog|gelf) by (UDP|TCP) on \S+:(\d+)", line) for line in lines]
        ports = {f"{one[1]}.{one[2].lower()}": int(one[3]) for one in found if one}
        return ports if len(ports) == 4 else None

    def text(self, name: str, transport: str = "tcp") -> str:
        """A block with this server's addresses and paths."""
        made = BLOCKS[name].replace("http://localhost:7007", self.url)
        made = made.replace("1514", str(self.ports[f"syslog.{transport}"]))
        made = made.replace("12201", str(self.ports[f"gelf.{transport}"]))
        made = made.replace("/var/log/nginx/", f"{self.folder}/").replace("/var/lib/", f"{self.folder}/")
        return made.replace(
            "mamimon logs ingest", f"{sys.executable} -m mamimon logs ingest --url {self.url}"
        )

    def lines(self, text: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines that match, once they are there."""

        def ask() -> list[dict[str, Any]]:
            answer = httpx.get(
                self.url + "/api/mamimon/logs/search",
                params={"q": text, "start": "2000-01-01", "end": "2100-01-01"},
            )
            return [hit["document"] for hit in answer.json()["hits"]]

        wait_until(lambda: len(ask()) >= count, 20, text)
        return ask()


@pytest.fixture
def place(process: Callable[..., Any], tmp_path: Path) -> Place:
    """See `Place`."""
    return Place(process, tmp_path)


def _run(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=env, **more)


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Start rsyslog with an action and something to send."""
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    if not Path(program).exists():
        absent("rsyslog")
    running: list[subprocess.Popen[bytes]] = []

    def run(action: str) -> None:
        source = tmp_path / "in.log"
        source.write_text("forwarded by rsyslog\n")
        config = tmp_path / "rsyslog.conf"
        config.write_text(
            f'global(workDirectory="{tmp_path}")\nmodule(load="imfile" mode="polling" pollingInterval="1")\n'
            f'input(type="imfile" file="{source}" tag="shop:")\n{action}\n'
        )
        command = [program, "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield run
    for one in running:
        one.terminate()
        one.wait(10)


@pytest.mark.feature("L5")
def test_every_block_runs(place: Place, rsyslog: Callable[[str], None], tmp_path: Path) -> None:
    """curl, files, a pipe, OpenTelemetry, logger, rsyslog, SysLogHandler, Loki and GELF, as the page says."""
    answer = _run(["bash", "-c", place.text("curl")])
    assert json.loads(answer.stdout) == {"accepted": 2, "refused": 0, "errors": []}
    assert place.lines('message:"card declined"')[0]["order"] == 8

    (tmp_path / "access.log").write_text(ACCESS)
    _run(["bash", "-c", place.text("files")])
    assert place.lines("service:nginx")[0]["status"] == 500
    journal = json.dumps({"MESSAGE": "unit started", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "systemd"})
    (tmp_path / "journalctl").write_text(f"#!/bin/sh\necho '{journal}'\n")
    (tmp_path / "journalctl").chmod(0o755)
    _run(["bash", "-c", f"PATH={tmp_path}:$PATH\n" + place.text("pipe")])
    assert place.lines('message:"unit started"')[0]["level"] == "WARNING"

    for name, text, level in (
        ("otel", "cart 7 is empty", "WARNING"),
        ("sysloghandler", "drawer is stuck", "ERROR"),
        ("loki", "no invoice", "error"),
        ("gelf", "oven is cold", "ERROR"),
    ):
        _run([sys.executable, "-c", place.text(name, "udp")])
        assert place.lines(f'message:"{text}"')[0]["level"] == level
    _run(["bash", "-c", place.text("logger")])
    assert place.lines('message:"disk is full"')[0]["facility"] == "daemon"
    rsyslog(place.text("rsyslog"))
    assert place.lines('message:"forwarded by rsyslog"')[0]["service"] == "shop"


@pytest.mark.feature("L5")
def test_the_block_that_follows_runs(place: Place, tmp_path: Path) -> None:
    """--follow with --state keeps its place in a file."""
    log = tmp_path / "access.log"
    log.write_text(ACCESS)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    one = subprocess.Popen(["bash", "-c", "exec " + place.text("follow")], env=env)
    try:
        assert place.lines("path:basket")
        with log.open("a") as writer:
            writer.write(ACCESS.replace("basket", "till"))
        assert place.lines("path:till")
        wait_until((tmp_path / "mamimon-tail.json").exists)
    finally:
        one.send_signal(signal.SIGTERM)
        assert one.wait(15) == 0


def test_every_block_is_one_that_is_run() -> None:
    """No block stands in the page that the tests above do not know."""
    assert set(BLOCKS) == {
        "curl", "files", "pipe", "follow", "otel", "syslog.toml", "logger", "rsyslog", "sysloghandler",
        "loki", "gelf.toml", "gelf",
    }  # fmt: skip
    assert PAGE.count("```") == 2 * len(BLOCKS)
