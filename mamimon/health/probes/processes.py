"""Checks of what should run here: processes and systemd's units."""

from __future__ import annotations

import asyncio
import shutil

import psutil

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding
from mamimon.health.probes.outcome import Failed, Look, Unchecked, in_thread
from mamimon.health.said import quoted, said


async def process(check: CheckSettings, look: Look) -> Finding:
    """Processes whose name is the target, or whose command line has it."""
    found = await in_thread(check, look, _running, check.target)
    words = said("%(count)s running", count=found)
    if found < check.at_least:
        raise Failed(words.also(said("at least %(count)s expected", count=check.at_least)))
    return Finding("up", words, facts={"mamimon_processes": float(found)})


def _running(wanted: str) -> int:
    found = 0
    own = psutil.Process().pid
    for one in psutil.process_iter(["name", "cmdline", "status"]):
        if one.pid == own or one.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if one.info["name"] == wanted or wanted in " ".join(one.info["cmdline"] or []):
            found += 1
    return found


async def systemd(check: CheckSettings, _: Look) -> Finding:
    """A unit that should be active; without a target, that no unit has failed."""
    if check.target:
        return await _unit(check.target)
    lines = await _systemctl("list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")
    failed = [line.split()[0] for line in lines if line.split()]
    if failed:
        words = said("failed units: %(units)s", units=", ".join(failed[:5]))
        return Finding("degraded", words, facts={"mamimon_systemd_failed_units": float(len(failed))})
    return Finding("up", said("no unit has failed"), facts={"mamimon_systemd_failed_units": 0.0})


async def _unit(name: str) -> Finding:
    asked = "--property=LoadState,ActiveState,SubState,Result"
    lines = await _systemctl("show", asked, "--", name)
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    state, detail = found.get("ActiveState", ""), found.get("SubState", "")
    if found.get("LoadState") == "not-found":
        raise Failed(said("there is no unit %(unit)s", unit=name))
    words = quoted(f"{state} ({detail})")
    if state in {"active", "reloading"}:
        return Finding("up", words)
    if state == "activating":
        return Finding("degraded", words)
    result = found.get("Result", "success")
    raise Failed(words.also(quoted(result)) if result != "success" else words)


async def _systemctl(*arguments: str) -> list[str]:
    program = shutil.which("systemctl")
    if program is None:
        raise Unchecked(said("there is no systemd here"))
    running = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode != 0:
        raise Unchecked(quoted(errors.decode("utf-8", "replace").strip()[:200] or "systemctl failed"))
    return output.decode("utf-8", "replace").splitlines()
