"""Start-up and idle cost: seconds to ready, resident memory, cost of `import mamimon`.

Run: `python benchmarks/start.py [--runs 5] [--idle 20] [--json]`. Exits 1 when a target is missed.

As in an installed package every module is compiled already: by a first run that does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import psutil

TARGETS = {"ready_s": 1.5, "idle_rss_mb": 130.0, "import_ms": 30.0}


def environment(compiled: str) -> dict[str, str]:
    """One in which modules are compiled once, whatever is set here."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": compiled}


def ready_and_idle(idle_s: float, compiled: str) -> tuple[float, float]:
    """Seconds from the command to 200 from /readyz, and MiB resident after `idle_s`."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "mamimon", "serve", "--data-dir", folder, "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(compiled),
        )
        try:
            assert server.stderr is not None
            url = next(m.group(1) for line in server.stderr if (m := re.search(r"ready on (\S+)", line)))
            with urllib.request.urlopen(f"{url}/readyz") as answer:
                assert answer.status == 200
            ready = time.perf_counter() - began
            time.sleep(idle_s)
            rss = psutil.Process(server.pid).memory_info().rss / 2**20
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    return ready, rss


def import_cost_ms(compiled: str) -> float:
    """Milliseconds that `import mamimon` adds to a bare interpreter, by -X importtime."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import mamimon"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(compiled),
    )
    last = [line for line in done.stderr.splitlines() if line.rstrip().endswith("mamimon")][-1]
    return int(last.split("|")[1]) / 1000


def measure(runs: int, idle_s: float, compiled: str) -> dict[str, float]:
    """All figures."""
    ready_and_idle(0.0, compiled)
    starts = [ready_and_idle(idle_s if run == 0 else 0.0, compiled) for run in range(runs)]
    return {
        "ready_s": round(statistics.median(ready for ready, _ in starts), 3),
        "ready_worst_s": round(max(ready for ready, _ in starts), 3),
        "idle_rss_mb": round(starts[0][1], 1),
        "import_ms": round(statistics.median(import_cost_ms(compiled) for _ in range(runs)), 2),
    }


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        figures = measure(options.runs, options.idle, compiled)
    print(json.dumps(figures) if options.json else "\n".join(f"{k} {v}" for k, v in figures.items()))
    missed = [name for name, limit in TARGETS.items() if figures[name] > limit]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
