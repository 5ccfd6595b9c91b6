"""A disk that really fills up: read-only, and back by itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server
from tests.conftest import Running, absent, wait_until

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode != 0:
        absent("the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def on_small_disk(small_disk: Path, clock: ManualClock) -> Iterator[Callable[[], Running]]:
    running: list[Running] = []

    def run() -> Running:
        settings = Settings()
        settings.server.port = 0
        settings.metrics.scrape_self = False
        settings.storage.min_free_bytes = 24 * MIB
        settings.storage.ballast_bytes = 4 * MIB
        running.append(Running(Server(settings, small_disk / "data", clock)))
        return running[-1]

    yield run
    for one in running:
        one.stop()


def fill(path: Path) -> None:
    """Leave 16 MiB free."""
    path.write_bytes(b"x" * (shutil.disk_usage(path.parent).free - 16 * MIB))


def _event() -> dict[str, Any]:
    return {"batch": [{"event": "login", "distinct_id": "u1", "properties": {}}]}


@pytest.mark.feature("S3")
def test_a_full_disk_makes_the_server_read_only_until_there_is_room(
    on_small_disk: Callable[[], Running], small_disk: Path, clock: ManualClock
) -> None:
    """Under the limit doors answer 503 with a reason, pages go on, the ballast is given up; then back."""
    server = on_small_disk()
    ballast = server.data_dir / "ballast"
    assert ballast.stat().st_size == 4 * MIB
    assert server.client.post("/batch/", json=_event()).status_code == 200
    filler = small_disk / "filler"
    fill(filler)
    clock.advance(1)
    wait_until(lambda: server.client.get("/readyz").status_code == 503, 1.0, "read-only within a second")
    refused = server.client.post("/batch/", json=_event())
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert not ballast.exists()
    assert server.client.get("/checks").status_code == 200
    assert server.client.get("/events").status_code == 200
    assert "mamimon_writable 0.0" in server.client.get("/metrics").text
    filler.unlink()
    clock.advance(1)
    wait_until(lambda: server.client.get("/readyz").status_code == 200, 1.0, "writable within a second")
    assert server.client.post("/batch/", json=_event()).status_code == 200
    wait_until(ballast.exists)


@pytest.mark.feature("S3")
def test_a_start_on_a_full_disk_is_read_only(
    on_small_disk: Callable[[], Running], small_disk: Path, clock: ManualClock
) -> None:
    """A server that starts on a full disk answers, and says that it is not ready to take data."""
    on_small_disk().stop()
    fill(small_disk / "filler")
    server = on_small_disk()
    assert server.client.get("/healthz").status_code == 200
    assert "read-only" in server.client.get("/readyz").json()["output"]
