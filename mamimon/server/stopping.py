"""A stop that hangs ends anyway, and says where it hung.

What was acknowledged is durable before it is acknowledged, so ending hard loses no more than a kill does.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HUNG = 70
"""The exit status of a stop that was cut short (sysexits.h: EX_SOFTWARE)."""


@contextmanager
def ended_within(seconds: float, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """End the process with status `HUNG` when the body takes longer, and say all stacks."""
    timer = threading.Timer(seconds, _end, [seconds, loop])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    try:
        sys.stderr.write(f"mamimon did not stop within {seconds:g} s and is ended; it hung here:\n")
        faulthandler.dump_traceback(sys.stderr)
        for task in asyncio.all_tasks(loop):
            task.print_stack(file=sys.stderr)
        sys.stderr.flush()
    finally:
        os._exit(HUNG)
