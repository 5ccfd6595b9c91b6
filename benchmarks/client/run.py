"""What `mamimon run` adds to a program: its time beside the program alone, and our CPU beside the program's.

The program works for some seconds and prints lines all the while. Rounds alternate, the start of Python for
`mamimon run` itself is measured apart: a program that runs for a day pays it once.

    python benchmarks/client/run.py [SECONDS] [LINES_A_SECOND]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
PROGRAM = """
import sys, time
seconds, rate = float(sys.argv[1]), float(sys.argv[2])
work = int(seconds * 50)
for step in range(work):
    total = sum(number * number for number in range(100_000))
    for line in range(int(rate / 50)):
        print(f"INFO step {step} line {line} of shelf b done in {total % 97} ms", flush=True)
"""


def took(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    seconds = sys.argv[1] if len(sys.argv) > 1 else "10"
    rate = sys.argv[2] if len(sys.argv) > 2 else "100"
    sys.path.insert(0, str(Path.cwd()))
    from tests.client.receiver import Receiver

    print("load:", *(f"{one:.1f}" for one in os.getloadavg()))
    receiver = Receiver()
    env = {**os.environ, "MAMIMON_SPOOL_DIR": tempfile.mkdtemp()}
    watch = [sys.executable, "-m", "mamimon", "run", "--url", receiver.url, "--service", "job", "--"]
    nothing = [sys.executable, "-c", "pass"]
    alone = [sys.executable, "-c", PROGRAM, seconds, rate]
    start = [took([*watch, *nothing], env), took(nothing, env)]
    rounds = [(took(alone, env), took([*watch, *alone], env)) for _ in range(ROUNDS)]
    receiver.close()
    once = [start[0][at] - start[1][at] for at in (0, 1)]
    bare, ours = ([statistics.median(one[which][at] for one in rounds) for at in (0, 1)] for which in (0, 1))
    wall, cpu = (ours[at] - once[at] - bare[at] for at in (0, 1))
    print(f"alone {bare[0]:.2f} s with {bare[1]:.2f} s of CPU; watched {ours[0]:.2f} s with {ours[1]:.2f} s")
    print(f"start: {once[0]:.2f} s with {once[1]:.2f} s of CPU, once")
    print(f"longer by {wall / bare[0]:+.1%}; CPU beside the running time {cpu / bare[0]:+.1%}")


if __name__ == "__main__":
    main()
