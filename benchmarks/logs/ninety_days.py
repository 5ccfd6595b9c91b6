"""Ninety sealed days: python benchmarks/logs/ninety_days.py [lines] [folder].

What a list, a search and a chart cost where there are many files: first with all files out of the page
cache and a process that has opened none, then warm; and memory after questions about ten days and ninety.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import ten_million as bench

DAYS = 90
WARM = 10


def questions(start: float, pick: random.Random) -> dict[str, dict[str, Any]]:
    """What is asked; the days are drawn anew."""
    end = start + DAYS * bench.DAY_S
    day = start + pick.randrange(DAYS) * bench.DAY_S
    ten, all_days = bench.within(end - 10 * bench.DAY_S, end), bench.within(start, end)
    checkout = {"bool": {"must": [bench.words("checkout")], "filter": [bench.within(day, day + bench.DAY_S)]}}
    return {
        "newest 100": bench.newest({"match_all": {}}),
        "newest 100: level:ERROR": bench.newest(bench.words("level:ERROR")),
        "newest 100: user id, all days": bench.newest(bench.words(f"u{pick.randrange(50_000)}")),
        "an absent word, all days": bench.newest(bench.words("zanzibarian")),
        "date_histogram minute, a day": bench.counted(
            bench.within(day, day + bench.DAY_S), "t", date_histogram=bench.steps("1m")
        ),
        "a term by the minute, a day": bench.counted(checkout, "t", date_histogram=bench.steps("1m")),
        "date_histogram hour, ten days": bench.counted(ten, "t", date_histogram=bench.steps("1h")),
        "date_histogram day, all days": bench.counted(all_days, "t", date_histogram=bench.steps("1d")),
        "terms on logger, all days": bench.counted(all_days, "l", terms={"field": "logger", "size": 50}),
    }


def main() -> int:
    """Fill, ask, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 900_000
    bench.DAYS = DAYS
    with tempfile.TemporaryDirectory(prefix="mamimon-ninety-days-") as name:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else name)
        if not (folder / "facts.json").exists():
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            asyncio.run(bench.fill(folder, count))
        start = json.loads((folder / "facts.json").read_text())["start"]
        pick = random.Random(8)
        print(f"{'':34} {'cold':>9} {'warm p50':>9} {'worst':>7} {'MB':>5}")
        for kind in questions(start, pick):
            with bench.serving(folder) as (client, process):
                bench.forget(folder)
                cold, _ = bench.ask(client, questions(start, pick)[kind])
                warm = [bench.ask(client, questions(start, pick)[kind])[0] for _ in range(WARM)]
                rss = process.memory_info().rss / 1e6
            print(f"{kind:34} {cold:9.1f} {bench.share(warm, 0.5):9.1f} {max(warm):7.1f} {rss:5.0f}")
    print("load average:", *(f"{load:.1f}" for load in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
