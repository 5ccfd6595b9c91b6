"""`mamimon run -- CMD`: any program becomes observable without a change to it."""

from __future__ import annotations

import contextlib
import os
import pty
import selectors
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections import deque
from typing import Any

import click

import mamimon
from mamimon.cli.lines import LEVELS, Recogniser
from mamimon.cli.run_beside import Beside
from mamimon.client import agent
from mamimon.client.buffer import rank_of
from mamimon.client.frames import Link
from mamimon.client.records import Line
from mamimon.client.reports import Report

LAST_LINES = 50
IDLE_S = 0.3
MAX_LINE = 65_536
DRAIN_S = 2.0


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--url", help="mamimon's address (default: MAMIMON_URL, else http://127.0.0.1:7007).")
@click.option("--token", help="Token with the scope ingest, where access is closed.")
@click.option("--service", help="Name of the service (default: the program's).")
@click.option("--environment", help="Environment, such as production.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    url: str | None, token: str | None, service: str | None, environment: str | None, command: tuple[str, ...]
) -> None:
    """Run a program; its output becomes log lines, a crash an error, its exit code ours."""
    name = service or os.path.basename(command[0])  # noqa: PTH119 - a command is not always a path
    url = url or os.environ.get("MAMIMON_URL") or "http://127.0.0.1:7007"
    mamimon.init(url, service=name, token=token, environment=environment, console="off", install_hooks=False)
    program = shutil.which(command[0])
    if program is None:
        click.echo(f"mamimon: {command[0]}: command not found", err=True)
        sys.exit(127)
    code = _Watch(name, [program, *command[1:]]).run()
    mamimon.shutdown()
    sys.exit(code)


class _Stream:
    """One output of the program: where it is read, where it is passed on, what its lines are."""

    def __init__(self, logger: str, target: int) -> None:
        self.target = target
        self.lines = Recogniser(logger)
        self.pending = ""
        self._rest = b""
        self._terminal = os.isatty(target)
        self.reader, self.writer = pty.openpty() if self._terminal else os.pipe()
        if self._terminal:
            self.resize()

    def resize(self) -> None:
        """Give the program's terminal the size of ours."""
        if self._terminal:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetwinsize(self.reader, termios.tcgetwinsize(self.target))

    def read(self) -> list[str] | None:
        """Pass on what there is and return its complete lines; None at the end, see `pending`."""
        try:
            data = os.read(self.reader, 65_536)
        except OSError:  # a terminal whose program is gone
            data = b""
        if not data:
            rest, self._rest = self._rest, b""
            self.pending = rest.decode("utf-8", "replace")
            return None
        with contextlib.suppress(OSError):  # nobody reads us any more: the program shall not suffer
            view = memoryview(data)
            while view:
                view = view[os.write(self.target, view) :]
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        return [line[:MAX_LINE].decode("utf-8", "replace") for line in lines]


class _Watch:
    """The program's life from start to exit."""

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
        self._command = command
        self._beside = Beside(name)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._streams = [_Stream(f"{name}.stdout", 1), _Stream(f"{name}.stderr", 2)]

    def run(self) -> int:
        """Run to the end; returns the exit code, 128 + number for a signal."""
        began = time.monotonic()
        out, err = self._streams
        child = subprocess.Popen(  # noqa: S603 - what the user asked for
            self._command, stdout=out.writer, stderr=err.writer, env=self._beside.environment()
        )
        self._beside.begin(child.pid)
        for stream in self._streams:
            os.close(stream.writer)
        self._pass_signals(child)
        self._relay(child)
        status = child.wait()
        self._tell_end(status, time.monotonic() - began, self._beside.end(status))
        return status if status >= 0 else 128 - status

    def _pass_signals(self, child: subprocess.Popen[bytes]) -> None:
        def forward(number: int, _: Any) -> None:
            # At a terminal Ctrl-C reaches the program by itself: it is in the same process group.
            if number != signal.SIGINT or not os.isatty(0):
                child.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, forward)
        signal.signal(signal.SIGWINCH, self._resize)

    def _resize(self, *_: Any) -> None:
        for stream in self._streams:
            stream.resize()

    def _relay(self, child: subprocess.Popen[bytes]) -> None:
        """Read both outputs until they end; a grandchild that keeps them open is not waited for long."""
        ended_at = 0.0
        with selectors.DefaultSelector() as selector:
            for stream in self._streams:
                selector.register(stream.reader, selectors.EVENT_READ, stream)
            while selector.get_map():
                ready = selector.select(IDLE_S)
                for key, _ in ready:
                    lines = key.data.read()
                    if lines is None:
                        selector.unregister(key.fileobj)
                        lines = [key.data.pending] if key.data.pending else []
                    self._take(key.data, lines)
                if not ready:
                    for stream in self._streams:
                        self._put(stream.lines.flush())
                if child.poll() is not None:
                    ended_at = ended_at or time.monotonic()
                    if not ready or time.monotonic() - ended_at > DRAIN_S:
                        break
        for stream in self._streams:
            self._put(stream.lines.flush())
            os.close(stream.reader)

    def _take(self, stream: _Stream, lines: list[str]) -> None:
        for text in lines:
            self._last.append(text.rstrip("\r")[:2000])
            self._put(stream.lines.feed(text))

    def _put(self, lines: list[Line]) -> None:
        for line in lines:
            agent.put("log", line, rank_of(line.levelno))

    def _tell_end(self, status: int, seconds: float, noted: list[Link]) -> None:
        killed = signal.Signals(-status).name if status < 0 else ""
        how = f"was ended by {killed}" if killed else f"exited with code {status}"
        level = "INFO" if status in (0, -signal.SIGTERM, -signal.SIGINT) else "ERROR"
        message = f"{self._name} {how} after {seconds:.1f} s"
        facts = {"exit_code": status if status >= 0 else 128 - status, "duration_s": round(seconds, 3)}
        if status < 0:
            facts["signal"] = -status
        line = Line(
            time.time(), LEVELS[level], level, f"{self._name}.process", message, {}, facts, None, None
        )
        self._put([line])
        if level == "ERROR":
            links = noted or [error for error in [self._streams[1].lines.last_error] if error is not None]
            report = Report(
                event_id=os.urandom(16).hex(),
                created=time.time(),
                level="fatal",
                logger=f"{self._name}.process",
                message="" if links else message,
                links=links,
                handled=False,
                context={},
                extra={**facts, "output": "\n".join(self._last)},
            )
            agent.put("error", report, 3)
