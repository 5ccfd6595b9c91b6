"""Checks of real servers, killed and restarted, on a clock that the test moves."""

from __future__ import annotations

import logging
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.conftest import Running, absent, wait_until
from tests.health.conftest import Postgres, Redis, Web

Start = Callable[..., Running]


def watch(start: Start, *checks: CheckSettings, **more: Any) -> Running:
    return start(health={"checks": list(checks), "host_checks": False, **more})


def status(server: Running, name: str) -> dict[str, Any]:
    rows = server.client.get("/api/mamimon/checks").json()
    return next(row for row in rows if row["name"] == name)


def settled(server: Running, name: str, state: str) -> dict[str, Any]:
    return wait_until(
        lambda: (found := status(server, name))["state"] == state and found, 60, f"{name} {state}"
    )


def ran_again(server: Running, clock: ManualClock, name: str, seconds: float = 30.0) -> dict[str, Any]:
    """Let one interval pass and wait for its run."""
    runs = f'mamimon_check_runs_total{{kind="{status(server, name)["kind"]}",name="{name}"}}'

    def count() -> float:
        lines = [row for row in server.client.get("/metrics").text.splitlines() if row.startswith(runs)]
        return float(lines[0].split()[-1])

    before = count()
    sleepers = clock.sleepers
    clock.advance(seconds)
    wait_until(lambda: count() > before, 60, "another run")
    wait_until(lambda: clock.sleepers >= sleepers, 60, "rest")
    return status(server, name)


@pytest.mark.feature("H1")
@pytest.mark.peer("redis-server")
def test_redis_down_and_up_again(
    start: Start, clock: ManualClock, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A killed Redis is down after the forgiven failure, and up once it is back; each change is logged."""
    caplog.set_level(logging.INFO, "mamimon.health")
    server = watch(start, CheckSettings(name="cache", kind="redis", target=redis_server.url))
    assert settled(server, "cache", "up")["message"] == "PONG"
    redis_server.kill()
    first = ran_again(server, clock, "cache")
    assert (first["state"], "failure 1 of 2" in first["message"]) == ("up", True)
    down = ran_again(server, clock, "cache")
    assert (down["state"], down["since"]) == ("down", clock.now())
    assert 'mamimon_check_up{kind="redis",name="cache"} 0.0' in server.client.get("/metrics").text
    redis_server.start()
    assert ran_again(server, clock, "cache")["state"] == "up"
    assert 'mamimon_check_up{kind="redis",name="cache"} 1.0' in server.client.get("/metrics").text
    changes = [record.getMessage() for record in caplog.records if "check cache" in record.getMessage()]
    assert [line.split(" is ")[1].split(",")[0] for line in changes] == ["up", "down", "up"]


@pytest.mark.feature("H1")
@pytest.mark.peer("redis-server")
def test_redis_password(start: Start, tmp_path: Path, redis_server: Redis) -> None:
    """A Redis that asks for a password is up with the right one, and a wrong one is shown nowhere."""
    redis_server.kill()
    locked = Redis(tmp_path, "s3cret")
    locked.start()
    try:
        wrong = locked.url.replace("s3cret", "wr0ng")
        server = watch(
            start,
            CheckSettings(name="right", kind="redis", target=locked.url),
            CheckSettings(name="wrong", kind="redis", target=wrong, retries=0),
        )
        settled(server, "right", "up")
        assert "WRONGPASS" in settled(server, "wrong", "down")["message"]
        for path in ("/checks", "/api/mamimon/checks", "/metrics", "/status"):
            text = server.client.get(path).text
            assert "s3cret" not in text
            assert "wr0ng" not in text
    finally:
        locked.kill()


@pytest.mark.feature("H1")
@pytest.mark.peer("postgresql")
def test_postgres_down_and_up_again(start: Start, clock: ManualClock, postgres_server: Postgres) -> None:
    """A stopped PostgreSQL is down, a restarted one up, and its password is not shown."""
    check = CheckSettings(name="database", kind="postgres", target=postgres_server.url, retries=0)
    server = watch(start, check)
    assert settled(server, "database", "up")["message"].startswith("PostgreSQL ")
    postgres_server.kill()
    down = ran_again(server, clock, "database")
    assert down["state"] == "down"
    postgres_server.start()
    assert ran_again(server, clock, "database")["state"] == "up"
    assert "hunter2" not in server.client.get("/checks").text + server.client.get("/api/mamimon/checks").text


@pytest.mark.feature("H1")
def test_sqlite_file(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """A readable SQLite file is up; a file that is not a database, or is gone, is down."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE chat (id INTEGER)")
    server = watch(start, CheckSettings(name="db", kind="sqlite", target=str(path), retries=0))
    assert settled(server, "db", "up")["message"] == "1 tables"
    path.write_bytes(b"not a database at all" * 100)
    assert "not a database" in ran_again(server, clock, "db")["message"]
    path.unlink()
    gone = ran_again(server, clock, "db")
    assert (gone["state"], gone["message"]) == ("down", "there is no such file")


@pytest.mark.feature("H1")
def test_http_status_body_latency_and_redirects(start: Start, clock: ManualClock, web: Web) -> None:
    """An URL is judged by its status, its body, its latency, and a bounded number of redirects."""
    server = watch(
        start,
        CheckSettings(
            name="api", kind="http", target=web.url, retries=0, body="well", degraded_s=60.0, timeout_s=120.0
        ),
        # No answer comes in a microsecond, on however fast a machine.
        CheckSettings(name="crawl", kind="http", target=web.url, degraded_s=1e-6, timeout_s=120.0),
        CheckSettings(name="teapot", kind="http", target=web.url, retries=0, status=[418]),
        CheckSettings(name="loop", kind="http", target=f"{web.url}/loop", retries=0),
    )
    assert settled(server, "api", "up")["message"] == "HTTP 200"
    assert settled(server, "teapot", "down")["message"] == "HTTP 200 OK"
    assert "redirects" in settled(server, "loop", "down")["message"]
    assert "slower than" in settled(server, "crawl", "degraded")["message"]
    web.delay_s = 0.7
    slow = ran_again(server, clock, "api")
    assert (slow["state"], slow["latency_s"] > 0.5) == ("up", True)
    web.delay_s, web.status = 0.0, 503
    assert ran_again(server, clock, "api")["message"] == "HTTP 503 Service Unavailable"
    web.status, web.body = 200, b"nobody home"
    assert "the body lacks 'well'" in ran_again(server, clock, "api")["message"]
    web.body = b"well again"
    assert ran_again(server, clock, "api")["state"] == "up"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    sock = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                held.append(sock.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield sock.getsockname()[1]
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    for one in held:
        one.close()


@pytest.mark.feature("H1")
def test_a_silent_target_times_out(start: Start, silent_port: int) -> None:
    """A target that accepts and never answers is down after the timeout; a TCP check of it is up."""
    url = f"http://127.0.0.1:{silent_port}/"
    server = watch(
        start,
        CheckSettings(name="silent", kind="http", target=url, timeout_s=0.3, retries=0),
        CheckSettings(name="port", kind="tcp", target=f"127.0.0.1:{silent_port}", retries=0),
    )
    assert settled(server, "silent", "down")["message"] == "no answer within 0.3 s"
    settled(server, "port", "up")


@pytest.mark.feature("H1")
def test_disk_and_memory_need_no_setup(start: Start) -> None:
    """Disk and memory of this machine are watched from the first start; thresholds degrade or fail them."""
    server = start(
        health={
            "checks": [
                CheckSettings(name="full", kind="disk", target="/", retries=0, down_percent=0.001),
                CheckSettings(name="tight", kind="memory", degraded_percent=0.001, down_percent=100),
            ]
        }
    )
    assert (
        "free" in wait_until(lambda: status(server, "disk")["last_at"] and status(server, "disk"))["message"]
    )
    assert status(server, "memory")["target"] == ""
    settled(server, "full", "down")
    settled(server, "tight", "degraded")


@pytest.mark.feature("H4")
def test_a_sleeping_machine_is_unknown_not_down(start: Start, clock: ManualClock, web: Web) -> None:
    """After nine hours asleep the state is unknown, and the first failure after waking does not count."""
    server = watch(start, CheckSettings(name="api", kind="http", target=web.url, retries=0))
    settled(server, "api", "up")
    wait_until(lambda: clock.sleepers >= 2)
    slept_from = clock.now()
    web.status = 500
    clock.jump(9 * 3600)
    asleep = ran_again(server, clock, "api")
    assert (asleep["state"], asleep["since"]) == ("unknown", slept_from)
    assert "mamimon_check_up{" not in server.client.get("/metrics").text
    assert ran_again(server, clock, "api")["state"] == "down"
    web.status = 200
    assert ran_again(server, clock, "api")["state"] == "up"


@pytest.mark.feature("H4")
def test_what_could_not_be_stored_is_unknown(start: Start, clock: ManualClock, web: Web) -> None:
    """While another process locks our database, what is found is unknown and a ping is put off; then down."""
    check = CheckSettings(name="api", kind="http", target=web.url, retries=0)
    server = start(health={"checks": [check], "host_checks": False}, storage={"busy_timeout_s": 0.2})
    settled(server, "api", "up")
    job = server.client.post("/api/mamimon/heartbeats", json={"name": "backup"}).json()
    server.client.get(job["ping_url"])
    lock = sqlite3.connect(server.data_dir / "mamimon.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        web.status = 500
        lost = ran_again(server, clock, "api")
        assert (lost["state"], lost["found"]) == ("unknown", "down")
        assert "could not store" in lost["message"]
        assert 'mamimon_check_up{kind="http"' not in server.client.get("/metrics").text
        assert server.client.get(job["ping_url"]).status_code == 503
        assert status(server, "backup")["state"] == "unknown"
    finally:
        lock.close()
    assert ran_again(server, clock, "api")["state"] == "down"
    assert server.client.get(job["ping_url"]).status_code == 200
    assert status(server, "backup")["state"] == "up"


@pytest.mark.feature("H3")
def test_state_and_history_survive_a_restart(start: Start, clock: ManualClock, web: Web) -> None:
    """`since` survives a restart; the time that mamimon was stopped is unknown in the history."""
    check = CheckSettings(name="api", kind="http", target=web.url, retries=0)
    server = watch(start, check)
    since = settled(server, "api", "up")["since"]
    server.stop()
    clock.advance(20)
    again = watch(start, check)
    assert status(again, "api")["since"] == since
    again.stop()
    clock.advance(7200)
    third = watch(start, check)
    settled(third, "api", "up")
    assert status(third, "api")["since"] == clock.now()
    page = third.client.get("/checks").text
    assert '<path class="unknown"' in page
    assert "100 %" in page


@pytest.mark.feature("H3")
def test_pages_show_word_and_shape(start: Start, web: Web) -> None:
    """The checks page and the status page say each state in a word and a shape, in English and Turkish."""
    web.status = 500
    server = watch(
        start,
        CheckSettings(name="<b>api</b>", kind="http", target=web.url, retries=0),
        CheckSettings(name="port", kind="tcp", target=web.url.removeprefix("http://")),
    )
    settled(server, "<b>api</b>", "down")
    settled(server, "port", "up")
    page = server.client.get("/checks", headers={"Accept-Language": "en"}).text
    assert "▲ down" in page
    assert "● up" in page
    assert "&lt;b&gt;api" in page
    assert "<b>api</b><" not in page
    assert '<span class="n">1</span>' in page
    assert "1 part is down" in server.client.get("/status", headers={"Accept-Language": "en"}).text
    turkish = server.client.get("/status", headers={"Accept-Language": "tr"})
    assert "1 parça çalışmıyor" in turkish.text
    assert len(turkish.content) < 50_000


@pytest.mark.feature("H1")
def test_check_now(start: Start, web: Web) -> None:
    """A check runs at once when somebody asks; an unknown name is not found."""
    server = watch(start, CheckSettings(name="api", kind="http", target=web.url, retries=0))
    settled(server, "api", "up")
    web.status = 500
    assert server.client.post("/api/mamimon/checks/run", json={"name": "api"}).json()["state"] == "down"
    web.status = 200
    assert server.client.post("/checks/run", data={"name": "api"}).headers["location"] == "/checks"
    assert status(server, "api")["state"] == "up"
    assert server.client.post("/api/mamimon/checks/run", json={"name": "no"}).status_code == 404


def _certificate(folder: Path, days: int) -> ssl.SSLContext:
    """A self-signed certificate for 127.0.0.1 in `folder/cert.pem`, valid for `days` from now."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-days", str(days)]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    done = subprocess.run([*command, *names, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.feature("H1")
@pytest.mark.peer("openssl")
def test_certificates(start: Start, tmp_path: Path) -> None:
    """A certificate that expires soon is degraded, one with time is up, one nobody vouches for is down."""
    if shutil.which("openssl") is None:
        absent("openssl")
    web = Web(_certificate(tmp_path, 10))
    trusted = {"kind": "http", "target": web.url, "ca_file": str(tmp_path / "cert.pem"), "retries": 0}
    try:
        server = watch(
            start,
            CheckSettings(name="soon", **trusted),
            CheckSettings(name="later", certificate_days=5, **trusted),
            CheckSettings(name="foreign", kind="http", target=web.url, retries=0),
        )
        assert settled(server, "soon", "degraded")["message"] == "HTTP 200, certificate valid for 10 days"
        settled(server, "later", "up")
        assert "certificate" in settled(server, "foreign", "down")["message"].lower()
    finally:
        web.stop()
