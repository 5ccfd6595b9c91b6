"""How often an incident names what is to blame: every planted fault of the sample service, several times.

    python benchmarks/alerts/suggestions.py [SEEDS]

Each run is a server of its own with 35 minutes of usual traffic, the fault, and four minutes of it. A run
counts when the right endpoint and log pattern, and the right deploy (or none where none is to blame), are
all among the first three suggestions.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server
from tests.alerts.replay import FAULTS, RULES, plant, verdict
from tests.conftest import Running


def run(name: str, seed: int) -> dict[str, bool]:
    """One fault on one server."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.yml")
        rules.write_text(RULES)
        settings = Settings()
        settings.server.port = 0
        settings.metrics.scrape_self = False
        settings.alerts.builtin_rules = False
        settings.alerts.rule_files = [str(rules)]
        clock = ManualClock(float(int(time.time())))
        running = Running(Server(settings, Path(folder, "data"), clock))
        try:
            return verdict(FAULTS[name], plant(running, clock, name, seed))
        finally:
            running.stop()


def main() -> None:
    """Print a line a fault and the score."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    total = 0
    for name in FAULTS:
        verdicts = [run(name, seed) for seed in range(seeds)]
        named = sum(all(one.values()) for one in verdicts)
        total += named
        missed = sorted({part for one in verdicts for part, found in one.items() if not found})
        print(f"{name:<20} {named}/{seeds}  {'missed: ' + ', '.join(missed) if missed else ''}", flush=True)
    print(f"score {total}/{len(FAULTS) * seeds}")


if __name__ == "__main__":
    main()
