"""What one log call costs the thread that makes it, the sender at work beside it.

Calls come in bursts with a pause, as an application's do, so that the sender encodes and sends meanwhile; the
receiver is a process of its own. `logging` alone, with a handler that does nothing, is the floor.

    python benchmarks/client/call.py [CALLS]
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BURST = 20
PAUSE_S = 0.005


def measure(call: Callable[[], None], calls: int) -> list[float]:
    """Microseconds of each call, sorted."""
    took: list[float] = []
    for number in range(calls):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1e6)
        if number % BURST == 0:
            time.sleep(PAUSE_S)
    return sorted(took)


def show(name: str, took: list[float]) -> None:
    mean = sum(took) / len(took)
    print(
        f"{name:34} p50 {took[len(took) // 2]:5.1f}  mean {mean:5.1f}  p99 {took[-len(took) // 100]:6.1f} µs"
    )


def run(url: str, calls: int) -> None:
    log = logging.getLogger("chat.orders")
    shapes: dict[str, Callable[[], None]] = {
        "message": lambda: log.info("message stored"),
        "message % arguments": lambda: log.info("message %s stored in %d ms", "c1", 17),
        "extra of two fields": lambda: log.info("message stored", extra={"chat_id": "c1", "length": 17}),
        "below the level": lambda: log.debug("message stored"),
    }
    if url:
        import mamimon

        mamimon.init(url, console="off", spool_dir=tempfile.mkdtemp(), queue_records=1_000_000)
    else:
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger().addHandler(logging.NullHandler())
    for name, call in shapes.items():
        measure(call, calls // 10)
        show(f"{'mamimon' if url else 'logging'}: {name}", measure(call, calls))


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    if len(sys.argv) > 2:
        run(sys.argv[2], calls)
        return
    sys.path.insert(0, str(Path.cwd()))
    from tests.client.receiver import Receiver

    print("load:", *(f"{one:.1f}" for one in os.getloadavg()))
    receiver = Receiver()
    for url in ("", receiver.url):
        subprocess.run([sys.executable, __file__, str(calls), url], check=True)
    receiver.close()


if __name__ == "__main__":
    main()
