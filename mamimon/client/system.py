"""The machine and the process, read when `/metrics` is asked: psutil where it is, else /proc."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

_MIN_INTERVAL_S = 0.5


class Reading(NamedTuple):
    """One value: name, kind of metric, meaning, value."""

    name: str
    kind: str
    about: str
    value: float


class _Cpu:
    """CPU in use since the last reading, as a share of all cores."""

    def __init__(self) -> None:
        self._busy, self._total = _cpu_times()
        self._at = time.monotonic()
        self.percent = 0.0

    def read(self) -> float:
        now = time.monotonic()
        if now - self._at >= _MIN_INTERVAL_S:
            busy, total = _cpu_times()
            if total > self._total:
                share = (busy - self._busy) / (total - self._total)
                self.percent = round(100.0 * max(0.0, min(1.0, share)), 2)
            self._busy, self._total, self._at = busy, total, now
        return self.percent


def _cpu_times() -> tuple[float, float]:
    """Busy and total seconds or ticks of all cores since the start of the machine."""
    try:
        fields = [float(text) for text in _first_line("/proc/stat").split()[1:9]]
    except (OSError, ValueError):
        try:
            import psutil
        except ImportError:
            return 0.0, 0.0
        times = psutil.cpu_times()
        return sum(times) - times.idle, sum(times)
    total = sum(fields)
    return total - fields[3] - fields[4], total


def _first_line(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - /proc, read at every scrape
        return file.readline()


_cpu = _Cpu()


def readings() -> Iterator[Reading]:
    """System and process values; what this machine cannot tell is left out."""
    yield Reading(
        "system_cpu_usage_percent", "gauge", "CPU in use, all cores, since the last scrape.", _cpu.read()
    )
    memory = _memory_percent()
    if memory is not None:
        yield Reading("system_memory_usage_percent", "gauge", "Memory in use.", memory)
    try:
        disk = shutil.disk_usage(os.getcwd())  # noqa: PTH109 - may be deleted under us
        used = 100.0 * disk.used / ((disk.used + disk.free) or 1)
        yield Reading(
            "system_disk_usage_percent", "gauge", "Disk of the working directory in use.", round(used, 2)
        )
    except OSError:
        pass
    yield from _process()


def _memory_percent() -> Optional[float]:
    try:
        import psutil
    except ImportError:
        pass
    else:
        return float(psutil.virtual_memory().percent)
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        kilobytes = {line.split(":")[0]: float(line.split()[1]) for line in lines if line[:3] == "Mem"}
        return round(100.0 * (1.0 - kilobytes["MemAvailable"] / kilobytes["MemTotal"]), 2)
    except (OSError, KeyError, ValueError, IndexError, ZeroDivisionError):
        return None


STARTED = time.time()


def _process() -> Iterator[Reading]:
    times = os.times()
    yield Reading(
        "process_cpu_seconds_total", "counter", "CPU time of the process.", times.user + times.system
    )
    yield Reading("process_start_time_seconds", "gauge", "When the process started, Unix time.", STARTED)
    try:
        resident = int(_first_line("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield Reading(
            "process_resident_memory_bytes", "gauge", "Resident memory of the process.", float(resident)
        )
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield Reading("process_open_fds", "gauge", "Open files of the process.", float(files))
    except (OSError, ValueError, IndexError):
        return
