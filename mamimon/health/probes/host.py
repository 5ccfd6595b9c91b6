"""Checks of this machine: disk and its forecast, inodes, memory, swap, load, clock."""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import socket
import struct
import time

import psutil

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding, State
from mamimon.health.probes.outcome import Failed, Look, Unchecked, in_thread
from mamimon.health.said import Said, said

_NEVER = math.inf
_LIMITS = {
    "disk": (80.0, 95.0),
    "inodes": (80.0, 95.0),
    "memory": (90.0, 98.0),
    "swap": (80.0, _NEVER),
    "load": (200.0, _NEVER),
}
_NTP_EPOCH_S = 2_208_988_800
_UNSYNCHRONISED = 0x40
_NANOSECONDS = 0x2000


def _usage(check: CheckSettings, percent: float, words: Said) -> Finding:
    degraded, down = _LIMITS[check.kind]
    state: State = "up"
    if percent >= (check.down_percent or down):
        state = "down"
    elif percent >= (check.degraded_percent or degraded):
        state = "degraded"
    return Finding(state, words)


def _gib(value: float) -> str:
    return f"{value / 2**30:.1f}"


async def disk(check: CheckSettings, look: Look) -> Finding:
    """Use of a file system, and when it will be full at the rate of the last hours."""
    usage = await in_thread(check, look, psutil.disk_usage, check.target)
    look.trend.add(look.now, usage.used)
    words = said("%(percent)s %% used", percent=f"{usage.percent:.0f}").also(
        said("%(size)s GiB free", size=_gib(usage.free))
    )
    full_in_s = look.trend.full_in_s(usage.used + usage.free)
    if full_in_s is None or full_in_s > 30 * 86_400:
        return _usage(check, usage.percent, words)
    finding = _usage(
        check, usage.percent, words.also(said("full in %(hours)s hours", hours=f"{full_in_s / 3600:.0f}"))
    )
    state: State = finding.state
    if state == "up" and full_in_s < check.full_within_h * 3600:
        state = "degraded"
    return Finding(state, finding.said, facts={"mamimon_disk_full_in_seconds": full_in_s})


async def inodes(check: CheckSettings, look: Look) -> Finding:
    """Use of the table of files, which may be full while the disk is not."""
    found = await in_thread(check, look, os.statvfs, check.target)
    if not found.f_files:
        return Finding("up", said("this file system has no limit of files"))
    used = found.f_files - found.f_ffree
    percent = 100 * used / max(1, used + found.f_favail)
    words = said("%(percent)s %% used", percent=f"{percent:.0f}").also(
        said("room for %(count)s files", count=f"{found.f_favail:d}")
    )
    return _usage(check, percent, words)


async def memory(check: CheckSettings, look: Look) -> Finding:
    """Use of memory, without what the system would give back."""
    found = await in_thread(check, look, psutil.virtual_memory)
    words = said("%(percent)s %% used", percent=f"{found.percent:.0f}").also(
        said("%(size)s GiB available", size=_gib(found.available))
    )
    return _usage(check, found.percent, words)


async def swap(check: CheckSettings, look: Look) -> Finding:
    """Use of swap."""
    found = await in_thread(check, look, psutil.swap_memory)
    if not found.total:
        return Finding("up", said("no swap"))
    words = said("%(percent)s %% used", percent=f"{found.percent:.0f}").also(
        said("%(size)s GiB free", size=_gib(found.free))
    )
    return _usage(check, found.percent, words)


async def load(check: CheckSettings, _: Look) -> Finding:
    """How many tasks want to run, over five minutes, by core."""
    one, five, fifteen = os.getloadavg()
    cores = len(os.sched_getaffinity(0))
    words = said(
        "%(one)s %(five)s %(fifteen)s on %(cores)s cores",
        one=f"{one:.2f}",
        five=f"{five:.2f}",
        fifteen=f"{fifteen:.2f}",
        cores=cores,
    )
    return _usage(check, 100 * five / cores, words)


async def clock(check: CheckSettings, look: Look) -> Finding:
    """How far the clock may be off: by a time server (SNTP), or as the kernel's own discipline says."""
    if check.target:
        off = await _sntp(check.target)
        words = said("off by %(ms)s ms", ms=f"{off * 1000:+.0f}")
        return _drift(check, abs(off), words, off)
    kept, off = await in_thread(check, look, _kernel_time)
    if not kept:
        raise Unchecked(said("no time service keeps this clock"))
    return _drift(
        check, off, said("kept by a time service, off by at most %(ms)s ms", ms=f"{off * 1000:.0f}"), off
    )


def _drift(check: CheckSettings, distance: float, words: Said, off: float) -> Finding:
    state: State = "up"
    if distance > 60 * check.drift_s:
        state = "down"
    elif distance > check.drift_s:
        state = "degraded"
    return Finding(state, words, facts={"mamimon_clock_offset_seconds": off})


class _Timex(ctypes.Structure):
    """The head of Linux' `struct timex`; the rest is room for what the kernel writes behind it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _kernel_time() -> tuple[bool, float]:
    """Whether the kernel's clock is disciplined, and the larger of its offset and estimated error."""
    found = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found))
    except (AttributeError, OSError):
        return False, 0.0
    if answer < 0:
        return False, 0.0
    unit = 1e-9 if found.status & _NANOSECONDS else 1e-6
    return not found.status & _UNSYNCHRONISED, max(abs(found.offset) * unit, found.esterror * 1e-6)


async def _sntp(target: str) -> float:
    """Seconds that a time server's clock is ahead of ours (RFC 4330)."""
    host, _, port = target.rpartition(":")
    if not port.isdigit() or (":" in host and not host.startswith("[")):
        host, port = target, "123"
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    with socket.socket(found[0][0], socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, found[0][4])
        mark = os.urandom(8)
        sent = time.time()
        await loop.sock_sendall(sock, b"\x23" + bytes(39) + mark)
        while True:
            answer = await loop.sock_recv(sock, 512)
            came = time.time()
            # The server repeats our mark: an answer without it is not to this question.
            if len(answer) >= 48 and answer[24:32] == mark:
                break
    if answer[1] == 0 or answer[1] > 15:
        raise Failed(said("%(server)s does not know the time itself", server=target))
    received, transmitted = (_ntp(answer[at : at + 8]) for at in (32, 40))
    return ((received - sent) + (transmitted - came)) / 2


def _ntp(raw: bytes) -> float:
    whole, part = struct.unpack("!II", raw)
    return float(whole - _NTP_EPOCH_S + part / 2**32)
