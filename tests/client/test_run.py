"""`mamimon run -- CMD`: any program's output, crash and exit, without a change to it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.cli.lines import Recogniser, level_in
from tests.client.receiver import Receiver
from tests.conftest import ROOT, Running, wait_until


def command(url: str, *program: str) -> list[str]:
    return [sys.executable, "-m", "mamimon", "run", "--url", url, "--service", "job", "--", *program]


def run(url: str, *program: str, spool: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MAMIMON_SPOOL_DIR": str(spool)}
    return subprocess.run(
        command(url, *program), capture_output=True, text=True, timeout=60, env=env, input=stdin
    )


PROGRAM = r"""
import sys, json
print("plain words")
print("2026-11-24 10:00:00,123 ERROR db: connection refused")
print(json.dumps({"level": "warn", "msg": "from json", "user": "ada", "time": "2026-11-24T10:00:00Z"}))
print('level=error msg="from logfmt" code=7')
sys.stdout.flush()
def inner(): return {}["missing"]
try: inner()
except KeyError:
    import traceback; traceback.print_exc()
print("no newline at the end", end="")
"""


@pytest.mark.feature("C5")
def test_output_becomes_records_and_stays_what_it_was(receiver: Receiver, tmp_path: Path) -> None:
    """Output is passed on byte for byte; JSON, logfmt, plain lines and a traceback are records."""
    plain = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    done = run(receiver.url, sys.executable, "-c", PROGRAM, spool=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, plain.stderr)
    found = {document["message"]: document for document in receiver.documents}
    assert found["plain words"]["level"] == "INFO"
    assert found["plain words"]["logger"] == "job.stdout"
    assert found["2026-11-24 10:00:00,123 ERROR db: connection refused"]["level"] == "ERROR"
    assert (found["from json"]["level"], found["from json"]["user"]) == ("WARNING", "ada")
    assert found["from json"]["@timestamp"] == "2026-11-24T10:00:00.000Z"
    assert (found["from logfmt"]["level"], found["from logfmt"]["code"]) == ("ERROR", "7")
    traceback = found["KeyError: 'missing'"]
    assert (traceback["level"], traceback["logger"]) == ("ERROR", "job.stderr")
    assert [frame["function"] for frame in traceback["exception"]["frames"]] == ["<module>", "inner"]
    assert "no newline at the end" in found
    assert any(message.startswith("job exited with code 0") for message in found)
    assert receiver.envelopes == []


@pytest.mark.feature("C5")
def test_a_crash_is_an_error_with_frames_and_the_last_lines(server: Running, tmp_path: Path) -> None:
    """An uncaught exception ends with the program's own code and is an issue on the real server."""
    code = "print('about to die', flush=True)\ndef work(): raise ValueError('no disk')\nwork()"
    done = run(server.url, sys.executable, "-c", code, spool=tmp_path)
    assert done.returncode == 1
    assert "ValueError: no disk" in done.stderr
    issues = wait_until(lambda: server.client.get("/api/mamimon/errors/issues").json().get("issues"))
    assert "ValueError" in issues[0]["title"]
    event = server.client.get(f"/api/mamimon/errors/issues/{issues[0]['id']}").text
    assert "about to die" in event
    assert "work" in event
    hits = httpx.get(server.url + "/es/logs-job-*/_search", params={"q": "exit_code:1"}).json()["hits"][
        "hits"
    ]
    assert hits[0]["_source"]["level"] == "ERROR"


@pytest.mark.feature("C5")
def test_signals_and_exit_codes_pass_through(receiver: Receiver, tmp_path: Path) -> None:
    """SIGTERM reaches the program; its code is ours; a death by signal is 128 + number and reported."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('up', flush=True)\ntime.sleep(30)"
    )
    one = subprocess.Popen(
        command(receiver.url, sys.executable, "-c", code),
        stdout=subprocess.PIPE,
        env={**os.environ, "MAMIMON_SPOOL_DIR": str(tmp_path)},
    )
    assert one.stdout is not None
    assert one.stdout.readline() == b"up\n"
    one.send_signal(signal.SIGTERM)
    assert one.wait(20) == 7
    one.stdout.close()
    killed = run(receiver.url, sys.executable, "-c", "import os; os.kill(os.getpid(), 11)", spool=tmp_path)
    assert killed.returncode == 128 + 11
    assert any("was ended by SIGSEGV" in json.dumps(envelope) for envelope in receiver.envelopes)
    assert run(receiver.url, "no-such-program", spool=tmp_path).returncode == 127


@pytest.mark.feature("C5")
def test_a_terminal_stays_a_terminal(receiver: Receiver, tmp_path: Path) -> None:
    """At a terminal the program sees one, of the same size, and its colours do not reach the records."""
    code = (
        "import os, sys; print('\\x1b[31mred\\x1b[0m', sys.stdout.isatty(), os.get_terminal_size().columns)"
    )
    ours, theirs = pty.openpty()
    import termios

    termios.tcsetwinsize(theirs, (30, 77))
    one = subprocess.Popen(
        command(receiver.url, sys.executable, "-c", code),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "MAMIMON_SPOOL_DIR": str(tmp_path)},
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert one.wait(20) == 0
    assert b"\x1b[31mred\x1b[0m True 77" in seen
    assert "red True 77" in [document["message"] for document in receiver.documents]


@pytest.mark.feature("C5")
def test_levels_are_found_where_programs_write_them() -> None:
    """Common formats have their level; prose that mentions an error has none."""
    assert level_in("[warn] 12#0: worker") == "WARNING"
    assert level_in("error: unknown option") == "ERROR"
    assert level_in("2026-11-24T10:00:00Z\tDEBUG\tx") == "DEBUG"
    assert level_in("E 2026 PANIC: no disk") == "CRITICAL"
    assert level_in("no error was found, information only") == "INFO"


@pytest.mark.feature("C5")
def test_a_traceback_that_never_ends_is_bounded() -> None:
    """A stream of indented lines after a traceback's head is cut into records, not kept for ever."""
    one = Recogniser("x")
    made = one.feed("Traceback (most recent call last):")
    for _ in range(1000):
        made += one.feed("  x")
    assert len(made) > 0


def test_a_server_that_is_away_does_not_hold_the_program_up(tmp_path: Path) -> None:
    """Nothing listens: the program runs as always and the end takes at most the two seconds of a flush."""
    began = time.monotonic()
    done = run("http://127.0.0.1:9", sys.executable, "-c", "print('fine')", spool=tmp_path)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert time.monotonic() - began < 30


def metrics_of(receiver: Receiver) -> dict[str, float]:
    """The last value of each metric that arrived."""
    found: dict[str, float] = {}
    for request in receiver.metrics:
        for one in request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]:
            for point in (one.get("sum") or one.get("gauge"))["dataPoints"]:
                if not point.get("flags"):
                    found[one["name"]] = point["asDouble"]
    return found


@pytest.mark.feature("C5")
def test_what_the_tree_uses_becomes_metrics(receiver: Receiver, tmp_path: Path) -> None:
    """CPU, memory, IO and files of the program with its children, its exit code and how long it took."""
    child = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    code = (
        "import subprocess, sys, time\n"
        f"child = {child!r}\n"
        "open('written', 'wb').write(b'x' * 100_000)\n"
        "for _ in range(2): subprocess.run([sys.executable, '-c', child])\n"
        "time.sleep(2.5)\nsys.exit(3)"
    )
    assert run(receiver.url, sys.executable, "-c", code, spool=tmp_path).returncode == 3
    found = metrics_of(receiver)
    assert 1.0 <= found["process_cpu_seconds_total"] < 30
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_open_fds"] > 0
    assert found["process_count"] >= 1
    assert (found["process_exit_code"], found["process_up"]) == (3, 0)
    assert found["process_duration_seconds"] > 2.5
    attributes = receiver.metrics[0]["resourceMetrics"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "job"}} in attributes


@pytest.mark.feature("C5")
def test_a_failed_exit_can_be_alerted_on(server: Running, tmp_path: Path) -> None:
    """On the real server the exit code and the duration are series of the job, ready for a rule."""
    assert run(server.url, "sh", "-c", "sleep 1.2; exit 9", spool=tmp_path).returncode == 9

    def ask(query: str) -> list[dict[str, Any]]:
        answer = server.client.get("/api/v1/query", params={"query": query, "time": time.time()}).json()
        return list(answer["data"]["result"])

    (failed,) = wait_until(lambda: ask('process_exit_code{job="job"} != 0'), what="the exit code")
    assert failed["value"][1] == "9"
    (took,) = ask('process_duration_seconds{job="job"} > 1')
    assert took["metric"]["instance"] == failed["metric"]["instance"]


@pytest.mark.feature("C5")
def test_a_python_program_dies_with_its_frames(receiver: Receiver, tmp_path: Path) -> None:
    """An uncaught exception has variables, source lines and its cause, though the traceback went nowhere."""
    code = (
        "import sys, threading\nsys.stderr = open('/dev/null', 'w')\n"
        "def beside(): raise OSError('beside')\n"
        "t = threading.Thread(target=beside, name='loader'); t.start(); t.join()\n"
        "def work(shelf, password):\n"
        "    try: {}['missing']\n"
        "    except KeyError as error: raise ValueError('no shelf') from error\n"
        "work('b', 'canary')\n"
    )
    (tmp_path / "program.py").write_text(code)
    done = run(receiver.url, sys.executable, str(tmp_path / "program.py"), spool=tmp_path / "spool")
    assert done.returncode == 1
    found = {one["exception"]["values"][-1]["type"]: one for one in receiver.envelopes}
    assert set(found) == {"ValueError", "OSError"}
    assert found["OSError"]["extra"]["in_thread"] == "loader"
    assert [one["type"] for one in found["ValueError"]["exception"]["values"]] == ["KeyError", "ValueError"]
    frame = found["ValueError"]["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["vars"]["shelf"]) == ("work", "'b'")
    assert "raise ValueError" in frame["context_line"]
    assert found["ValueError"]["extra"]["exit_code"] == 1
    assert "canary" not in json.dumps(frame["vars"])


@pytest.mark.feature("C5")
def test_a_programs_own_start_up_still_runs(receiver: Receiver, tmp_path: Path) -> None:
    """A `sitecustomize` of the program's own is loaded, and one that reports by itself is not doubled."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.own = 'mine'\n")
    code = (
        "import sys, sitecustomize, mamimon; print(sys.own, sitecustomize.__file__)\n"
        f"mamimon.init({receiver.url!r}, service='own', console='off')\n"
        "raise RuntimeError('once')"
    )
    env = {**os.environ, "MAMIMON_SPOOL_DIR": str(tmp_path / "spool")}
    env["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    done = subprocess.run(
        command(receiver.url, sys.executable, "-c", code),
        capture_output=True, text=True, timeout=60, env=env,
    )  # fmt: skip
    assert done.stdout.split() == ["mine", str(tmp_path / "sitecustomize.py")]
    by = [one["tags"]["service"] for one in receiver.envelopes]
    assert sorted(by) == ["job", "own"]  # the program's own report, and the exit that we saw


@pytest.mark.feature("C5")
@pytest.mark.parametrize("python", ["-I", "-S"])
def test_a_python_that_hears_nobody_is_read(python: str, receiver: Receiver, tmp_path: Path) -> None:
    """Where Python ignores its environment the frames come from the printed traceback."""
    code = "def work(): raise ValueError('no disk')\nwork()"
    assert run(receiver.url, sys.executable, python, "-c", code, spool=tmp_path).returncode == 1
    (envelope,) = receiver.envelopes
    frames = envelope["exception"]["values"][-1]["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames] == ["<module>", "work"]
