"""Beside the output of `mamimon run`: metrics of the program's tree, and the exceptions that it notes."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from mamimon import client
from mamimon.cli.run_tree import Tree
from mamimon.client import agent
from mamimon.client.frames import Link, read_note
from mamimon.client.reports import Report
from mamimon.client.settings import warn

LOOK_S = 1.0
METRICS_EVERY_S = 10.0
MAX_NOTES = 100  # a program that dies again and again in its threads is told of so often


class Beside:
    """A thread that looks once a second, and what it knows at the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix="mamimon-run-"))
        self._told = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="mamimon-beside", daemon=True)
        self._tree: Tree | None = None
        self._last: list[Link] = []
        self._pid = 0

    def environment(self) -> dict[str, str]:
        """What makes a Python program note its uncaught exceptions; others do not mind it."""
        hook = str(Path(client.__file__).parent / "hook")
        path = os.environ.get("PYTHONPATH")
        return {
            **os.environ,
            "PYTHONPATH": f"{hook}{os.pathsep}{path}" if path else hook,
            "MAMIMON_RUN_NOTES": str(self._folder),
        }

    def begin(self, pid: int) -> None:
        """Start looking at a program that has just started."""
        self._pid = pid
        try:
            self._tree = Tree(pid)
        except Exception as error:  # it may have ended already
            warn(f"what {self._name} uses is not measured: {error}")
        self._thread.start()

    def end(self, status: int) -> list[Link]:
        """Stop looking and tell the last values; the chain of what ended the program, if it was noted."""
        self._over.set()
        self._thread.join(5.0)
        self._read_notes()
        if self._tree is not None:
            self._send(self._tree.last(status), ended=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        return self._last

    def _look(self) -> None:
        due = time.monotonic() + LOOK_S
        while not self._over.wait(LOOK_S):
            try:
                self._read_notes()
                if self._tree is not None and time.monotonic() >= due:
                    due = time.monotonic() + METRICS_EVERY_S
                    self._send(self._tree.read(), ended=False)
            except Exception as error:
                warn(f"{self._name} could not be looked at: {error!r}")

    def _send(self, values: dict[str, float], ended: bool) -> None:
        if self._tree is not None:
            found = self._tree.metrics(values, ended)
            agent.put("metrics", (time.time(), socket.gethostname(), found), 1)

    def _read_notes(self) -> None:
        for path in sorted(self._folder.glob("*.json")):
            note = read_note(path.read_text(encoding="utf-8"))
            path.unlink()
            if note["pid"] == self._pid and not note["thread"]:
                self._last = note["links"]  # told with the exit
            elif self._told < MAX_NOTES:
                self._told += 1
                self._report(note)

    def _report(self, note: dict[str, Any]) -> None:
        where = {"in_thread": note["thread"]} if note["thread"] else {"in_process": note["pid"]}
        report = Report(
            event_id=os.urandom(16).hex(),
            created=note["at"],
            level="fatal",
            logger=f"{self._name}.process",
            message="",
            links=note["links"],
            handled=False,
            context={},
            extra=where,
        )
        agent.put("error", report, 3)
