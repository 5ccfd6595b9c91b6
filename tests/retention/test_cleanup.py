"""The nightly clean-up and the backups, on a real server with a clock that the test moves."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.retention import backup
from mamimon.retention.cleanup import next_night
from tests.conftest import Running, absent, settled, wait_until

Start = Callable[..., Running]
QUIET: dict[str, Any] = {"metrics": {"scrape_self": False}, "health": {"host_checks": False}}


def track(server: Running, count: int) -> None:
    batch = [{"event": "login", "distinct_id": f"u{n}", "properties": {"plan": "free"}} for n in range(count)]
    assert server.client.post("/batch/", json={"batch": batch}).status_code < 300


def state(server: Running) -> dict[str, Any]:
    found = server.client.get("/api/mamimon/cleanup")
    assert found.status_code == 200, found.text
    return dict(found.json())


def day(clock: ManualClock) -> str:
    return dt.datetime.fromtimestamp(clock.now(), dt.UTC).strftime("%Y-%m-%d")


def mamimon(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mamimon", *arguments, "--data-dir", str(data_dir)],
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


def let_a_night_pass(server: Running, clock: ManualClock) -> dict[str, Any]:
    before = (state(server)["last"] or {"at": 0})["at"]
    settled(clock)
    clock.advance(86_400)
    return dict(
        wait_until(
            lambda: (last := state(server)["last"]) and last["at"] > before and state(server),
            what="a clean-up",
        )
    )


@pytest.mark.feature("R1")
@pytest.mark.feature("R2")
def test_an_old_day_is_backed_up_verified_deleted_and_logged(start: Start, clock: ManualClock) -> None:
    """At night a day older than it is kept is gone; its backup is whole, and the deletion is on record."""
    server = start(events={"retention_days": 2}, **QUIET)
    track(server, 50)
    old = day(clock)
    path = server.data_dir / "events" / f"{old}.db"
    wait_until(path.is_file)
    for _ in range(2):
        assert let_a_night_pass(server, clock)["last"]["deleted"] == 0
        assert path.is_file()
    found = let_a_night_pass(server, clock)
    assert (found["last"]["deleted"], found["last"]["failed"], path.exists()) == (1, 0, False)
    row = found["deletions"][0]
    assert (row["signal"], row["day"], row["backup"]) == ("events", old, f"events/{old}.db.zst")
    assert row["done_at"] >= row["started_at"]
    kept = server.data_dir / "backups" / "events"
    manifest = backup.read_manifest(kept, old)
    assert manifest is not None
    assert manifest.sha256 == row["sha256"]
    backup.verify(kept, manifest)
    assert not list(kept.glob(f"*{backup.PARTIAL}"))
    assert not list(kept.glob("snapshot-*"))
    assert "mamimon_cleanup_deleted_partitions_total 1.0" in server.client.get("/metrics").text


@pytest.mark.feature("R2")
def test_what_cannot_be_backed_up_stays(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """While the backup folder is in the way of a file the day stays, told why; afterwards it goes."""
    blocked = tmp_path / "backups"
    blocked.write_text("a file where the folder should be")
    server = start(events={"retention_days": 1}, retention={"backup_dir": str(blocked)}, **QUIET)
    track(server, 5)
    old = day(clock)
    let_a_night_pass(server, clock)
    found = let_a_night_pass(server, clock)
    assert (found["last"]["deleted"], found["last"]["failed"]) == (0, 1)
    assert "backups" in found["last"]["message"]
    assert found["deletions"] == []
    assert (server.data_dir / "events" / f"{old}.db").is_file()
    assert "mamimon_cleanup_failures_total 1.0" in server.client.get("/metrics").text
    blocked.unlink()
    assert let_a_night_pass(server, clock)["last"]["deleted"] == 1
    assert (blocked / "events" / f"{old}.db.zst").is_file()


@pytest.mark.feature("R2")
def test_a_corrupt_day_is_not_deleted(start: Start, clock: ManualClock) -> None:
    """A day that SQLite cannot read whole has no backup, so it stays."""
    server = start(events={"retention_days": 1}, **QUIET)
    track(server, 3000)
    old = day(clock)
    server.stop()
    path = server.data_dir / "events" / f"{old}.db"
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 20))
    clock.advance(2 * 86_400)
    again = start(events={"retention_days": 1}, **QUIET)
    done = mamimon(again.data_dir, "cleanup")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"events {old}" in done.stdout
    assert "kept: " in done.stdout
    assert path.is_file()


@pytest.mark.feature("R1")
def test_dry_run_and_cleanup_commands(start: Start, clock: ManualClock) -> None:
    """`cleanup --dry-run` says what `cleanup` then does."""
    server = start(events={"retention_days": 1}, **QUIET)
    track(server, 5)
    old = day(clock)
    clock.jump(2 * 86_400)
    dry = mamimon(server.data_dir, "cleanup", "--dry-run")
    assert f"events {old}" in dry.stdout, dry.stderr
    assert "would be deleted" in dry.stdout
    assert (server.data_dir / "events" / f"{old}.db").is_file()
    wet = json.loads(mamimon(server.data_dir, "cleanup", "--json").stdout)
    assert [(row["day"], row["error"]) for row in wet] == [(old, "")]
    assert not (server.data_dir / "events" / f"{old}.db").exists()
    assert "nothing is older" in mamimon(server.data_dir, "cleanup").stderr


@pytest.mark.feature("R2")
def test_a_deletion_cut_short_is_settled_at_the_next_start(start: Start, clock: ManualClock) -> None:
    """A kill between the row and the unlink: the row goes when the day is there, else it is completed."""
    server = start(events={"retention_days": 90}, **QUIET)
    track(server, 5)
    here = day(clock)
    server.stop()
    folder = server.data_dir / "backups" / "events"
    (folder / "snapshot-x1").mkdir(parents=True)
    (folder / f"2020-01-01.db.zst{backup.PARTIAL}").write_bytes(b"cut")
    with sqlite3.connect(server.data_dir / "mamimon.db") as raw:
        raw.executemany(
            "INSERT INTO deletion (signal, day, bytes, backup, sha256, started_at)"
            " VALUES ('events', ?, 1, '', '', 1)",
            [(here,), ("2020-01-01",)],
        )
    again = start(events={"retention_days": 90}, **QUIET)
    rows = state(again)["deletions"]
    assert [(row["day"], row["done_at"]) for row in rows] == [("2020-01-01", clock.now())]
    assert list(folder.iterdir()) == []


@pytest.mark.feature("R1")
def test_a_machine_that_is_off_at_night_cleans_up_in_the_morning(start: Start, clock: ManualClock) -> None:
    """A start more than a day after the last clean-up runs one ten minutes later."""
    server = start(events={"retention_days": 1}, **QUIET)
    track(server, 5)
    first = let_a_night_pass(server, clock)
    server.stop()
    clock.advance(3 * 86_400)
    again = start(events={"retention_days": 1}, **QUIET)
    assert state(again)["last"] == first["last"]
    wait_until(lambda: clock.sleepers >= 1)
    wait_until(lambda: (clock.advance(60), state(again)["last"]["deleted"] == 1)[1], what="the late clean-up")


@pytest.mark.feature("R3")
def test_backup_and_restore_on_a_new_machine(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """`backup run`, then `backup restore` into an empty data directory: a server starts on it."""
    server = start(events={"retention_days": 90}, **QUIET)
    track(server, 40)
    made = mamimon(server.data_dir, "backup", "run")
    assert made.returncode == 0, made.stderr
    assert f"events/{day(clock)}.db.zst" in made.stdout
    assert "state/" in made.stdout
    unchanged = json.loads(mamimon(server.data_dir, "backup", "run", "--json").stdout)
    assert [one["signal"] for one in unchanged] == ["state"]
    listed = mamimon(server.data_dir, "backup", "list").stdout
    assert f"events/{day(clock)}" in listed
    assert "a server uses" in mamimon(server.data_dir, "backup", "restore").stderr
    server.stop()
    kept = tmp_path / "elsewhere"
    shutil.move(server.data_dir / "backups", kept)
    shutil.rmtree(server.data_dir)
    arguments = ("--backup-dir", str(kept))
    assert mamimon(server.data_dir, "backup", "verify", *arguments).returncode == 0
    restored = mamimon(server.data_dir, "backup", "restore", *arguments)
    assert restored.returncode == 0, restored.stderr
    twice = mamimon(server.data_dir, "backup", "restore", "events", *arguments)
    assert (twice.returncode, "is there already" in twice.stderr) == (1, True)
    again = start(events={"retention_days": 90}, **QUIET)
    with sqlite3.connect(again.data_dir / "events" / f"{day(clock)}.db") as raw:
        assert raw.execute("SELECT count(*) FROM event").fetchone() == (40,)
    file = next((kept / "events").glob("*.zst"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    bad = mamimon(server.data_dir, "backup", "verify", "events", *arguments)
    assert (bad.returncode, "BAD" in bad.stdout, "checksum differs" in bad.stdout) == (1, True, True)


@pytest.mark.feature("R3")
@pytest.mark.peer("zstd")
def test_plain_tools_open_a_backup(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """`zstd -d` and `sqlite3` restore a day without mamimon."""
    if shutil.which("zstd") is None:
        absent("zstd")
    server = start(**QUIET)
    track(server, 7)
    assert mamimon(server.data_dir, "backup", "run").returncode == 0
    packed = server.data_dir / "backups" / "events" / f"{day(clock)}.db.zst"
    plain = tmp_path / "plain.db"
    subprocess.run(["zstd", "-q", "-d", str(packed), "-o", str(plain)], check=True)
    with sqlite3.connect(plain) as raw:
        assert raw.execute("SELECT count(*) FROM event").fetchone() == (7,)
    assert packed.stat().st_mode & 0o077 == 0


@pytest.mark.feature("R2")
def test_encrypted_backups(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """With age recipients nothing readable lies in the backup, and only the secret key restores it."""
    pyrage = pytest.importorskip("pyrage") if not os.environ.get("CI") else __import__("pyrage")
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"# created: today\n{identity}\n")
    recipients = {"backup_recipients": [str(identity.to_public())]}
    server = start(events={"retention_days": 1}, retention=recipients, **QUIET)
    track(server, 9)
    old = day(clock)
    let_a_night_pass(server, clock)
    assert let_a_night_pass(server, clock)["last"]["deleted"] == 1
    server.stop()
    packed = server.data_dir / "backups" / "events" / f"{old}.db.zst.age"
    assert packed.read_bytes().startswith(b"age-encryption.org/v1")
    assert pyrage.decrypt(packed.read_bytes(), [identity])[:4] == b"\x28\xb5\x2f\xfd"
    without = mamimon(server.data_dir, "backup", "restore", "events")
    assert (without.returncode, "pass --identity" in without.stderr) == (1, True)
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(str(pyrage.x25519.Identity.generate()))
    assert mamimon(server.data_dir, "backup", "restore", "events", "--identity", str(wrong)).returncode == 1
    done = mamimon(server.data_dir, "backup", "restore", "events", "--identity", str(key))
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(server.data_dir / "events" / f"{old}.db") as raw:
        assert raw.execute("SELECT count(*) FROM event").fetchone() == (9,)


@pytest.mark.feature("R1")
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/Istanbul", "UTC", "America/New_York"])
def test_every_night_has_one_clean_up_also_over_clock_changes(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a year, each local day has exactly one clean-up, at the set hour or right after a gap."""
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        now = dt.datetime(2026, 1, 1, 12).astimezone().timestamp()
        seen = []
        for _ in range(365):
            now = next_night(now, 2)
            local = dt.datetime.fromtimestamp(now).astimezone()
            assert local.hour in {2, 3}
            seen.append(local.date())
        assert seen == [dt.date(2026, 1, 2) + dt.timedelta(days=n) for n in range(365)]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.feature("R1")
def test_errors_go_by_month(start: Start, clock: ManualClock) -> None:
    """Error events lie in monthly files: a month goes, backed up, when all of it is too old."""
    server = start(errors={"retention_days": 1}, **QUIET)
    project = server.client.get("/api/mamimon/errors/dsn").json()["dsn"]
    key, _, rest = project.removeprefix("http://").partition("@")
    event = {"event_id": "0" * 31 + "1", "message": "boom", "level": "error", "timestamp": clock.now()}
    sent = server.client.post(
        f"/api/{rest.rsplit('/', 1)[1]}/store/",
        json=event,
        headers={"X-Sentry-Auth": f"Sentry sentry_key={key}"},
    )
    assert sent.status_code == 200, sent.text
    month = day(clock)[:7]
    path = server.data_dir / "errors" / f"{month}.db"
    wait_until(path.is_file)
    clock.jump(32 * 86_400)
    done = json.loads(mamimon(server.data_dir, "cleanup", "--json").stdout)
    assert [(row["signal"], row["day"], row["error"]) for row in done] == [("errors", month, "")]
    assert not path.exists()
    assert (server.data_dir / "backups" / "errors" / f"{month}.db.zst").is_file()


@pytest.mark.feature("R1")
def test_metric_days_go_too(start: Start, clock: ManualClock) -> None:
    """A day of samples is backed up and deleted after its own retention; newer days still answer."""
    server = start(metrics={"retention_days": 1}, health={"host_checks": False})
    old = day(clock)
    path = server.data_dir / "metrics" / f"{old}.db"
    wait_until(path.is_file)
    let_a_night_pass(server, clock)
    found = let_a_night_pass(server, clock)
    assert (found["last"]["failed"], found["last"]["message"]) == (0, "")
    assert not path.exists()
    assert (server.data_dir / "backups" / "metrics" / f"{old}.db.zst").is_file()


@pytest.mark.feature("M6")
def test_metrics_go_on_as_long_history_with_a_retention_of_its_own(start: Start, clock: ManualClock) -> None:
    """A deleted day answers from its buckets; their month is named by a dry run, backed up, deleted."""
    server = start(
        metrics={"retention_days": 1, "retention_5m_days": 20, "retention_1h_days": 400},
        health={"host_checks": False},
    )
    old, began = day(clock), clock.now()
    path = server.data_dir / "metrics" / f"{old}.db"
    wait_until(path.is_file)
    let_a_night_pass(server, clock)
    let_a_night_pass(server, clock)
    assert not path.exists()
    fine, coarse = (server.data_dir / "metrics" / one / f"{old[:7]}.db" for one in ("5m", "1h"))
    assert fine.is_file()
    assert coarse.is_file()
    params = {"query": 'up{job="mamimon"}', "start": began - 3600, "end": began + 7200, "step": 3600}
    found = server.client.get("/api/v1/query_range", params=params).json()["data"]["result"]
    assert [float(value) for _, value in found[0]["values"]][:1] == [1.0]
    clock.jump(60 * 86_400)
    dry = mamimon(server.data_dir, "cleanup", "--dry-run").stdout
    assert f"metrics_5m {old[:7]}" in dry
    assert "metrics_1h" not in dry
    done = json.loads(mamimon(server.data_dir, "cleanup", "--json").stdout)
    assert ("metrics_5m", old[:7], "") in [(row["signal"], row["day"], row["error"]) for row in done]
    assert not fine.exists()
    assert coarse.is_file()
    assert (server.data_dir / "backups" / "metrics_5m" / f"{old[:7]}.db.zst").is_file()
    params |= {"start": began - 7200}
    assert server.client.get("/api/v1/query_range", params=params).json()["data"]["result"]


@pytest.mark.feature("R1")
@pytest.mark.parametrize("self_log", [True, False])
def test_old_logs_go_and_the_deletion_is_a_log_line(start: Start, clock: ManualClock, self_log: bool) -> None:
    """A day of log lines older than `logs.retention_days` goes; a line in the log store says so."""
    server = start(logs={"retention_days": 2}, server={"self_log": self_log}, **QUIET)
    old = day(clock)
    lines = '{"create":{"_index":"logs-mami-ai-2026.01.01"}}\n{"level":"INFO","message":"an old line"}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    assert server.client.post("/es/_bulk", content=lines, headers=headers).json()["errors"] is False
    path = server.data_dir / "logs" / f"{old}.db"
    assert path.is_file()
    for _ in range(3):
        found = let_a_night_pass(server, clock)
    assert ("logs", old) in {(row["signal"], row["day"]) for row in found["deletions"]}, found
    assert not path.exists()
    assert (server.data_dir / "backups" / "logs" / f"{old}.db.zst").is_file()

    def told() -> list[str]:
        clock.advance(1)
        query = {"q": f'logger:"mamimon.retention" AND message:"deleted logs of {old}"'}
        answer = server.client.get("/es/logs-*/_search", params=query).json()
        return [hit["_source"]["message"] for hit in answer["hits"]["hits"]]

    assert len(wait_until(told, what="the line about the deletion")) == 1
    gone = server.client.get("/es/logs-*/_count", params={"q": 'message:"an old line"'}).json()
    assert gone["count"] == 0
