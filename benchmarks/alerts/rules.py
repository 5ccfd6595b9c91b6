"""2,000 rules over 10,000 series, evaluated by a real server on one core.

Run: python -m benchmarks.alerts.rules [--rules 2000] [--targets 100]

Remote-writes the last half hour of 100 targets x 100 series, starts mamimon with 20 groups of rules (a quarter
over all targets of a metric, half over a job's, a quarter over one target's; rates, averages, quantiles, sums,
comparisons, a tenth of them recording) pinned to one core, and reads how many processor seconds each
interval of 15 s took: everything mamimon does, the rules being nearly all of it. Bar: < 5 s.
"""

# ruff: noqa: E501 (tables)
from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import cramjam
import numpy as np

from benchmarks.metrics.samples import STEP_MS, encoded, remote_write, series_labels, stamps
from benchmarks.metrics.servers import Mamimon

BAR_S = 5.0
METRICS = 20


def rule_file(rules: int, targets: int) -> str:
    """The groups as YAML."""
    lines = ["groups:"]
    for number in range(rules):
        if number % 100 == 0:
            lines += [f"- name: group{number // 100}", "  interval: 15s", "  rules:"]
        metric = f"load_{number % METRICS}_total"
        which = (
            "",
            f'{{job="j{number % 5}"}}',
            f'{{job="j{number % 5}"}}',
            f'{{instance="host{number % targets}:9100"}}',
        )
        chosen = metric + which[number % 4]
        form = (
            "rate({}[5m]) > 1e9",
            "avg by (job) (rate({}[5m])) > 1e9",
            "{} > 1e15",
            "sum by (instance) (increase({}[10m])) > 1e12",
            "max_over_time({}[5m]) < 0",
            "quantile by (job) (0.9, rate({}[5m])) > 1e9",
        )[number % 6]
        if number % 10 == 9:
            lines += [f"  - record: kept:{number}", f"    expr: sum by (job) (rate({chosen}[5m]))"]
        else:
            lines += [f"  - alert: Alert{number}", f"    expr: {form.format(chosen)}", "    for: 1m"]
    return "\n".join(lines) + "\n"


def write(server: Mamimon, targets: int) -> None:
    """Half an hour of samples that end five minutes ahead, so that they stay fresh."""
    random = np.random.default_rng(3)
    end = int(time.time() * 1000) + 300_000
    times = end - np.arange(120, dtype=np.int64)[::-1] * STEP_MS
    for target in range(targets):
        at = stamps(times - target * 100)
        body = b"".join(
            remote_write(
                series_labels(
                    {
                        "__name__": f"load_{n % METRICS}_total",
                        "n": str(n),
                        "job": f"j{target % 5}",
                        "instance": f"host{target}:9100",
                    }
                ),
                encoded(at, np.cumsum(random.integers(0, 50, 120)).astype(np.float64)),
            )
            for n in range(100)
        )
        server.write(bytes(cramjam.snappy.compress_raw(body)))


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """See the module."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rules", type=int, default=2000)
    options.add_argument("--targets", type=int, default=100)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rules = folder / "rules.yml"
        rules.write_text(rule_file(given.rules, given.targets))
        server = Mamimon(folder / "mamimon")
        server.prefix = ["taskset", "-c", "0"] if shutil.which("taskset") else []
        server.start()
        write(server, given.targets)
        server.stop()
        os.environ["MAMIMON_ALERTS__RULE_FILES"] = str(rules)
        server.start()
        assert server.popen is not None
        try:
            print("load average", os.getloadavg())
            time.sleep(15)  # until every group has had its turn
            for _ in range(3):
                before = cpu_s(server.popen.pid)
                time.sleep(15)
                used = cpu_s(server.popen.pid) - before
                groups = server.client.get("/api/v1/rules").json()["data"]["groups"]
                rules_ = [rule for group in groups for rule in group["rules"]]
                bad = [rule["lastError"] for rule in rules_ if rule["health"] != "ok"]
                print(
                    f"{len(rules_)} rules in {used:.2f} s of processor "
                    f"(bar {BAR_S:g}: {'ok' if used < BAR_S else 'MISSED'}), {len(bad)} not ok {bad[:1]}",
                    flush=True,
                )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
