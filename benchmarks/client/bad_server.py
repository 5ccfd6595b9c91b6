"""An application under load, with and without us, while the server misbehaves: its slowest requests compared.

    python benchmarks/client/bad_server.py [SECONDS_A_MODE]

Two real applications get their requests in pairs (see tests/client/load.py). Rounds of the modes are repeated
and pooled, so that what the machine does meanwhile is in all of them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from tests.client.load import MODES, Program, arrived, measure, p99, spoil

ROUNDS = 4
WAIT_S = 60.0  # for what lies on disk


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    print("load:", *(f"{one:.1f}" for one in os.getloadavg()))
    took: dict[str, tuple[list[float], list[float]]] = {mode: ([], []) for mode in MODES}
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "arrived"
        receiver = Program("receiver", str(journal))
        bare, ours = Program("app"), Program("app", receiver.url, folder + "/spool")
        port = str(receiver.port)
        for _ in range(ROUNDS):
            for mode in MODES:
                spoil(receiver, mode)
                without, with_us = measure(bare, ours, asked, seconds / ROUNDS)
                asked += len(with_us)
                took[mode][0].extend(without)
                took[mode][1].extend(with_us)
            receiver = Program("receiver", str(journal), port)
        made = {line for number in range(asked) for line in (str(number), f"/{number}")}
        end = time.monotonic() + WAIT_S
        while made - arrived(journal) and time.monotonic() < end:
            time.sleep(0.2)
        for program in (bare, ours, receiver):
            program.end()
        print(f"{len(made)} lines made, {len(made - arrived(journal))} not arrived")
    print(f"{'mode':10} {'requests':>8} {'p50':>7} {'with us':>8} {'p99':>7} {'with us':>8} {'ratio':>6}")
    for mode, (without, with_us) in took.items():
        one, other = sorted(without), sorted(with_us)
        figures = (one[len(one) // 2], other[len(one) // 2], p99(one), p99(other))
        print(f"{mode:10} {len(one):8} {'{:7.2f} {:8.2f} {:7.2f} {:8.2f}'.format(*figures)}", end="")
        print(f" {p99(other) / p99(one):6.2f}")
    one, other = (sorted(wait for pair in took.values() for wait in pair[which]) for which in (0, 1))
    print(f"all modes: p50 {one[len(one) // 2]:.2f} and {other[len(other) // 2]:.2f} ms,", end=" ")
    print(f"p99 {p99(one):.2f} and {p99(other):.2f} ms, ratio {p99(other) / p99(one):.2f}")


if __name__ == "__main__":
    main()
