"""`mamimon logs ingest`, run as people run it: formats, stack traces, rotation, compression, pipes."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mamimon.cli.recognise.formats import Reader
from mamimon.cli.recognise.join import Joiner
from tests.conftest import ROOT, wait_until
from tests.logs.test_otlp import FOREVER, search

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "2000"))


def command(server: Any, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "mamimon", "logs", "ingest", "--url", server.url, *arguments]


def ingest(server: Any, *arguments: str, stdin: bytes = b"", code: int = 0) -> str:
    """Run the command to its end; returns what it says on stderr."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(server, *arguments), input=stdin, capture_output=True, timeout=60, env=env)
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout == b""
    return done.stderr.decode()


def documents(path: Path | None, *arguments: str, stdin: bytes = b"") -> list[dict[str, Any]]:
    """The documents that --print shows for a file."""
    names = [str(path)] if path else ["-"]
    program = [sys.executable, "-m", "mamimon", "logs", "ingest", "--print", "--time-zone", "UTC"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*program, *arguments, *names], input=stdin, capture_output=True, timeout=60, env=env, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command and leave it running."""
    made: list[subprocess.Popen[bytes]] = []

    def run(server: Any, *arguments: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        one = subprocess.Popen(
            command(server, *arguments), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        made.append(one)
        return one

    yield run
    for one in made:
        if one.poll() is None:
            one.kill()
        one.wait(10)


def messages(server: Any, dataset: str) -> list[str]:
    return [line["message"] for line in search(server, dataset=dataset)]


# The first record's time in UTC, and what its document holds.
KNOWN = {
    "access_log.0": ("2009-07-20T22:59:26.000Z", {"status": 200, "client_ip": "192.168.202.254"}),
    "regexp_access_log.0": ("2023-07-26T07:01:26.000Z", {"status": 200, "rest": "116075"}),
    "bunyan.0": ("2023-03-24T14:26:16.243Z", {"level": "DEBUG", "logger": "renovate"}),
    "caddy_log.0": ("2025-10-21T04:10:22.315276Z", {"level": "INFO", "service": "caddy"}),
    "crlf.0": ("2012-07-02T10:22:40.672Z", {"level": "DEBUG", "message": "DEBUG:foo bar baz"}),
    "docker_compose_with_ts.0": ("2024-04-25T05:32:35.584725Z", {"service": "web-1"}),
    "ecs_log.json": ("2025-01-13T09:58:13.631Z", {"level": "DEBUG"}),
    "epoch.0": ("2015-04-10T02:58:07.123Z", {"message": "Hello, World!"}),
    "generic.3": ("2012-07-02T10:22:40.672Z", {"level": "DEBUG"}),
    "glog.0": (None, {"level": "ERROR"}),
    "grafana.0": ("2025-04-24T19:51:48.520964Z", {"level": "INFO", "logger": "settings"}),
    "java.0": ("2025-01-24T07:00:30.139Z", {"level": "INFO"}),
    "journald.json": ("2018-08-21T14:04:21.221373Z", {"level": "CRITICAL"}),
    "json_subsec.json": ("2022-09-24T00:00:09.484Z", {"message": "Hello, World!"}),
    "logfmt.0": ("2021-09-15T21:17:10.220731Z", {"level": "ERROR"}),
    "mongodb.0": ("2026-03-10T20:58:09.401Z", {"message": "Connection accepted"}),
    "mysql_error.0": ("2020-08-06T14:25:02.835618Z", {"level": "INFO"}),
    "pino.0": ("2025-04-24T22:08:37.537Z", {"level": "INFO", "trace_id": "c759f29f5f1e2162be56f32dd1e77fce"}),
    "postgres.0": ("2025-08-13T08:45:01.123Z", {"level": "INFO"}),
    "postgres.1": ("2025-04-11T22:14:12.837Z", {"level": "ERROR"}),
    "rust_tracing.0": ("2025-10-28T19:15:10.821315Z", {"message": "preparing to shave yaks"}),
    "spark.0": ("2017-06-09T20:10:40.000Z", {"level": "INFO"}),
    "syslog.0": (None, {"service": "automount", "host": "veridian", "pid": 7998}),
    "tai64n.0": ("2005-09-22T03:31:05.997072Z", {"message": "tcpserver: status: 5/30"}),
    "vmw_log.0": ("2022-06-02T11:58:12.193Z", {"service": "vpxd", "pid": 45715, "level": "INFO"}),
    "yday.0": ("2012-01-25T10:22:40.672Z", {"level": "DEBUG"}),
    "zap_console.0": ("2025-04-24T22:09:20.854Z", {"level": "INFO"}),
}  # fmt: skip


@pytest.mark.feature("L5")
def test_other_peoples_formats_are_recognised(material: Path) -> None:
    """lnav's sample files: the first record's time, level and fields."""
    paths = {name: str(material / "log-samples" / "lnav" / f"logfile_{name}") for name in KNOWN}
    first: dict[str, dict[str, Any]] = {}
    for found in documents(None, *paths.values()):
        first.setdefault(found.get("log.file.path", ""), found)
    for name, (when, fields) in KNOWN.items():
        found = first[paths[name]]
        assert when is None or found["@timestamp"] == when, name
        assert {key: found.get(key) for key in fields} == fields, name


@pytest.mark.feature("L5")
def test_no_line_of_other_peoples_files_is_lost(start: Callable[..., Any], material: Path) -> None:
    """All of lnav's files in one go: every line that is not blank is in a record, every record is stored."""
    server = start(**FOREVER)
    files = sorted((material / "log-samples" / "lnav").glob("logfile_*"))
    assert len(files) > 100
    counted = 0
    for file in files:
        joiner = Joiner(Reader("auto", dt.UTC))
        texts = [line.decode("utf-8", "replace") for line in file.read_bytes().split(b"\n")]
        records = [record for text in texts for record in joiner.feed(text)] + joiner.flush()
        assert sum(record.lines for record in records) == sum(bool(text.strip()) for text in texts), file.name
        counted += len(records)
    said = ingest(server, "--dataset", "lnav", *map(str, files))
    assert f"are {counted:,} records, {counted:,} stored, 0 refused" in said
    histogram = server.client.get(
        "/api/mamimon/logs/histogram",
        params={"dataset": "lnav", "start": "2000-01-01", "end": "2030-01-01", "step": 86400 * 30},
    )
    assert sum(sum(s["values"]) for s in histogram.json()["series"]) == counted


PYTHON = """\
2026-11-24 10:00:00,123 ERROR shop.cart: could not pay
Traceback (most recent call last):
  File "/srv/shop/cart.py", line 12, in pay
    charge(card)
  File "/srv/shop/card.py", line 7, in charge
    raise ValueError("declined")
ValueError: declined

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/app.py", line 3, in main
    pay()
shop.errors.PaymentError: card 7
2026-11-24 10:00:01,000 INFO shop.cart: next
"""
JAVA = """\
2026-11-24 10:00:00.000  WARN 1 --- [main] c.e.Shop : payment failed
java.lang.IllegalStateException: no gateway
\tat com.example.Shop.pay(Shop.java:42)
\tat java.base/java.lang.Thread.run(Thread.java:829)
Caused by: java.net.ConnectException: Connection refused
\tat com.example.Net.open(Net.java:7)
\t... 12 more
2026-11-24 10:00:01.000  INFO 1 --- [main] c.e.Shop : next
"""
ALONE = """\
starting
Exception in thread "main" java.lang.NullPointerException: x is null
\tat com.example.Main.main(Main.java:3)
Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'a'
done
"""


@pytest.mark.feature("L5")
def test_stack_traces_are_one_record() -> None:
    """Python's chained tracebacks and Java's causes belong to the line before them, or stand alone."""
    failed, following = documents(None, stdin=PYTHON.encode())
    assert failed["message"] == "ERROR shop.cart: could not pay"
    assert failed["exception"]["type"] == "shop.errors.PaymentError"
    assert failed["exception"]["message"] == "card 7"
    assert failed["exception"]["stacktrace"] == PYTHON.partition("pay\n")[2].partition("\n2026")[0]
    assert following["message"] == "INFO shop.cart: next"

    failed, following = documents(None, stdin=JAVA.encode())
    assert (failed["level"], failed["exception"]["type"]) == ("ERROR", "java.net.ConnectException")
    assert failed["exception"]["stacktrace"].splitlines() == JAVA.splitlines()[1:-1]
    assert following["@timestamp"] == "2026-11-24T10:00:01.000Z"

    starting, java, python, done = documents(None, stdin=ALONE.encode())
    assert (starting["message"], done["message"]) == ("starting", "done")
    assert java["message"] == "NullPointerException: x is null"
    assert (java["level"], java["exception"]["type"]) == ("ERROR", "java.lang.NullPointerException")
    assert python["message"] == "KeyError: 'a'"
    assert python["exception"]["stacktrace"].startswith("Traceback")


@pytest.mark.feature("L5")
def test_formats_can_be_told() -> None:
    """--format says what to look for; other lines are plain, and times without a zone are where it says."""
    both = b'{"msg":"a"}\nlevel=info msg="b"\n'
    assert [d["message"] for d in documents(None, stdin=both)] == ["a", "b"]
    assert [d["message"] for d in documents(None, "--format", "json", stdin=both)] == [
        "a",
        'level=info msg="b"',
    ]
    assert documents(None, "--format", "plain", stdin=both)[0]["message"] == '{"msg":"a"}'
    line = b"2026-11-24 10:00:00 x\nNov 24 10:00:00 h t[1]: m\n"
    found = documents(None, "--time-zone", "Europe/Istanbul", "--service", "s", stdin=line)
    assert found[0]["@timestamp"] == "2026-11-24T07:00:00.000Z"
    assert found[1]["@timestamp"].endswith("-11-24T07:00:00.000Z")
    assert (found[0]["service"], found[1]["service"]) == ("s", "t")
    odd = b'{"@timestamp":"when","level":"odd","message":"x","ts":5}\n\xff\xfe\n'
    assert documents(None, stdin=odd)[0]["field_timestamp"] == "when"
    assert documents(None, stdin=odd)[1]["message"] == "ÿþ"


@pytest.mark.feature("L5")
def test_compressed_files_and_pipes(server: Any, tmp_path: Path) -> None:
    """gzip and zstd by their content, standard input by a dash; the path is kept with the line."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two"))
    (tmp_path / "b.log").write_bytes(zstandard.compress(b"three\n"))
    said = ingest(
        server, "--dataset", "mix", str(tmp_path / "a.gz"), str(tmp_path / "b.log"), "-", stdin=b"four\n"
    )
    assert "4 lines of 3 files are 4 records, 4 stored, 0 refused" in said
    assert sorted(messages(server, "mix")) == ["four", "one", "three", "two"]
    assert search(server, "message:three")[0]["log.file.path"] == str(tmp_path / "b.log")


@pytest.mark.feature("L5")
def test_what_is_refused_or_missing_is_said(server: Any, tmp_path: Path) -> None:
    """Lines beyond retention are counted with the reason, a missing file or server said; exit code 1."""
    old = tmp_path / "old.log"
    old.write_text("2001-01-01T00:00:00Z gone\n2001-01-01T00:00:00Z too\n")
    said = ingest(server, str(old), "-", stdin=b"new\n", code=1)
    assert "1 stored, 2 refused" in said
    assert "refused 2: @timestamp 2001-01-01T00:00:00Z is older than the 90 days that are kept" in said
    assert "0 stored, 2 refused" in ingest(server, str(old), code=1)
    assert "No such file" in ingest(server, str(tmp_path / "none"), code=1)
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"some lines\n" * 1000)[:-9])
    assert "mamimon: " in ingest(server, str(broken), code=1)
    answer = ingest(server, "--url", "http://127.0.0.1:9", "--patience", "0", "-", stdin=b"x\n", code=1)
    assert "no server answers on http://127.0.0.1:9" in answer
    for wrong in (("--follow", "-"), ("--from-end", str(old)), ("--time-zone", "Mars", str(old))):
        ingest(server, *wrong, code=2)
    person = {"name": "a", "role": "admin", "password": "correct horse"}
    assert server.client.post("/api/mamimon/users", json=person).status_code == 201
    assert "401" in ingest(server, "-", stdin=b"x\n", code=1)


@pytest.mark.feature("L5")
def test_a_full_server_is_asked_again(server: Any) -> None:
    """429 is answered by patience: nothing is lost and nothing sent twice."""
    room = server.server.house.rooms[1]
    room.ingest._rows = 10**9
    said: list[str] = []
    lines = b"".join(b"line %d\n" % i for i in range(3000))
    thread = threading.Thread(
        target=lambda: said.append(ingest(server, "--dataset", "full", "-", stdin=lines))
    )
    thread.start()
    wait_until(lambda: 'status="429"' in server.client.get("/metrics").text, 60, "a refusal")
    room.ingest._rows = 0
    thread.join(30)
    assert "3,000 stored, 0 refused" in said[0]


@pytest.mark.feature("L1")
@pytest.mark.feature("L5")
def test_a_pipe_is_sent_as_it_comes(server: Any, running: Callable[..., Any]) -> None:
    """A line in a pipe that stays open is stored within moments, its trace with it."""
    one = running(server, "--dataset", "pipe", "-")
    assert one.stdin is not None
    one.stdin.write(b"2026-11-24 10:00:00 ERROR first\nTraceback (most recent call last):\n")
    one.stdin.flush()
    one.stdin.write(b'  File "a.py", line 1, in f\nKeyError: 1\n')
    one.stdin.flush()
    wait_until(lambda: search(server, "message:first", dataset="pipe"), 60, "the line")
    assert search(server, "message:first", dataset="pipe")[0]["exception"]["type"] == "KeyError"
    one.stdin.close()
    assert one.wait(10) == 0


@pytest.mark.feature("L1")
@pytest.mark.feature("L5")
def test_following_survives_rotation(server: Any, running: Callable[..., Any], tmp_path: Path) -> None:
    """Appended lines arrive; renamed, late written, made anew and truncated files lose and repeat none."""
    log = tmp_path / "app.log"
    log.write_text("a1\na2\n")
    one = running(server, "--follow", "--dataset", "turn", str(log))
    wait_until(lambda: messages(server, "turn") == ["a1", "a2"], 60, "what was there")
    with log.open("a") as writer:
        writer.write("a3\nhalf")
        writer.flush()
        wait_until(lambda: "a3" in messages(server, "turn"), 60, "a3")
        log.rename(tmp_path / "app.log.1")
        writer.write(" and half\n")  # the writer has not noticed the renaming yet
        writer.flush()
        log.write_text("b1\n")
    wait_until(lambda: {"half and half", "b1"} <= set(messages(server, "turn")), 60, "both files")
    with log.open("a") as writer:
        writer.write("b2\n")
    wait_until(lambda: "b2" in messages(server, "turn"), 60, "b2")
    shutil.copy(log, tmp_path / "app.log.2")
    os.truncate(log, 0)
    with log.open("a") as writer:
        writer.write("c\n")
    wait_until(lambda: "c" in messages(server, "turn"), 60, "the line after truncation")
    one.send_signal(signal.SIGTERM)
    assert one.wait(15) == 0
    assert sorted(messages(server, "turn")) == ["a1", "a2", "a3", "b1", "b2", "c", "half and half"]


@pytest.mark.feature("L5")
def test_following_goes_on_where_it_was(server: Any, running: Callable[..., Any], tmp_path: Path) -> None:
    """With --state a restart, also after kill -9, sends what was not stored and nothing twice."""
    log, state = tmp_path / "app.log", tmp_path / "state.json"
    log.write_text("one\n")
    arguments = ("--follow", "--state", str(state), "--dataset", "again", str(log))
    for text, number in (("two\n", signal.SIGKILL), ("three\n", signal.SIGTERM)):
        one = running(server, *arguments)
        wait_until(lambda: state.exists() and messages(server, "again"), 60, "the state")
        with log.open("a") as writer:
            writer.write(text)
        done = lambda text=text: text.strip() in messages(server, "again")  # noqa: E731
        wait_until(done, 10, text)
        wait_until(lambda: json.loads(state.read_text())[str(log)][1] == log.stat().st_size, 60, "the place")
        one.send_signal(number)
        one.wait(15)
        with log.open("a") as writer:
            writer.write(f"while away {number}\n")
    one = running(server, *arguments)
    wait_until(lambda: len(messages(server, "again")) == 5, 60, "all")
    one.send_signal(signal.SIGTERM)
    assert one.wait(15) == 0
    assert sorted(messages(server, "again")) == sorted(
        ["one", "two", "three", "while away 9", "while away 15"]
    )
    two = running(server, "--follow", "--from-end", "--dataset", "end", str(log))
    wait_until(
        lambda: two.poll() is None and _appended(log) and messages(server, "end"), 20, "only what is new"
    )
    assert set(messages(server, "end")) == {"new"}


def _appended(log: Path) -> bool:
    with log.open("a") as writer:
        writer.write("new\n")
    return True


@pytest.mark.feature("L5")
def test_fuzzed_lines_are_always_records() -> None:
    """Random and mutated lines of every format are read without an error, and none is lost."""
    dice = random.Random(8)
    seeds = [
        *PYTHON.splitlines(), *JAVA.splitlines(), '{"msg":"a","time":1,"level":"info"}', "a=b level=c",
        '1.2.3.4 - - [24/Nov/2026:10:00:00 +0300] "GET / HTTP/1.1" 200 5 "-" "x"',
        "<13>Nov 24 10:00:00 h t: m", "I1124 10:00:00.000001 1 a.go:1] x", "@400000004332258 x",
        "web-1  | 2026-11-24T10:00:00Z x",
    ]  # fmt: skip
    joiner = Joiner(Reader("auto", dt.UTC))
    lines = records = 0
    for _ in range(FUZZ):
        text = list(dice.choice(seeds))
        for _ in range(dice.randint(0, 4)):
            at = dice.randrange(len(text) + 1)
            text[at : at + dice.randint(0, 3)] = [
                chr(dice.choice((32, 34, 91, 58, 48, 0x131, 0xD83D, 0, 10)))
            ]
        one = "".join(text).replace("\n", " ")
        lines += bool(one.strip())
        records += sum(record.lines for record in joiner.feed(one))
    assert records + sum(record.lines for record in joiner.flush()) == lines
