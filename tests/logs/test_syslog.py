"""Syslog by UDP, TCP and TLS: `logger(1)`, rsyslog, Python's SysLogHandler, and messages that are wrong."""

from __future__ import annotations

import datetime as dt
import logging
import logging.handlers
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mamimon.logs.wire.syslog import Frames, document
from tests.conftest import absent, wait_until
from tests.logs.test_otlp import search

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "2000"))
NOW = dt.datetime(2026, 11, 24, 19, 0, tzinfo=dt.UTC).timestamp()
IST = ZoneInfo("Europe/Istanbul")


def ports(server: Any) -> dict[str, int]:
    found: dict[str, int] = server.server.house.rooms[1].listeners.ports
    return found


def arrived(server: Any, count: int, text: str = "", dataset: str = "syslog") -> list[dict[str, Any]]:
    """The lines of a dataset once there are `count` of them."""
    wait_until(
        lambda: len(search(server, text, dataset=dataset)) >= count, 10, f"the arrival of {count} lines"
    )
    lines = search(server, text, dataset=dataset)
    assert len(lines) == count
    return lines


def logger(server: Any, transport: str, *arguments: str) -> None:
    """Run util-linux' logger(1)."""
    if shutil.which("logger") is None:
        absent("logger(1)")
    port = ports(server)[f"syslog.{transport}"]
    how = "--udp" if transport == "udp" else "--tcp"
    command = ["logger", "--server", "127.0.0.1", "--port", str(port), how, *arguments]
    subprocess.run(command, check=True, timeout=10)


@pytest.fixture
def listening(start: Callable[..., Any]) -> Any:
    """A server with UDP and TCP listeners on free ports."""
    return start(syslog={"udp": "0", "tcp": "0"})


@pytest.mark.feature("L5")
@pytest.mark.parametrize(
    ("transport", "form"),
    [
        ("udp", "--rfc5424"), ("udp", "--rfc3164"), ("tcp", "--rfc5424"), ("tcp", "--rfc3164"),
        ("tcp", "--octet-count"),
    ],
)  # fmt: skip
def test_logger_delivers(listening: Any, transport: str, form: str) -> None:
    """logger(1) by UDP and TCP, both RFCs, lines and octet counting: level, program, pid and text arrive."""
    listening.server.clock.advance(60)
    logger(listening, transport, form, "-p", "auth.warning", "-t", "door", "--id=4242", "açık kapı: 3 deneme")
    line = arrived(listening, 1)[0]
    assert line["message"] == "açık kapı: 3 deneme"
    assert (line["level"], line["facility"], line["service"], line["pid"]) == (
        "WARNING",
        "auth",
        "door",
        4242,
    )
    assert line["host"] == socket.gethostname().partition(".")[0] or line["host"] == socket.gethostname()
    assert line["source_ip"] == "127.0.0.1"
    assert "syslog_error" not in line
    if form != "--rfc3164":
        assert line["structured_data"]["timeQuality"]["tzKnown"] == "1"
    when = dt.datetime.fromisoformat(line["@timestamp"]).timestamp()
    assert abs(when - time.time()) < 60


@pytest.mark.feature("L5")
def test_structured_data_becomes_fields(listening: Any) -> None:
    """SD-ELEMENTs can be searched by id and name, escapes undone."""
    logger(
        listening, "udp", "--rfc5424=notq", "--msgid", "TX1", "--sd-id", "origin@32473",
        "--sd-param", 'ip="10.0.0.7"', "--sd-param", 'quote="a \\"b\\" \\]"', "moved",
    )  # fmt: skip
    line = arrived(listening, 1)[0]
    assert line["msgid"] == "TX1"
    assert line["structured_data"] == {"origin@32473": {"ip": "10.0.0.7", "quote": 'a "b" ]'}}
    assert search(listening, 'structured_data.origin@32473.ip:"10.0.0.7"') == [line]


@pytest.mark.feature("L5")
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_pythons_handler_delivers(listening: Any, kind: Any) -> None:
    """logging's SysLogHandler, which ends messages by NUL, with and without a program's name."""
    port = ports(listening)["syslog.udp" if kind == socket.SOCK_DGRAM else "syslog.tcp"]
    handler = logging.handlers.SysLogHandler(
        ("127.0.0.1", port), facility=logging.handlers.SysLogHandler.LOG_LOCAL3, socktype=kind
    )
    log = logging.getLogger(f"syslogged.{kind}")
    log.propagate = False
    log.addHandler(handler)
    log.error("disk 93 %% full")
    handler.ident = "myapp: "
    log.warning('{"msg": "paid", "amount": 7}')
    handler.close()
    log.removeHandler(handler)
    error, warning = sorted(arrived(listening, 2), key=lambda line: str(line["level"]))
    assert (error["level"], error["facility"], error["message"]) == ("ERROR", "local3", "disk 93 %% full")
    assert (warning["service"], warning["message"], warning["amount"]) == ("myapp", "paid", 7)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    if shutil.which("openssl") is None:
        absent("openssl")
    path = tmp_path / "tls.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout", str(path), "-out", str(tmp_path / "cert.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Start rsyslog with an action; returns the file that it reads lines from."""
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    if not Path(program).exists():
        absent("rsyslog")
    running: list[subprocess.Popen[bytes]] = []

    def run(action: str) -> Path:
        source = tmp_path / "in.log"
        source.touch()
        config = tmp_path / "rsyslog.conf"
        config.write_text(
            f'global(workDirectory="{tmp_path}")\n'
            'module(load="imfile" mode="polling" pollingInterval="1")\n'
            f'input(type="imfile" file="{source}" tag="shop:" severity="err" facility="local1")\n{action}\n'
        )
        command = [program, "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        return source

    yield run
    for one in running:
        one.terminate()
        one.wait(10)


@pytest.mark.feature("L5")
@pytest.mark.parametrize("how", ["udp", "tcp", "tls", "octets"])
def test_rsyslog_forwards(
    start: Callable[..., Any], rsyslog: Callable[[str], Path], certificate: Path, how: str
) -> None:
    """rsyslog's omfwd by UDP, TCP, TLS and with octet counting delivers every line in order."""
    wanted = {"udp": "0", "tcp": "0", "tls": "0", "tls_certificate": str(certificate)}
    server = start(syslog=wanted)
    server.server.clock.advance(60)
    port = ports(server)[f"syslog.{'tcp' if how == 'octets' else how}"]
    extra = {
        "octets": 'TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"',
        "tls": 'StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="anon"',
    }.get(how, "")
    files = (
        f'global(defaultNetstreamDriverCAFile="{certificate.parent / "cert.pem"}")\n' if how == "tls" else ""
    )
    protocol = "udp" if how == "udp" else "tcp"
    source = rsyslog(
        f'{files}action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{protocol}" {extra})'
    )
    sent = [f"order {i} şüpheli" for i in range(20)]
    source.write_text("".join(f"{text}\n" for text in sent))
    lines = arrived(server, 20, "service:shop")
    assert [line["message"] for line in lines] == sent
    assert {line["level"] for line in lines} == {"ERROR"}
    assert {line["facility"] for line in lines} == {"local1"}
    assert {line["host"] for line in lines} == {socket.gethostname()}


@pytest.mark.feature("L5")
def test_tls_clients_can_be_asked_for_a_certificate(start: Callable[..., Any], certificate: Path) -> None:
    """With tls_client_ca only a sender with a certificate of that authority gets a line in."""
    server = start(
        syslog={"tls": "0", "tls_certificate": str(certificate), "tls_client_ca": str(certificate)}
    )
    port = ports(server)["syslog.tls"]
    for known in (False, True):
        context = ssl.create_default_context(cafile=str(certificate))
        if known:
            context.load_cert_chain(certificate)
        try:
            with (
                socket.create_connection(("127.0.0.1", port)) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as sock,
            ):
                sock.sendall(b"<14>%s\n" % (b"known" if known else b"unknown"))
                sock.unwrap()
        except (ssl.SSLError, OSError):
            assert not known
    assert arrived(server, 1)[0]["message"] == "known"


@pytest.mark.feature("L5")
def test_what_cannot_be_used_is_said_at_the_start(start: Callable[..., Any], tmp_path: Path) -> None:
    """A wrong address, network, zone or certificate refuses the start with the setting's name."""
    for settings, reason in (
        ({"udp": "x:y"}, "syslog.udp: 'x:y' is no port"),
        ({"tcp": "0", "allow": ["10.0.0.0/99"]}, "syslog.allow"),
        ({"udp": "0", "time_zone": "Mars/Olympus"}, "syslog.time_zone: unknown time zone"),
        ({"tls": "0"}, "syslog.tls needs syslog.tls_certificate"),
        ({"tls": "0", "tls_certificate": str(tmp_path / "none")}, "syslog.tls: the certificate"),
    ):
        with pytest.raises(Exception, match=reason.replace(".", r"\.")):
            start(syslog=settings)


@pytest.mark.feature("L5")
def test_only_allowed_networks_may_send(start: Callable[..., Any]) -> None:
    """A sender outside syslog.allow is counted and dropped, by UDP and TCP alike."""
    server = start(syslog={"udp": "0", "tcp": "0", "allow": ["192.0.2.0/24"]})
    logger(server, "udp", "no")
    with socket.create_connection(("127.0.0.1", ports(server)["syslog.tcp"])) as sock:
        sock.settimeout(5)
        assert sock.recv(1) == b""
    metrics = wait_until(
        lambda: (text := server.client.get("/metrics").text).count('reason="not allowed"') == 2 and text
    )
    assert (
        'mamimon_log_messages_dropped_total{door="syslog",reason="not allowed",transport="udp"} 1.0'
        in metrics
    )
    assert search(server, dataset="syslog") == []


@pytest.mark.feature("L5")
def test_nothing_is_lost_that_is_not_syslog(listening: Any) -> None:
    """Datagrams without a priority, of another encoding or from another age become flagged lines."""
    sent = [
        b"just text", b"<999>x", b"<14>1 2026-13-45T00:00:00Z h a - - - bad time",
        b"<14>1 2001-01-01T00:00:00Z h a - - - old", b"<14>1 - h a - - [broken text", b"<14>caf\xe9",
        b"<14>Feb 30 10:00:00 h tag: never", b"<>", b"<14>" + b"x" * 60_000,
    ]  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in sent:
            sock.sendto(data, ("127.0.0.1", ports(listening)["syslog.udp"]))
    lines = {line["message"][:20]: line for line in arrived(listening, len(sent))}
    assert lines["just text"]["syslog_error"] == "no priority"
    assert lines["<999>x"]["syslog_error"] == "no priority"
    assert lines["bad time"]["time_as_sent"] == "2026-13-45T00:00:00Z"
    assert "older than the 90 days" in lines["old"]["syslog_error"]
    assert lines["old"]["time_as_sent"] == "2001-01-01T00:00:00Z"
    assert lines["[broken text"]["syslog_error"] == "the structured data cannot be read"
    assert (lines["café"]["level"], lines["café"]["syslog_error"]) == ("INFO", "not UTF-8")
    assert lines["never"]["syslog_error"] == "the time cannot be read"
    assert len(lines["x" * 20]["message"]) == 60_000


@pytest.mark.feature("L5")
def test_streams_are_cut_into_messages_however_they_arrive(listening: Any) -> None:
    """Lines, counted messages with newlines inside, overlong ones, a last one without an end; in pieces."""
    stream = (
        b"<14>one\n" + b"12 <14>t\nw\no\n!!" + b"<14>three\r\n" + b"42 plain beginning with a number\n"
        + b"7\n" + b"70005 <14>" + b"y" * 70_001 + b"<14>four\n" + b"<14>" + b"z" * 70_000 + b"\n"
        + b"\n\n" + b"<14>last"
    )  # fmt: skip
    dice = random.Random(1)
    with socket.create_connection(("127.0.0.1", ports(listening)["syslog.tcp"])) as sock:
        at = 0
        while at < len(stream):
            step = dice.choice((1, 3, 50, 40_000))
            sock.sendall(stream[at : at + step])
            at += step
    lines = [line["message"] for line in arrived(listening, 9)]
    assert sorted(line[:5] for line in lines) == sorted(
        ["one", "t\nw\no", "three", "42 pl", "7", "yyyyy", "four", "zzzzz", "last"]
    )
    assert max(len(line) for line in lines) <= 65_536
    assert 'reason="cut",transport="tcp"} 2.0' in listening.client.get("/metrics").text


@pytest.mark.feature("L5")
def test_a_full_store_holds_streams_back_and_counts_lost_datagrams(listening: Any) -> None:
    """While the store is full TCP waits and loses nothing; when the queue is full datagrams are counted."""
    room = listening.server.house.rooms[1]
    room.ingest._rows = 10**9
    with socket.create_connection(("127.0.0.1", ports(listening)["syslog.tcp"])) as sock:
        sock.sendall(b"".join(b"<14>held %d\n" % i for i in range(500)))
    door = room.listeners._datagrams[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for i in range(2000):
            sock.sendto(b"<14>" + b"%d" % i * 10_000, ("127.0.0.1", ports(listening)["syslog.udp"]))
            if i % 50 == 0:
                time.sleep(0.005)
    assert door._bytes <= 32 * 1024 * 1024
    assert search(listening, dataset="syslog") == []
    room.ingest._rows = 0
    wait_until(
        lambda: listening.server.clock.advance(1) or len(search(listening, "held", dataset="syslog")) == 500,
        what="the held lines",
    )

    def counted() -> float:
        lines = listening.client.get("/metrics").text.splitlines()
        ours = [x for x in lines if x.startswith("mamimon_log_messages_") and 'transport="udp"' in x]
        return sum(float(x.rpartition(" ")[2]) for x in ours)

    wait_until(lambda: counted() == 2000, what="2,000 datagrams, stored or counted as dropped")


TIMES = [
    ("<13>Nov 24 21:59:58 web sshd[77]: hello", "2026-11-24T18:59:58.000Z", "web", "sshd", "hello"),
    ("<13>Nov  4 21:59:58 web sshd: hello", "2026-11-04T18:59:58.000Z", "web", "sshd", "hello"),
    ("<13>Dec 31 23:59:59 web sshd: last year", "2025-12-31T20:59:59.000Z", "web", "sshd", "last year"),
    ("<13>Nov 25 12:00:00 web sshd: ahead", "2026-11-25T09:00:00.000Z", "web", "sshd", "ahead"),
    ("<13>Feb 29 10:00:00 web sshd: leap", "2024-02-29T07:00:00.000Z", "web", "sshd", "leap"),
    ("<13>Nov 24 2025 10:00:00.123: %SYS-5-CONFIG: done", "2025-11-24T07:00:00.123Z", None, "%SYS-5-CONFIG",
     "done"),
    ("<189>34: *Nov 24 10:00:00.5 UTC: %LINK-3: up", "2026-11-24T07:00:00.500Z", None, "%LINK-3", "up"),
    ("<13>2026-11-24T10:00:00.123456+03:00 web app[1]: iso", "2026-11-24T10:00:00.123456+03:00", "web", "app",
     "iso"),
    ("<13>2026-11-24 10:00:00 web app: local iso", "2026-11-24T07:00:00.000Z", "web", "app", "local iso"),
    ("<13>Nov 24 10:00:00 10.1.2.3 free text", "2026-11-24T07:00:00.000Z", "10.1.2.3", None, "free text"),
    ("<13>Nov 24 10:00:00 su: no host", "2026-11-24T07:00:00.000Z", None, "su", "no host"),
    ("<13>plain text", None, None, None, "plain text"),
    ("<13>error: it broke", None, None, None, "error: it broke"),
    ("<13>1 2026-11-24T10:00:00.1+03:00 h a 7 ID - \ufeffm", "2026-11-24T10:00:00.1+03:00", "h", "a", "m"),
    ("<13>1 - - - - - -", None, None, None, ""),
    ("<13>1 - - - - - - ", None, None, None, ""),
]  # fmt: skip


@pytest.mark.feature("L5")
@pytest.mark.parametrize(("text", "when", "host", "service", "message"), TIMES)
def test_times_and_names_are_told(
    text: str, when: str | None, host: str | None, service: str | None, message: str
) -> None:
    """A date without a year is the latest that is not ahead, in the zone set; host and tag are found."""
    found = document(text.encode(), NOW, IST)
    assert (found.get("@timestamp"), found.get("host"), found.get("service"), found["message"]) == (
        when, host, service, message,
    )  # fmt: skip
    assert "syslog_error" not in found


@pytest.mark.feature("L5")
def test_the_hour_that_comes_twice_is_the_nearer_one() -> None:
    """When summer time ends, 02:30 is told by what time it is now."""
    berlin = ZoneInfo("Europe/Berlin")
    for now, when in (("2026-10-25T00:31:00Z", "00:30:00"), ("2026-10-25T01:31:00Z", "01:30:00")):
        at = dt.datetime.fromisoformat(now).timestamp()
        found = document(b"<13>Oct 25 02:30:00 h t: m", at, berlin)
        assert found["@timestamp"] == f"2026-10-25T{when}.000Z"


@pytest.mark.feature("L5")
def test_fuzzed_messages_and_streams_never_raise() -> None:
    """Random messages always make a document, and random streams lose no octet but separators."""
    dice = random.Random(7)
    seeds = [text.encode() for text, *_ in TIMES] + [b'<34>1 - h a - i [x a="b" c="d\\]"][y] text']
    for _ in range(FUZZ):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(0, 5)):
            at = dice.randrange(len(data) + 1)
            data[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 4))
        assert isinstance(document(bytes(data), NOW, dice.choice((None, IST)))["message"], str)
        frames = Frames(480)
        stream = b"\n".join(dice.choice(seeds) for _ in range(3)) + bytes(data)
        out, at = [], 0
        while at < len(stream):
            step = dice.randint(1, 40)
            out += frames.feed(stream[at : at + step])
            at += step
        out += frames.flush()
        assert out
        assert sys.getsizeof(frames._rest) < 2000
