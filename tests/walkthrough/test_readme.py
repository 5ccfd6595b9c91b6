"""The README is true: its first block shows data on every page, and each further command runs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, slowness, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "/",
    "/logs",
    "/graph",
    "/targets",
    "/alerts",
    "/incidents",
    "/errors",
    "/events",
    "/checks",
    "/status",
)


def _block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1).strip()


class Demo:
    """The first block of the README, in a clean copy of the project, on other ports than the default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mamimon"
        self.folder.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x"], cwd=self.folder, input=archive, check=True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("MAMIMON_", "PYTHON"))}
        self.env["MAMIMON_SERVER__PORT"] = "17007"
        self.url = "http://127.0.0.1:17007"
        self.log = folder / "demo.log"
        with self.log.open("wb") as out:
            self.popen = subprocess.Popen(
                ["bash", "-c", _exec_last(_block("start"))],
                cwd=self.folder,
                env=self.env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def text(self) -> str:
        """What the demo has printed."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM to the demo alone; its children must go with it."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)


def _exec_last(line: str) -> str:
    # The shell gives way to the last command, so that a signal reaches mamimon itself.
    *first, last = line.split(" && ")
    return f"{' && '.join(first)} && exec {last}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, running, after it said that it is ready."""
    if not os.environ.get("CI") and not os.environ.get("MAMIMON_SLOW"):
        pytest.skip("installs the project into a fresh environment: a minute; set MAMIMON_SLOW=1")
    one = Demo(tmp_path_factory.mktemp("readme"))
    wait_until(lambda: "mamimon is ready" in one.text() or one.popen.poll() is not None, 300, "the demo")
    assert one.popen.poll() is None, one.text()
    yield one
    one.stop()


@pytest.mark.slow
@pytest.mark.feature("O5")
def test_every_page_shows_data_within_15_seconds(demo: Demo) -> None:
    """Fifteen seconds after the ready line each signal has real data and each page answers."""
    ready = time.monotonic()

    def everything() -> bool:
        with httpx.Client(base_url=demo.url, timeout=5) as client:
            lines = client.get("/es/_count").json()["count"]
            rates = client.get("/api/v1/query", params={"query": "rate(http_requests_total[1m]) > 0"})
            issues = client.get("/errors", headers={"Accept": "text/html"}).text
            events = client.get("/events", headers={"Accept": "text/html"}).text
        return bool(
            lines > 50
            and any(one["metric"].get("job") != "mamimon" for one in rates.json()["data"]["result"])
            and re.search(r'href="/errors/\d+', issues)
            and "message_sent" in events
        )

    wait_until(everything, 90, "data of every signal")
    assert time.monotonic() - ready < 15 * 2 * slowness()
    for page in PAGES:
        assert httpx.get(demo.url + page, headers={"Accept": "text/html"}).status_code == 200, page


@pytest.mark.slow
def test_the_demo_stops_and_leaves_nothing_running(demo: Demo) -> None:
    """SIGTERM ends the demo with exit code 0, and its service and load with it."""
    urls = set(re.findall(r"http://127\.0\.0\.1:\d+", demo.text()))
    assert demo.stop() == 0
    for url in urls:
        with pytest.raises(httpx.TransportError):
            httpx.get(url, timeout=2)


def test_the_test_command_is_what_ci_runs() -> None:
    """.ci/run takes the README's second block, so this very run is its test."""
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()
    assert "tests/check.py" in _block("tests")


def _commands() -> list[str]:
    blocks = re.findall(r"(?<!-->\n)```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], dict[str, str]]]:
    """The README's `mamimon serve` line in a new folder, with drop-in ports of our own."""
    import sys

    from tests.conftest import Process

    folder = tmp_path_factory.mktemp("shell")
    bin_ = folder / "bin"
    bin_.mkdir()
    command = bin_ / "mamimon"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mamimon "$@"\n')
    command.chmod(0o755)
    (folder / "prometheus.yml").write_text(
        re.search(r"```yaml\n(scrape_configs.*?)```", README, re.DOTALL).group(1)  # type: ignore[union-attr]
    )
    (folder / "mamimon-data").mkdir()
    serve = shlex.split(re.search(r"```sh server\n(.*?)```", README, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert serve[:2] == ["mamimon", "serve"]
    ports = {"9200": "19200", "9090": "19090", "9093": "19093", "3000": "13000"}
    one = Process(
        folder / "mamimon-data",
        *serve[2:],
        "--drop-in-ports",
        "es=19200,prometheus=19090,alertmanager=19093,ui=13000",
        env={"PYTHONPATH": str(ROOT)},
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
    env |= {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    yield folder, env, ports
    one.terminate()


@pytest.mark.parametrize("line", _commands())
def test_each_command_runs(line: str, shell: tuple[Path, dict[str, str], dict[str, str]]) -> None:
    """A command of the README exits 0 in the order of the README (its ports moved aside)."""
    folder, env, ports = shell
    for known, moved in ports.items():
        line = line.replace(f"localhost:{known}", f"localhost:{moved}")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line.replace("curl ", "curl --fail ", 1)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout or done.stderr
