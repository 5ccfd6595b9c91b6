"""What a program and everything it started use of the machine, for `mamimon run`."""

from __future__ import annotations

import resource
import time
from typing import Any

import psutil

from mamimon.client import push

NAMES = {
    "process_cpu_seconds_total": ("counter", "CPU time of the program and its children."),
    "process_resident_memory_bytes": ("gauge", "Resident memory of the program and its children."),
    "process_io_read_bytes_total": ("counter", "Bytes read from disks by the program and its children."),
    "process_io_written_bytes_total": ("counter", "Bytes written to disks by the program and its children."),
    "process_open_fds": ("gauge", "Open files of the program and its children."),
    "process_threads": ("gauge", "Threads of the program and its children."),
    "process_count": ("gauge", "Processes of the program's tree."),
    "process_up": ("gauge", "1 while the program runs, 0 when it has ended."),
    "process_exit_code": ("gauge", "Its exit code, 128 + number for a signal."),
    "process_duration_seconds": ("gauge", "How long it has been running or ran."),
}


class Tree:
    """The tree under one process. CPU and IO never fall: a child's share passes to who waited for it."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self.started = time.time()
        self._began = time.monotonic()
        self._most: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """The values now; what this machine does not tell is left out."""
        found: dict[str, float] = {}
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            processes = []
        for process in processes:
            for name, value in _of(process).items():
                found[name] = found.get(name, 0.0) + value
        if found:
            found["process_count"] = float(len(processes))
        return self._finish(found, up=1.0)

    def last(self, status: int) -> dict[str, float]:
        """The values after the end; all that it and its children used is known exactly by then."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = float(status if status >= 0 else 128 - status)
        return self._finish(
            {"process_cpu_seconds_total": used.ru_utime + used.ru_stime, "process_exit_code": code}, up=0.0
        )

    def _finish(self, found: dict[str, float], up: float) -> dict[str, float]:
        for name, value in found.items():
            if NAMES[name][0] == "counter":
                found[name] = self._most[name] = max(value, self._most.get(name, 0.0))
        found["process_up"] = up
        found["process_duration_seconds"] = time.monotonic() - self._began
        return found

    def metrics(self, values: dict[str, float], ended: bool) -> list[dict[str, Any]]:
        """The values as OTLP; at the end those of a living process end too."""
        now = time.time()
        found = [push.one(name, *NAMES[name], value, now, self.started) for name, value in values.items()]
        if ended:
            found += [
                push.one(name, kind, about, 0.0, now, self.started, ended=True)
                for name, (kind, about) in NAMES.items()
                if kind == "gauge" and name not in values
            ]
        return found


def _of(process: psutil.Process) -> dict[str, float]:
    """One process's values; nothing of one that has just ended."""
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            found = {
                "process_cpu_seconds_total": cpu.user + cpu.system + cpu.children_user + cpu.children_system,
                "process_resident_memory_bytes": float(process.memory_info().rss),
                "process_threads": float(process.num_threads()),
            }
    except psutil.Error:
        return {}
    try:  # another user's process tells less
        io = process.io_counters()
        found["process_io_read_bytes_total"] = float(io.read_bytes)
        found["process_io_written_bytes_total"] = float(io.write_bytes)
        found["process_open_fds"] = float(process.num_fds())
    except (psutil.Error, OSError, AttributeError):
        pass
    return found
