"""A stop that hangs is cut short; one that does not is left alone."""

from __future__ import annotations

import subprocess
import sys

from mamimon.server.stopping import HUNG

PROGRAM = """
import asyncio
from mamimon.server.stopping import ended_within

async def hangs():
    await asyncio.sleep({sleep})

async def stops():
    with ended_within({within}, asyncio.get_running_loop()):
        await asyncio.create_task(hangs())

asyncio.run(stops())
"""


def run(sleep: float, within: float) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(sleep=sleep, within=within)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)


def test_a_stop_that_hangs_ends_and_says_where() -> None:
    """The stacks on stderr name the task that hung."""
    ended = run(sleep=90, within=0.2)
    assert ended.returncode == HUNG
    assert "did not stop within 0.2 s" in ended.stderr
    assert "in hangs" in ended.stderr


def test_a_stop_in_time_is_left_alone() -> None:
    """Nothing is said, and the status is the program's own."""
    ended = run(sleep=0.01, within=60)
    assert (ended.returncode, ended.stderr) == (0, "")
