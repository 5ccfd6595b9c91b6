"""The samples that both sides of the differential test get: node_exporter's output set in motion, and edges.

Times are fixed (around a midnight, so that two day files and three two-hour windows are met) and everything
random is seeded, so a query that differs can be asked again.
"""

from __future__ import annotations

import math
import random
import re
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
START = 1_767_654_000_000  # 2026-01-05T23:00:00Z
END = START + 5_400_000
STEP = 15_000

Labels = dict[str, str]
Samples = list[tuple[int, float]]

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$")
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_FAMILIES = (
    "node_cpu_seconds_total", "node_cpu_guest_seconds_total", "node_disk_read_bytes_total",
    "node_disk_io_now", "node_disk_reads_completed_total", "node_disk_info",
    "node_filesystem_size_bytes", "node_filesystem_avail_bytes", "node_filesystem_readonly",
    "node_load1", "node_load5", "node_memory_MemTotal_bytes", "node_memory_MemFree_bytes",
    "node_network_receive_bytes_total", "node_network_transmit_bytes_total", "node_network_up",
    "node_network_info", "node_interrupts_total", "node_hwmon_temp_celsius",
    "node_hwmon_temp_max_celsius", "node_softirqs_total", "node_uname_info", "node_boot_time_seconds",
    "node_time_seconds", "node_scrape_collector_success", "node_scrape_collector_duration_seconds",
    "process_cpu_seconds_total", "go_gc_duration_seconds", "go_goroutines",
    "node_context_switches_total", "node_buddyinfo_blocks", "node_md_disks", "node_md_state",
    "node_netstat_Tcp_InSegs", "node_vmstat_pgfault", "node_zfs_zpool_state", "node_systemd_unit_state",
)  # fmt: skip


@dataclass
class Native:
    """A native histogram: exponential buckets (schema 1, from index 0), or custom ones with `bounds`."""

    counts: list[int]
    zero: int
    sum: float
    bounds: tuple[float, ...] = ()


@dataclass
class Metric:
    """What the generator knows of a metric."""

    name: str
    kind: str
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    distinct: bool = False
    """No two of its series ever have the same value."""


class World:
    """Every series with its samples, and the metrics that they are of."""

    def __init__(self, exposition: Path) -> None:
        self.random = random.Random(20260105)
        self.series: list[tuple[Labels, Samples]] = []
        self.metrics: dict[str, Metric] = {}
        self.natives: list[tuple[Labels, list[tuple[int, Native]]]] = []
        for number, instance in enumerate(("alpha:9100", "beta:9100")):
            self._node(exposition, {"job": "node", "instance": instance}, number * 137)
        # The same label sets once more under another job, sparser.
        self._node(exposition, {"job": "spare", "instance": "alpha:9100"}, 41, step=60_000, families=12)
        self._requests()
        self._edges()
        self._natives()

    def add(self, labels: Labels, samples: Samples, kind: str, *, distinct: bool = False) -> None:
        """Keep a series."""
        self.series.append((labels, samples))
        name = labels["__name__"]
        metric = self.metrics.setdefault(name, Metric(name, kind, distinct=distinct))
        for key, value in labels.items():
            if key != "__name__":
                metric.labels[key].add(value)

    def batches(self, length_ms: int = 600_000) -> list[list[tuple[Labels, list[tuple[int, Any]]]]]:
        """All samples in the order of time, in pieces as senders send them."""
        out = []
        for at in range(START - 60_000, END + 60_000, length_ms):
            batch = [
                (labels, [one for one in samples if at <= one[0] < at + length_ms])
                for labels, samples in (*self.series, *self.natives)
            ]
            out.append([(labels, samples) for labels, samples in batch if samples])
        return out

    def _natives(self) -> None:
        """Request times of two jobs as exponential histograms, sizes as custom ones; some are reset."""
        for job in ("shop", "blog"):
            for instance in ("web-1:8000", "web-2:8000"):
                target = {"job": job, "instance": instance}
                times = self._times(self.random.randrange(15_000))
                for method in ("GET", "POST"):
                    labels = {"__name__": "native_seconds", "method": method, **target}
                    self.natives.append((labels, self._observed(times, 9, ())))
                bounds = (10.0, 100.0, 1000.0) if instance == "web-1:8000" else (10.0, 50.0, 100.0, 1000.0)
                labels = {"__name__": "native_bytes", **target}
                self.natives.append((labels, self._observed(times, len(bounds) + 1, bounds)))

    def _observed(
        self, times: list[int], buckets: int, bounds: tuple[float, ...]
    ) -> list[tuple[int, Native]]:
        counts, zero, total, out = [0] * buckets, 0, 0.0, []
        for at in times:
            if self.random.random() < 0.01:
                counts, zero, total = [0] * buckets, 0, 0.0
            for _ in range(self.random.randrange(6)):
                counts[min(int(self.random.expovariate(0.4)), buckets - 1)] += 1
                total += self.random.expovariate(1)
            if not bounds and self.random.random() < 0.2:
                zero += 1
            if self.random.random() >= 0.03:
                out.append((at, Native(list(counts), zero, total, bounds)))
        return out

    def _times(self, shift: int, step: int = STEP) -> list[int]:
        return list(range(START + shift, END + 1, step))

    def _counter(self, first: float, whole: bool, count: int) -> list[float]:
        value, out = first, []
        pace = self.random.choice((0, 0.3, 3, 40, 1e6))
        for _ in range(count):
            if self.random.random() < 0.004:
                value = 0.0
            step = self.random.expovariate(1 / pace) if pace and self.random.random() < 0.8 else 0.0
            value += math.floor(step) if whole else step
            out.append(value)
        return out

    def _gauge(self, first: float, whole: bool, count: int) -> list[float]:
        value, out = first, []
        size = max(abs(first), 1.0) * 0.05
        for _ in range(count):
            if self.random.random() < 0.6:
                value += self.random.gauss(0, size)
            out.append(float(round(value)) if whole else value)
        return out

    def _node(
        self, exposition: Path, target: Labels, shift: int, *, step: int = STEP, families: int = 99
    ) -> None:
        kinds: dict[str, str] = {}
        seen: dict[str, int] = defaultdict(int)
        gone = self.random.randrange(120, 200)
        times = self._times(shift, step)
        for line in exposition.read_text(encoding="utf-8").splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                kinds[name] = kind
            found = _LINE.match(line)
            if not found or found[1] not in _FAMILIES[:families] or seen[found[1]] >= 24:
                continue
            seen[found[1]] += 1
            kind = kinds.get(found[1], "gauge")
            labels = {"__name__": found[1], **dict(_PAIR.findall(found[2] or "")), **target}
            labels = {key: value for key, value in labels.items() if value}
            first = float(found[3])
            whole = first == int(first) if math.isfinite(first) else False
            if kind == "counter":
                values = self._counter(first, whole, len(times))
            elif found[1].endswith("_info") or self.random.random() < 0.1:
                values = [first] * len(times)
            else:
                values = self._gauge(first, whole, len(times))
            self.add(labels, self._worn(times, values, gone), kind)

    def _worn(self, times: list[int], values: list[float], gone: int) -> Samples:
        """With gaps; one in twelve ends with a staleness marker, some of them come back."""
        chance = self.random.choice((0, 0, 0.02, 0.3))
        out = [(at, value) for at, value in zip(times, values, strict=True) if self.random.random() >= chance]
        fate = self.random.random()
        if fate < 0.08 and len(out) > gone:
            back = out[gone + 40 :] if fate < 0.04 else []
            out = [*out[:gone], (out[gone][0], STALE), *back]
        elif fate < 0.12:
            out = out[len(out) // 3 :]
        elif fate < 0.15:
            out = out[: len(out) // 3] + out[len(out) // 2 :]
        return out

    def _requests(self) -> None:
        for instance in ("web-1:8000", "web-2:8000", "web-3:8000"):
            for job in ("shop", "blog"):
                target = {"job": job, "instance": instance}
                times = self._times(self.random.randrange(15_000))
                for method in ("GET", "POST"):
                    for status in ("200", "404", "500"):
                        labels = {"__name__": "http_requests_total", "method": method, "status": status}
                        values = self._counter(self.random.randrange(1000), True, len(times))
                        samples = self._worn(times, values, 150)
                        self.add({**labels, **target}, samples, "counter")
                    self._histogram({"method": method, **target}, times)
                info = {"__name__": "target_info", "version": self.random.choice(("1.2", "1.3")), **target}
                self.add({**info, "cluster": "c" + instance[4]}, [(at, 1.0) for at in times], "info")
                build = {"__name__": "build_info", "revision": instance[:5], **target}
                self.add(build, [(at, 1.0) for at in times], "info")
                up = [(at, 0.0 if self.random.random() < 0.1 else 1.0) for at in times]
                self.add({"__name__": "up", **target}, up, "gauge")

    def _histogram(self, target: Labels, times: list[int]) -> None:
        bounds = ("0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
        counts, total, rows = [0] * len(bounds), 0.0, []
        for _ in times:
            for _ in range(self.random.randrange(12)):
                value = self.random.expovariate(2)
                total += value
                counts[next(i for i, bound in enumerate(bounds) if value <= float(bound))] += 1
            rows.append(([sum(counts[: i + 1]) for i in range(len(bounds))], total))
        name = "http_request_duration_seconds"
        for i, bound in enumerate(bounds):
            samples = [(at, float(row[i])) for at, (row, _) in zip(times, rows, strict=True)]
            self.add({"__name__": f"{name}_bucket", "le": bound, **target}, samples, "bucket")
        sums = [(at, row[1]) for at, row in zip(times, rows, strict=True)]
        self.add({"__name__": f"{name}_sum", **target}, sums, "counter")
        self.add(
            {"__name__": f"{name}_count", **target},
            [(at, float(row[0][-1])) for at, row in zip(times, rows, strict=True)],
            "counter",
        )

    def _edges(self) -> None:
        edge = {"job": "edge", "instance": "edge:1"}
        odd = [
            math.nan,
            math.inf,
            -math.inf,
            0.0,
            -0.0,
            1e300,
            -1e300,
            1e-300,
            1e-12,
            1.0,
            -1.0,
            0.1,
            1e16,
            3.5,
        ]
        for number in range(8):
            times = [at + self.random.randrange(-900, 900) for at in self._times(1000)]
            chance = (0.02, 0.1, 0.5, 1.0)[number % 4]
            values = [
                self.random.choice(odd) if self.random.random() < chance else self.random.gauss(10, 30)
                for _ in times
            ]
            self.add(
                {"__name__": "edge_gauge", "n": str(number), **edge}, self._worn(times, values, 90), "gauge"
            )
        for number in range(6):
            times = self._times(500 + number, 7_500 * (number + 1))
            base = [self.random.random() * 1000 + number * 2000 for _ in times]
            samples = list(zip(times, base, strict=True))
            self.add({"__name__": "edge_distinct", "n": str(number), **edge}, samples, "gauge", distinct=True)
        for number in range(4):
            times = self._times(700)
            value, values = 0.0, []
            for _ in times:
                value = 0.0 if self.random.random() < 0.2 else value + self.random.randrange(5)
                values.append(value)
            self.add(
                {"__name__": "edge_resets_total", "n": str(number), **edge},
                self._worn(times, values, 60),
                "counter",
            )
        for number, every in enumerate((45_000, 120_000, 290_000, 301_000, 600_000)):
            times = self._times(3_000, every)
            samples = [(at, self.random.random() * 100) for at in times]
            self.add(
                {"__name__": "edge_sparse", "every": str(every // 1000), "n": str(number), **edge},
                samples,
                "gauge",
            )
        for zone in ("a", "b"):
            times = self._times(0, 60_000)
            stamps = [(at, float(self.random.randrange(-(2**31), 2**32)) + 0.25) for at in times]
            self.add({"__name__": "edge_timestamp_seconds", "zone": zone, **edge}, stamps, "gauge")
            nothing = [(at, math.nan) for at in times]
            self.add({"__name__": "edge_nan", "zone": zone, **edge}, nothing, "gauge")
            spoken = {"__name__": "edge.utf8 métrique", "label.dotted": f"wert-{zone}-ü", **edge}
            self.add(spoken, [(at, float(i)) for i, at in enumerate(times)], "gauge")
        flapping = [(at, STALE if i % 3 == 2 else float(i)) for i, at in enumerate(self._times(0, 30_000))]
        self.add({"__name__": "edge_flapping", **edge}, flapping, "gauge")
