"""Child processes: what ends one is not lost, and how one ended is known.

A `multiprocessing` child (and billiard's, which is Celery's) leaves by `os._exit`, so nothing that is meant
for the end of a program runs there, and an exception that ends it is only printed.
"""

from __future__ import annotations

import logging
import signal
import sys
from functools import wraps
from typing import Any

from mamimon.client import agent, errors, start
from mamimon.client.imports import when_imported
from mamimon.client.settings import warn

_log = logging.getLogger("mamimon.processes")
# Signals by which programs are asked to end.
_ASKED = frozenset(("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL", "SIGPIPE"))


def watch() -> None:
    """Meet `multiprocessing`, billiard, `subprocess` and asyncio's subprocesses."""
    when_imported("multiprocessing.process", _children)
    when_imported("billiard.process", _children)
    when_imported("subprocess", _subprocess)
    when_imported("asyncio.base_subprocess", _asyncio)


def _children(module: Any) -> None:
    owner = module.BaseProcess
    original = owner._bootstrap
    if getattr(original, "__mamimon__", False):
        return

    @wraps(original)
    def bootstrap(self: Any, *arguments: Any, **named: Any) -> Any:
        run = self.run

        def watched() -> None:
            try:
                run()
            except Exception as error:
                errors.uncaught(error, {"in_process": str(self.name)})
                raise

        self.run = watched
        try:
            return original(self, *arguments, **named)
        finally:
            _end()

    bootstrap.__mamimon__ = True  # type: ignore[attr-defined]
    owner._bootstrap = bootstrap


def _end() -> None:
    try:
        if agent.shipper() is not None:
            start.shutdown()
    except Exception as error:
        warn(f"the last records of a child could not be delivered: {error!r}")


def _subprocess(module: Any) -> None:
    owner = module.Popen
    original = getattr(owner, "_handle_exitstatus", None)
    if original is None or getattr(original, "__mamimon__", False):
        return

    @wraps(original)
    def handle(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = original(self, *arguments, **named)
        _ended(self.args, self.pid, self.returncode)
        return answer

    handle.__mamimon__ = True  # type: ignore[attr-defined]
    owner._handle_exitstatus = handle


def _asyncio(module: Any) -> None:
    owner = module.BaseSubprocessTransport
    original = owner._process_exited
    if getattr(original, "__mamimon__", False):
        return

    @wraps(original)
    def exited(self: Any, returncode: Any) -> Any:
        if self._proc is not None:
            _ended(self._proc.args, self._proc.pid, returncode)
        return original(self, returncode)

    exited.__mamimon__ = True  # type: ignore[attr-defined]
    owner._process_exited = exited


def _ended(arguments: Any, pid: int, code: Any) -> None:
    """One record of a subprocess that failed: its program without its arguments, which may hold secrets."""
    if not code or not isinstance(code, int) or sys.is_finalizing() or agent.shipper() is None:
        return
    try:
        first = arguments if isinstance(arguments, (str, bytes)) or not arguments else arguments[0]
        text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
        program = (text.split() or [""])[0].rpartition("/")[2][:200]
        facts: dict[str, Any] = {"program": program, "child_pid": pid, "exit_code": code}
        if code < 0:
            name = _signal(-code)
            facts = {**facts, "exit_code": 128 - code, "signal": name}
            level = logging.INFO if name in _ASKED else logging.ERROR
            _log.log(level, "%s was ended by %s", program, name, extra=facts)
        else:
            _log.warning("%s exited with code %d", program, code, extra=facts)
    except Exception as error:
        warn(f"the end of a subprocess could not be logged: {error!r}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
