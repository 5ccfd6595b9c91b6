"""The three that are measured: mamimon, Prometheus 3 and VictoriaMetrics, each as its own process."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx


def program(name: str) -> str:
    """A peer that `.ci/peers` built, or one on PATH."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    built = Path(os.environ.get("MAMIMON_PEERS", f"{cache}/mamimon-peers")) / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"{name} is missing; run .ci/peers {name}")
    return found


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def disk_bytes(folder: Path) -> int:
    """The bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_compact(day: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{day}?mode=ro", uri=True)) as raw:
        open_rows = raw.execute("SELECT count(*) FROM wal").fetchone()[0]
        free = raw.execute("PRAGMA freelist_count").fetchone()[0]
    return bool(open_rows == 0 and free == 0)


def _made_days(folder: Path) -> int:
    """How many days the long history of one resolution has."""
    count = 0
    for month in folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(f"file:{month}?mode=ro", uri=True)) as raw:
            if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'day'").fetchone():
                count += raw.execute("SELECT count(*) FROM day").fetchone()[0]
    return count


class Side:
    """One of the three; `start` and `stop` may be repeated over the same data."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.client = httpx.Client(timeout=300)
        self.prefix: list[str] = []
        """What stands before its command line."""
        self._local = threading.local()
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it and wait until it answers."""
        port = free_port()
        self.popen = subprocess.Popen(
            [*self.prefix, *self.command(port)],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
        )
        self._await(f"http://127.0.0.1:{port}", self.ready)

    ready = "/-/ready"

    def command(self, port: int) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def _await(self, url: str, ready: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=300)
        self._local = threading.local()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.client.get(ready).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        sys.exit(f"{self.name} did not start")

    def stop(self) -> None:
        """End it."""
        self.client.close()
        if self.popen is not None:
            self.popen.terminate()
            self.popen.wait(60)
            self.popen = None

    def write(self, body: bytes) -> None:
        """Send a remote write."""
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        answer = self.client.post("/api/v1/write", content=body, headers=headers)
        if answer.status_code not in (200, 204):
            sys.exit(f"{self.name} refused samples: {answer.text}")

    def post(self, path: str, form: str) -> tuple[int, bytes]:
        """Ask by a thread's own kept connection; nobody compresses, and the client is thin."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            url = self.client.base_url
            connection = http.client.HTTPConnection(url.host, url.port, timeout=300)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        connection.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def settle(self) -> int:
        """Bring what was written into the form in which it stays; returns its bytes."""
        raise NotImplementedError

    def processor_ms(self) -> float:
        """Processor time that its threads have used so far."""
        assert self.popen is not None
        threads = Path(f"/proc/{self.popen.pid}/task").iterdir()
        return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e6

    def resident_mb(self) -> float:
        """Resident memory now."""
        assert self.popen is not None
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


class Mamimon(Side):
    """Ours; every window is sealed before it is measured."""

    name = "mamimon"
    ready = "/readyz"

    def command(self, port: int) -> list[str]:
        """See `Side.command`."""
        data = str(self.folder / "data")
        return [sys.executable, "-m", "mamimon", "serve", "--data-dir", data, "--port", str(port)]

    def start(self) -> None:
        """See `Side.start`."""
        os.environ["MAMIMON_METRICS__SCRAPE_SELF"] = "false"
        os.environ["MAMIMON_ALERTS__BUILTIN_RULES"] = "false"
        super().start()

    def settle(self) -> int:
        """Windows that are over are sealed, days that are over compacted, and their long history is made."""
        folder = self.folder / "data" / "metrics"
        days = list(folder.glob("*.db"))
        deadline = time.monotonic() + 180
        while not all(_is_compact(path) for path in days):
            self._patience(deadline)
        size = disk_bytes(folder)
        self.stop()
        self.start()
        while _made_days(folder / "1h") < len(days):
            self._patience(deadline)
        self.stop()
        self.start()
        return size

    @staticmethod
    def _patience(deadline: float) -> None:
        if time.monotonic() > deadline:
            sys.exit("mamimon did not bring its days into their final form")
        time.sleep(1)


class Prometheus(Side):
    """Prometheus 3; measured over blocks that its snapshot wrote, as they would be after a day."""

    name = "prometheus"

    def command(self, port: int) -> list[str]:
        """See `Side.command`."""
        config = self.folder / "prometheus.yml"
        config.write_text("global: {}\n")
        return [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            "--storage.tsdb.retention.time=100y",
            "--web.enable-remote-write-receiver",
            "--web.enable-admin-api",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    def settle(self) -> int:
        """See `Side.settle`."""
        answer = self.client.post("/api/v1/admin/tsdb/snapshot").json()
        snapshot = self.folder / "tsdb" / "snapshots" / answer["data"]["name"]
        self.stop()
        kept = self.folder / "kept"
        snapshot.rename(kept)
        shutil.rmtree(self.folder / "tsdb")
        kept.rename(self.folder / "tsdb")
        size = disk_bytes(self.folder / "tsdb")
        self.start()
        return size


class VictoriaMetrics(Side):
    """VictoriaMetrics, single node."""

    name = "victoria-metrics"
    ready = "/health"

    def command(self, port: int) -> list[str]:
        """See `Side.command`."""
        return [
            program("victoria-metrics"),
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=10y",
            "-search.maxPointsPerTimeseries=100000",
        ]

    def settle(self) -> int:
        """See `Side.settle`."""
        self.client.get("/internal/force_flush")
        self.client.get("/internal/force_merge")
        time.sleep(5)
        self.stop()
        size = disk_bytes(self.folder / "data" / "data")
        self.start()
        return size


SIDES = (Mamimon, Prometheus, VictoriaMetrics)


def together(sides: list[Side], work: str) -> None:
    """Run a method of all sides at once."""
    threads = [threading.Thread(target=getattr(side, work)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
