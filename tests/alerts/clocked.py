"""A real server process whose clock a test moves over stdin, so that it can be killed at any instant of it.

    python tests/alerts/clocked.py DATA_DIR SETTINGS_JSON NOW

It prints `ready URL`, then answers each line `advance SECONDS` or `jump SECONDS` with `at NOW` once its
loops are asleep again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server


def main() -> None:
    """Serve until stdin ends."""
    data_dir, sections, now = Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])
    settings = Settings()
    settings.server.port = 0
    for section, values in sections.items():
        for key, value in values.items():
            setattr(getattr(settings, section), key, value)
    clock = ManualClock(now)
    server = Server(settings, data_dir, clock)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    assert server.ready.wait(20)
    print("ready", server.url, flush=True)
    for line in sys.stdin:
        word, _, amount = line.partition(" ")
        asleep = clock.sleepers
        getattr(clock, word)(float(amount))
        deadline = time.monotonic() + max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        time.sleep(0.01)
        while clock.sleepers < asleep and time.monotonic() < deadline:
            time.sleep(0.002)
        print("at", clock.now(), flush=True)
    server.stop()
    thread.join(20)


if __name__ == "__main__":
    main()
