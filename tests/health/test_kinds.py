"""The other kinds of checks, each of something real."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.conftest import Running, absent, wait_until
from tests.health.conftest import MariaDb, Web, free_port
from tests.health.test_checks import ran_again, settled, status, watch

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("H1")


def sample(server: Running, name: str, check: str) -> float | None:
    """The value of one of a check's metrics."""
    lines = server.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and f'name="{check}"' in line]
    return float(found[0].split()[-1]) if found else None


@pytest.mark.peer("mariadb-server")
def test_mariadb_down_and_up_again(start: Start, clock: ManualClock, mariadb_server: MariaDb) -> None:
    """A killed MariaDB is down, a restarted one up, a wrong password is refused and shown nowhere."""
    server = watch(
        start,
        CheckSettings(name="db", kind="mysql", target=mariadb_server.url, retries=0),
        CheckSettings(
            name="wrong", kind="mysql", target=mariadb_server.url.replace("hunter2", "hunter3"), retries=0
        ),
    )
    assert "MariaDB" in settled(server, "db", "up")["message"]
    assert "Access denied for user 'app'" in settled(server, "wrong", "down")["message"]
    mariadb_server.kill()
    assert ran_again(server, clock, "db")["state"] == "down"
    mariadb_server.start()
    assert ran_again(server, clock, "db")["state"] == "up"
    shown = server.client.get("/checks").text + server.client.get("/api/mamimon/checks").text
    assert "hunter2" not in shown
    assert "hunter3" not in shown


def test_json_conditions_and_blackbox_metrics(start: Start, clock: ManualClock, web: Web) -> None:
    """A JSON answer is judged by its values; a run's figures have the blackbox exporter's names."""
    web.body = b'{"status": "ok", "queue": {"length": 3}, "nodes": [{"id": 7}]}'
    conditions = ['status == "ok"', "queue.length < 100", "$.nodes[0].id"]
    server = watch(
        start,
        CheckSettings(name="api", kind="http", target=web.url, retries=0, json=conditions, body_not="panic"),
    )
    settled(server, "api", "up")
    assert sample(server, "probe_success", "api") == 1
    assert sample(server, "probe_http_status_code", "api") == 200
    assert sample(server, "probe_failed_due_to_regex", "api") == 0
    assert (sample(server, "probe_duration_seconds", "api") or 0) > 0
    for body, words in (
        (b'{"status": "ok", "queue": {"length": 250}, "nodes": [{"id": 7}]}', "it is 250"),
        (b'{"status": "ok", "queue": {"length": "x"}, "nodes": [{"id": 7}]}', 'it is "x"'),
        (b'{"status": "ok", "queue": {"length": 3}, "nodes": []}', "it is —"),
        (b"<html>", "the body is not JSON"),
        (b'{"status": "ok", "queue": {"length": 3}, "nodes": [{"id": "panic"}]}', "the body has 'panic'"),
    ):
        web.body = body
        row = ran_again(server, clock, "api")
        assert row["state"] == "down", body
        assert words in row["message"]
    assert sample(server, "probe_success", "api") == 0
    assert sample(server, "probe_failed_due_to_regex", "api") == 1
    web.status = 500
    ran_again(server, clock, "api")
    assert sample(server, "probe_http_status_code", "api") == 500


def certificate(folder: Path, *arguments: str) -> ssl.SSLContext:
    """A server's context with a self-signed certificate made by openssl."""
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    done = subprocess.run([*command, *files, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def expired(folder: Path) -> ssl.SSLContext:
    """A certificate that was valid in 2020 only: `openssl ca` takes both dates, `req` does not."""
    certificate(folder, "-addext", "subjectAltName=IP:127.0.0.1")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "index").write_text("")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
        "policy=any\ndefault_md=sha256\nunique_subject=no\n[any]\ncommonName=supplied\n"
    )
    request = ["openssl", "req", "-new", "-key", str(folder / "key.pem"), "-subj", "/CN=old"]
    subprocess.run([*request, "-out", str(folder / "old.csr")], check=True, capture_output=True)
    sign = ["openssl", "ca", "-batch", "-notext", "-config", str(folder / "ca.cnf"), "-selfsign"]
    keys = ["-keyfile", str(folder / "key.pem"), "-extfile", str(folder / "ext")]
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]
    files = ["-in", str(folder / "old.csr"), "-out", str(folder / "cert.pem")]
    done = subprocess.run([*sign, *keys, *dates, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.peer("openssl")
def test_tls_and_its_certificates(start: Start, tmp_path: Path) -> None:
    """A valid certificate is up with the day it ends, one that ends soon degraded; expired, for another
    name or of nobody known is down and says so."""
    if shutil.which("openssl") is None:
        absent("openssl")
    webs: dict[str, Web] = {}
    for name in ("good", "name", "old"):
        (tmp_path / name).mkdir()
    webs["good"] = Web(
        certificate(tmp_path / "good", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "90")
    )
    webs["name"] = Web(certificate(tmp_path / "name", "-addext", "subjectAltName=DNS:other.example"))
    webs["old"] = Web(expired(tmp_path / "old"))
    try:
        checks = [
            CheckSettings(
                name=name,
                kind="tls",
                target=one.url.removeprefix("https://"),
                ca_file=str(tmp_path / name / "cert.pem"),
                retries=0,
            )
            for name, one in webs.items()
        ]
        target = webs["good"].url.removeprefix("https://")
        checks.append(CheckSettings(name="foreign", kind="tls", target=target, retries=0))
        checks.append(
            CheckSettings(
                name="soon",
                kind="tls",
                target=target,
                retries=0,
                certificate_days=100,
                ca_file=str(tmp_path / "good" / "cert.pem"),
            )
        )
        server = watch(start, *checks)
        assert "certificate valid for 90 days" in settled(server, "good", "up")["message"]
        assert "TLSv1" in status(server, "good")["message"]
        expiry = sample(server, "probe_ssl_earliest_cert_expiry", "good")
        assert expiry is not None
        assert abs(expiry - time.time() - 90 * 86_400) < 3600
        settled(server, "soon", "degraded")
        words = "the certificate is not valid: certificate has expired"
        assert settled(server, "old", "down")["message"] == words
        assert "127.0.0.1" in settled(server, "name", "down")["message"]
        assert "self-signed certificate" in settled(server, "foreign", "down")["message"]
    finally:
        for one in webs.values():
            one.stop()


@pytest.fixture
def names() -> Iterator[tuple[str, dict[tuple[str, str], list[str]]]]:
    """A DNS server on loopback and what it answers, by name and type."""
    known: dict[tuple[str, str], list[str]] = {}
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            raw, peer = sock.recvfrom(4096)
            if raw == b"stop":
                return
            asked = dns.message.from_wire(raw)
            question = asked.question[0]
            kind = dns.rdatatype.to_text(question.rdtype)
            answer = dns.message.make_response(asked)
            rows = known.get((question.name.to_text(), kind))
            if rows:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *rows))
            elif not any(name == question.name.to_text() for name, _ in known):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            sock.sendto(answer.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{sock.getsockname()[1]}", known
    sock.sendto(b"stop", sock.getsockname())
    thread.join(5)
    sock.close()


def test_dns_records_of_a_server(
    start: Start, clock: ManualClock, names: tuple[str, dict[tuple[str, str], list[str]]]
) -> None:
    """Records come from the server asked; one that is missing, other, or of no such name is down."""
    server_address, known = names
    known["mail.example.", "MX"] = ["10 mx1.example.", "20 mx2.example."]
    known["mail.example.", "TXT"] = ['"v=spf1 -all"']
    asked: dict[str, Any] = {"kind": "dns", "server": server_address, "retries": 0}
    server = watch(
        start,
        CheckSettings(name="mx", target="mail.example", record="MX", expect=["10 MX1.example"], **asked),
        CheckSettings(name="txt", target="mail.example", record="TXT", expect=["v=spf1 -all"], **asked),
        CheckSettings(name="gone", target="no.example", record="A", **asked),
        CheckSettings(name="local", kind="dns", target="localhost", retries=0),
    )
    assert settled(server, "mx", "up")["message"] == "10 mx1.example., 20 mx2.example."
    settled(server, "txt", "up")
    settled(server, "local", "up")
    assert "does not exist" in settled(server, "gone", "down")["message"]
    assert sample(server, "probe_dns_answer_rrs", "mx") == 2
    known["mail.example.", "MX"] = ["10 elsewhere.example."]
    row = ran_again(server, clock, "mx")
    assert row["state"] == "down"
    assert "10 MX1.example is not among the answers" in row["message"]


def test_ping(start: Start) -> None:
    """Loopback answers an ICMP echo; where ICMP is not allowed at all the check is unknown and says why."""
    server = watch(start, CheckSettings(name="here", kind="ping", target="127.0.0.1", retries=0))
    row = settled(server, "here", "up")
    assert row["message"].startswith("127.0.0.1 answered after ")
    assert sample(server, "probe_ip_protocol", "here") == 4
    assert 0 < (sample(server, "probe_icmp_rtt_seconds", "here") or 0) < 60


def test_processes(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """As many processes as expected are up, fewer down."""
    path = tmp_path / f"worker-of-test-{os.getpid()}"
    path.write_text("#!/bin/sh\nsleep 600\n")
    path.chmod(0o755)
    running = [subprocess.Popen([str(path)], start_new_session=True) for _ in range(2)]
    try:
        server = watch(
            start, CheckSettings(name="worker", kind="process", target=path.name, at_least=2, retries=0)
        )
        assert settled(server, "worker", "up")["message"] == "2 running"
        subprocess.run(["kill", "-9", "--", f"-{running[0].pid}"], check=True)
        running[0].wait(10)
        row = ran_again(server, clock, "worker")
        assert (row["state"], row["message"]) == ("down", "1 running, at least 2 expected")
    finally:
        for one in running:
            if one.poll() is None:
                subprocess.run(["kill", "-9", "--", f"-{one.pid}"], check=True)
                one.wait(10)


SYSTEMCTL = """#!/bin/sh
# What systemctl 252 prints, recorded from a machine with systemd; none runs in a container.
case "$*" in
  *list-units*) cat "$0.failed";;
  *"-- web.service") printf 'Result=success\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n';;
  *"-- job.service") printf 'Result=exit-code\\nLoadState=loaded\\nActiveState=failed\\nSubState=failed\\n';;
  *) printf 'Result=success\\nLoadState=not-found\\nActiveState=inactive\\nSubState=dead\\n';;
esac
"""


def test_systemd_units(
    start: Start, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An active unit is up, a failed or missing one down, any failed unit degrades the machine; without a
    running systemd the check is unknown."""
    server = watch(start, CheckSettings(name="real", kind="systemd", retries=0))
    if not Path("/run/systemd/system").is_dir():
        row = settled(server, "real", "unknown")
        assert "systemd" in row["message"]
    server.stop()
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    failed = program.with_name("systemctl.failed")
    failed.write_text("")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    server = watch(
        start,
        CheckSettings(name="web", kind="systemd", target="web.service", retries=0),
        CheckSettings(name="job", kind="systemd", target="job.service", retries=0),
        CheckSettings(name="none", kind="systemd", target="none.service", retries=0),
        CheckSettings(name="all", kind="systemd", retries=0),
    )
    assert settled(server, "web", "up")["message"] == "active (running)"
    assert settled(server, "job", "down")["message"] == "failed (failed), exit-code"
    assert settled(server, "none", "down")["message"] == "there is no unit none.service"
    settled(server, "all", "up")
    failed.write_text("job.service loaded failed failed A job\n")
    row = ran_again(server, clock, "all")
    assert (row["state"], row["message"]) == ("degraded", "failed units: job.service")
    assert sample(server, "mamimon_systemd_failed_units", "all") == 1


def test_host_checks_need_no_setup(start: Start) -> None:
    """From the first start on this machine's disk, files, memory, swap, load and clock are watched."""
    server = start()
    expected = {"disk", "memory", "inodes", "swap", "load", "clock"}
    for name in expected:
        row = settled_somehow(server, name)
        assert row["message"], name
    assert "files" in status(server, "inodes")["message"]
    assert "cores" in status(server, "load")["message"]
    page = server.client.get("/status").text
    assert ">disk<" in page
    assert ">swap<" not in page


def settled_somehow(server: Running, name: str) -> dict[str, Any]:
    return dict(
        wait_until(
            lambda: (row := status(server, name))["last_at"] is not None and row, 30, f"a run of {name}"
        )
    )


class TimeServer:
    """An SNTP server whose clock is `ahead_s` ahead."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            raw, peer = self.sock.recvfrom(512)
            if raw == b"stop":
                self.sock.close()
                return
            now = time.time() + self.ahead_s + 2_208_988_800
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            self.sock.sendto(b"\x24\x01\x00\xe9" + bytes(20) + raw[40:48] + stamp + stamp, peer)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sock.getsockname()[1]}"

    def stop(self) -> None:
        self.sock.sendto(b"stop", self.sock.getsockname())


def test_a_clock_that_drifts(start: Start, clock: ManualClock) -> None:
    """A minute off a time server is degraded, twenty minutes are down; a busy machine is a second off."""
    times = TimeServer(0.0)
    try:
        check = CheckSettings(name="time", kind="clock", target=times.address, retries=0, drift_s=15.0)
        server = watch(start, check)
        settled(server, "time", "up")
        times.ahead_s = 60.0
        assert ran_again(server, clock, "time")["state"] == "degraded"
        assert 45 < (sample(server, "mamimon_clock_offset_seconds", "time") or 0) < 75
        times.ahead_s = -1200.0
        assert ran_again(server, clock, "time")["state"] == "down"
    finally:
        times.stop()


def test_a_disk_says_when_it_will_be_full(start: Start, clock: ManualClock, tmp_path: Path) -> None:
    """A disk that lost 4 of 64 MiB an hour says "full in 13 hours" and is degraded by that alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        absent("the right to mount a small file system")
    try:
        server = watch(start, CheckSettings(name="data", kind="disk", target=str(disk), retries=0))
        settled(server, "data", "up")
        for turn in range(12):
            (disk / f"part{turn}").write_bytes(bytes(1 << 20))
            row = ran_again(server, clock, "data", 900)
        assert (row["state"], row["message"]) == (
            "degraded",
            "19 % used, 0.1 GiB free, full in 13 hours",
        )
        assert sample(server, "mamimon_disk_full_in_seconds", "data") == pytest.approx(13 * 3600, rel=0.01)
        page = server.client.get("/checks", headers={"Accept-Language": "tr"}).text
        assert "13 saatte dolacak" in page
        assert "%19 dolu" in page
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_a_check_said_is_translated_also_after_a_restart(start: Start, web: Web) -> None:
    """The sentence is stored with its values and shown in the reader's language; the API has both."""
    web.body = b"empty"
    check = CheckSettings(name="api", kind="http", target=web.url, retries=0, body="full", interval_s=3600)
    server = watch(start, check)
    row = settled(server, "api", "down")
    assert row["said"] == {
        "text": "HTTP %(status)s, but the body lacks %(part)s",
        "values": {"status": "200", "part": "'full'"},
        "more": [],
    }
    for again in (False, True):
        if again:
            server.stop()
            server = start(health={"checks": [check], "host_checks": False})
        shown = {
            language: server.client.get("/checks", headers={"Accept-Language": language}).text
            for language in ("en", "tr")
        }
        assert "HTTP 200, but the body lacks &#39;full&#39;" in shown["en"]
        assert "HTTP 200, ama gövdede &#39;full&#39; yok" in shown["tr"]


def test_why_nothing_answers_is_told(start: Start) -> None:
    """A port that nobody listens on and a name that does not exist are told apart, in plain words."""
    port = free_port()
    server = watch(
        start,
        CheckSettings(name="port", kind="http", target=f"http://127.0.0.1:{port}/", retries=0),
        CheckSettings(name="name", kind="http", target="http://no-such-host.invalid/", retries=0),
    )
    assert settled(server, "port", "down")["message"] == f"connection refused by 127.0.0.1:{port}"
    row = settled(server, "name", "down")
    assert "known" in row["message"] or "name resolution" in row["message"], row


@pytest.mark.parametrize(
    "condition",
    ["status = ok", "status == ok", "", "a b", "queue.length <"],
    ids=lambda text: text or "empty",
)
def test_a_json_condition_that_cannot_be_is_refused(condition: str) -> None:
    """A condition without meaning stops the start instead of never being met."""
    with pytest.raises(ValueError, match="json"):
        CheckSettings(name="api", kind="http", target="http://localhost", json=[condition])
