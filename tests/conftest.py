"""The test kit: a real server on a free port with its own data directory and a clock that tests move."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server

ROOT = Path(__file__).resolve().parent.parent


def absent(what: str) -> None:
    """Skip with a reason locally, fail in CI, where everything is installed."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; .ci/run must install it")
    pytest.skip(f"{what} is not installed here")


def peer(name: str) -> str:
    """The path of a program that we are compared with or driven by: on PATH, or built by `.ci/peers`."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    built = Path(os.environ.get("MAMIMON_PEERS", f"{cache}/mamimon-peers")) / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None and name == os.environ.get("MAMIMON_WITHOUT"):
        pytest.skip(f"{name} could not be had (.ci/run says why)")
    if found is None:
        absent(f"{name} (see .ci/peers)")
    assert found is not None
    return found


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0, what: str = "the condition") -> Any:
    """Poll `condition` until it is truthy and return it; fail loudly at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true in {timeout_s} s")
        time.sleep(0.02)


class Endless:
    """A question that is never answered: stands in for what a reader may leave."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.given_up = threading.Event()

    async def ask(self, *_: Any) -> None:
        """Wait until cancelled."""
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.given_up.set()
            raise


def slowness() -> float:
    """How much longer anything takes on this machine now: more wait for the processors than there are.

    Twice as much is allowed where a test holds a promise of time: a burst beside it is not in the load yet.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def settled(clock: ManualClock) -> int:
    """How many loops are asleep on the clock, once that number stands still for a moment.

    A loop that is still at work when the clock is moved goes to sleep at the later time and misses it.
    """
    while True:
        before = clock.sleepers
        time.sleep(0.1 * slowness())
        if clock.sleepers == before:
            return before


@pytest.fixture(scope="session")
def material() -> Path:
    """Other people's test inputs, read in place."""
    path = Path(os.environ.get("MAMIMON_MATERIAL", ROOT.parent / "shared" / "material"))
    if not path.is_dir():
        absent("the shared test material")
    return path


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the `server` fixture; stands still until a test advances it."""
    return ManualClock(float(int(time.time())))


class Running:
    """A real server in a thread: `url`, `client` and `settings`; the process's own sockets and files."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.settings = server.settings
        self.data_dir = server.data_dir
        self._thread = threading.Thread(target=self._run, name="mamimon-test-server", daemon=True)
        self._thread.start()
        assert server.ready.wait(60), "the server did not become ready"
        if server.failure is not None:
            raise server.failure
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def _run(self) -> None:
        try:
            asyncio.run(self.server.serve())
        except BaseException as error:
            self.server.failure = error

    @property
    def url(self) -> str:
        """The main listener's address."""
        return self.server.url

    def stop(self) -> None:
        """Stop gracefully and wait."""
        self.client.close()
        self.server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the server did not stop"


@pytest.fixture
def start(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Running]]:
    """Start a server with changed settings: `start(logs={"retention_days": 3})`; again = a restart."""
    running: list[Running] = []

    def run(**sections: dict[str, Any]) -> Running:
        settings = Settings()
        settings.server.port = 0
        for section, values in sections.items():
            for key, value in values.items():
                assert hasattr(getattr(settings, section), key), f"no setting {section}.{key}"
                setattr(getattr(settings, section), key, value)
        one = Running(Server(settings, tmp_path / "data", clock))
        running.append(one)
        return one

    yield run
    for one in running:
        if one._thread.is_alive():
            one.stop()


@pytest.fixture
def server(start: Callable[..., Running]) -> Running:
    """A real server with default settings on a free port."""
    return start()


class Process:
    """`mamimon serve` as its own process, the way people run it."""

    def __init__(self, data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
        self.popen = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mamimon",
                "serve",
                "--data-dir",
                str(data_dir),
                "--port",
                "0",
                *arguments,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=data_dir.parent,
            env={**clean, **(env or {})},
        )
        self.lines: list[str] = []
        self.url = ""
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self._ready.wait(60) or not self.url:
            self.kill()
            raise AssertionError("mamimon did not start:\n" + "".join(self.lines))

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for raw in self.popen.stderr:
            line = raw.decode(errors="replace")
            self.lines.append(line)
            if found := re.search(r"mamimon is ready on (\S+)", line):
                self.url = found.group(1)
                self._ready.set()
        self._ready.set()

    def terminate(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(60)

    def kill(self) -> None:
        """SIGKILL, as a power cut to the process."""
        self.popen.kill()
        self.popen.wait(60)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `mamimon serve` as a process over one data directory; again = a restart."""
    running: list[Process] = []

    def run(*arguments: str, env: dict[str, str] | None = None) -> Process:
        one = Process(tmp_path / "data", *arguments, env=env)
        running.append(one)
        return one

    yield run
    for one in running:
        if one.popen.poll() is None:
            one.kill()


CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium (playwright's sync `Browser`).

    A module's, not the session's: playwright's loop must be gone before another module's async tests.
    """
    path = next((p for p in CHROMIUM if Path(p).exists()), None)
    if path is None:
        absent("Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield one
        one.close()
