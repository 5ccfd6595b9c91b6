"""`mamimon logs` through a real server: search, context, tail, patterns; colours only on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.logs.dates import iso
from tests.conftest import wait_until

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}


class Command:
    """`mamimon …` against one server."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def words(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mamimon", *arguments, "--url", self.server.url]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*arguments), env=CLEAN, cwd=self.folder, capture_output=True, text=True, timeout=60
        )

    def on_a_terminal(self, *arguments: str) -> str:
        """Standard output as a terminal gets it."""
        ours, theirs = pty.openpty()
        env = {**CLEAN, "TERM": "xterm-256color", "COLUMNS": "200"}
        with subprocess.Popen(self.words(*arguments), env=env, cwd=self.folder, stdout=theirs) as process:
            os.close(theirs)
            out = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break
                if not part:
                    break
                out += part
            process.wait(30)
        os.close(ours)
        return out.decode()


@pytest.fixture
def mamimon(start: Callable[..., Any], tmp_path: Path) -> Iterator[Command]:
    """A server with a minute of lines of two hosts."""
    server = start(server={"self_log": False})
    now = server.server.clock.now()
    lines = [
        {
            "@timestamp": iso(now - 60 + i),
            "level": "ERROR" if i == 30 else "INFO",
            "logger": "app.chat",
            "message": "payment 7 refused \x1b[2J\u202egnp" if i == 30 else f"step {i} done",
            "host": f"web-{i % 2}",
            "user": {"id": f"u{i}"},
        }
        for i in range(60)
    ]
    body = "\n".join(map(json.dumps, lines))
    assert server.client.post("/api/mamimon/logs?dataset=app", content=body).json()["accepted"] == 60
    yield Command(server, tmp_path)


@pytest.mark.feature("L4")
def test_search_prints_lines_and_says_how_it_went(mamimon: Command) -> None:
    """Lines come oldest first on stdout; exit 0 with lines, 1 without, 2 for a mistake in the query."""
    done = mamimon.run("logs", "search", "step", "--size", "3", "--fields", "user.id,host")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert [row.split(" app.chat ")[1] for row in rows] == [
        f"step {i} done user.id=u{i} host=web-{i % 2}" for i in (57, 58, 59)
    ]
    assert "--size 30" in done.stderr
    assert "\x1b" not in done.stdout

    done = mamimon.run("logs", "search", "level:ERROR", "--json")
    assert [json.loads(row)["user"] for row in done.stdout.splitlines()] == [{"id": "u30"}]
    assert mamimon.run("logs", "search", "step", "--since", "10s").stdout.count("\n") == 10
    assert mamimon.run("logs", "search", "nothing-like-it").returncode == 1
    done = mamimon.run("logs", "search", "(broken")
    assert done.returncode == 2
    assert "column" in done.stderr
    assert mamimon.run("logs", "search", "--since", "soon").returncode == 2
    unreachable = [sys.executable, "-m", "mamimon", "logs", "search", "--url", "http://127.0.0.1:9"]
    done = subprocess.run(unreachable, env=CLEAN, cwd=mamimon.folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mamimon serve" in done.stderr


@pytest.mark.feature("L7")
def test_context_is_printed_as_grep_does(mamimon: Command) -> None:
    """Lines of the same source stand around each match, groups apart, no line twice."""
    done = mamimon.run("logs", "search", "message:(20 OR 24 OR 50)", "--context", "2")
    messages = [row.split(" app.chat ")[-1] for row in done.stdout.splitlines()]
    numbers = [16, 18, 20, 22, 24, 26, 28, None, 46, 48, 50, 52, 54]
    assert messages == ["--" if n is None else f"step {n} done" for n in numbers]


@pytest.mark.feature("L4")
def test_colours_are_for_terminals_and_lines_cannot_steer_them(mamimon: Command) -> None:
    """A terminal gets colours, but the control characters in a line are spelled out everywhere."""
    plain = mamimon.run("logs", "search", "refused").stdout
    assert "refused \\x1b[2J\\u202egnp" in plain
    shown = mamimon.on_a_terminal("logs", "search", "refused")
    assert "\x1b[31mERROR" in shown
    assert "\x1b[2J" not in shown and "\u202e" not in shown
    assert "\\x1b[2J" in re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.feature("L6")
def test_tail_follows_what_matches(mamimon: Command) -> None:
    """The last lines come first, then new ones that match as they are stored; Ctrl-C ends with 0."""
    words = mamimon.words("logs", "tail", "NOT debugging", "-n", "2", "--json")
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=CLEAN, cwd=mamimon.folder, stdout=pipe, stderr=pipe, text=True) as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert [json.loads(tail.stdout.readline())["user"]["id"] for _ in range(2)] == ["u58", "u59"]
        for message in ("debugging", "news of today"):
            mamimon.server.client.post("/api/mamimon/logs?dataset=app", json={"message": message})
        assert json.loads(tail.stdout.readline())["message"] == "news of today"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0, tail.stderr.read()
    done = mamimon.run("logs", "tail", "(broken")
    assert done.returncode == 2


@pytest.mark.feature("L6")
def test_tail_shows_what_came_while_the_connection_was_lost(
    start: Callable[..., Any], tmp_path: Path, clock: Any
) -> None:
    """After a restart of the server the lines that came meanwhile are printed, each line once."""
    server = start(server={"self_log": False})
    words = Command(server, tmp_path).words("logs", "tail", "news", "-n", "5")
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=CLEAN, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as tail:
        assert tail.stdout is not None and tail.stderr is not None
        metric = "mamimon_log_tail_watchers 1.0"
        wait_until(lambda: metric in server.client.get("/metrics").text, what="the watcher")
        server.client.post("/api/mamimon/logs", json={"message": "news 1"})
        assert tail.stdout.readline().rstrip().endswith("news 1")
        port = int(server.url.rsplit(":", 1)[1])
        server.stop()
        assert "trying again" in tail.stderr.readline()
        # Stored by a server that the tail cannot find, as its port is another; and later than the tail's
        # connection, whose time is the machine's.
        clock.advance(3600)
        away = start(server={"self_log": False})
        for i in (2, 3):
            away.client.post("/api/mamimon/logs", json={"message": f"news {i}"})
        away.stop()
        server = start(server={"self_log": False, "port": port})
        assert [tail.stdout.readline().rstrip()[-6:] for _ in range(2)] == ["news 2", "news 3"]
        server.client.post("/api/mamimon/logs", json={"message": "news 4"})
        assert tail.stdout.readline().rstrip().endswith("news 4")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0


@pytest.mark.feature("L7")
def test_a_reader_who_has_enough_ends_the_command_quietly(mamimon: Command) -> None:
    """`| head` ends a long output with the code of SIGPIPE, which is not the 1 of "nothing found"."""
    long = "x" * 2_000
    body = "\n".join(json.dumps({"message": f"{long} {i}"}) for i in range(300))
    assert mamimon.server.client.post("/api/mamimon/logs", content=body).json()["accepted"] == 300
    for command in (["search", "x*", "--size", "300"], ["export", "x*"], ["search", "x*", "--json"]):
        script = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *mamimon.words("logs", *command)],
            env=CLEAN, cwd=mamimon.folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "141", done.stderr
        assert done.stderr in {"", "there are more; --size 3000 shows older ones\n"}
    long_file = mamimon.folder / "long.log"
    long_file.write_text(f"{long}\n" * 300)
    script = '"$@" --print "$0" | head -1; echo "${PIPESTATUS[0]}"'
    words = mamimon.words("logs", "ingest")
    done = subprocess.run(
        ["bash", "-c", script, str(long_file), *words],
        env=CLEAN, cwd=mamimon.folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout.splitlines()[-1], done.stderr) == ("141", "")


@pytest.mark.feature("L7")
def test_export_writes_more_than_a_search_prints(mamimon: Command) -> None:
    """Lines go to standard output as they come; a mistake exits 2, an answer that breaks off 1."""
    for at in range(0, 12_000, 3_000):
        body = "\n".join(json.dumps({"message": f"bulk {i}", "n": i}) for i in range(at, at + 3_000))
        mamimon.server.client.post("/api/mamimon/logs", content=body)
    done = mamimon.run("logs", "export", "bulk")
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(line)["n"] for line in done.stdout.splitlines()) == list(range(12_000))
    done = mamimon.run("logs", "export", "bulk", "--format", "csv", "--fields", "n", "--size", "3")
    assert [row.split(",")[-1] for row in done.stdout.splitlines()] == ["n", "11999", "11998", "11997"]
    assert "logs export" in mamimon.run("logs", "search", "bulk", "--size", "10000").stderr
    done = mamimon.run("logs", "export", "(broken")
    assert done.returncode == 2
    assert "column" in done.stderr


@pytest.mark.feature("L6")
def test_tail_stops_after_a_count_and_sees_the_servers_own_lines(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """`--count` ends the tail; what mamimon logs of itself comes through the same door."""
    import logging

    one = Command(start(), tmp_path)
    words = one.words("logs", "tail", "dataset:mamimon AND something", "-n", "0", "--count", "1")
    with subprocess.Popen(words, env=CLEAN, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as tail:
        metric = "mamimon_log_tail_watchers 1.0"
        wait_until(lambda: metric in one.server.client.get("/metrics").text, what="the watcher")
        logging.getLogger("mamimon.test").warning("something of our own")
        one.server.server.clock.advance(1)
        assert tail.wait(20) == 0
        assert tail.stdout is not None
        assert tail.stdout.read().rstrip().endswith("WARNING  mamimon.test something of our own")
    done = one.run("logs", "search", "something", "--dataset", "mamimon")
    assert done.stdout.count("something of our own") == 1


@pytest.mark.feature("L8")
def test_patterns_are_listed(mamimon: Command) -> None:
    """Patterns come with count, id and template; new ones alone by --new-since; exit 1 without any."""
    done = mamimon.run("logs", "patterns")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.split()[0] == "59"
    assert first.endswith("INFO     app step <*> done")
    found = json.loads(mamimon.run("logs", "patterns", "--new-since", "1h", "--json").stdout)
    assert {one["count"] for one in found} == {59, 1}
    assert mamimon.run("logs", "patterns", "level:ERROR").stdout.count("\n") == 1
    assert mamimon.run("logs", "patterns", "--level", "WARNING").returncode == 1
