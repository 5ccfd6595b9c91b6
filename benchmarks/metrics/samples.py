"""The samples that all three get: a thousand counters `x` and a thousand series like node_exporter's."""

from __future__ import annotations

from collections.abc import Iterator

import cramjam
import numpy as np
import numpy.typing as npt

STEP_MS = 15_000
TARGETS = 10

_SAMPLE = np.dtype([("head", "u1", 2), ("tag", "u1"), ("value", "<f8"), ("at", "u1"), ("stamp", "u1", 6)])
_KINDS = ("cpu", "bytes", "constant", "slow", "noisy")


def names() -> list[tuple[str, str]]:
    """The metrics beside `x` and of what kind they are."""
    return [(f"node_{kind}_{number}_total" if kind in ("cpu", "slow") else f"node_{kind}_{number}", kind)
            for number in range(4) for kind in _KINDS]  # fmt: skip


def _string(number: int, text: str) -> bytes:
    raw = text.encode()
    return bytes((number << 3 | 2, len(raw))) + raw


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def series_labels(labels: dict[str, str]) -> bytes:
    """The labels of a remote write's series."""
    pairs = (_string(1, name) + _string(2, value) for name, value in sorted(labels.items()))
    return b"".join(b"\x0a" + _varint(len(pair)) + pair for pair in pairs)


def remote_write(labels: bytes, samples: bytes) -> bytes:
    """One series of a remote write."""
    return b"\x0a" + _varint(len(labels) + len(samples)) + labels + samples


class Series:
    """One series: its labels as remote write has them, and its values."""

    def __init__(self, labels: dict[str, str], values: npt.NDArray[np.float64]) -> None:
        self.labels = series_labels(labels)
        self.values = values


class World:
    """Every target's times and series."""

    def __init__(self, start_ms: int, hours: int) -> None:
        self.start_ms, self.hours = start_ms, hours
        random = np.random.default_rng(7)
        count = hours * 240
        self.targets: list[tuple[npt.NDArray[np.int64], list[Series]]] = []
        for target in range(TARGETS):
            times = start_ms + np.arange(count, dtype=np.int64) * STEP_MS + target * 1370
            own = {"job": f"j{target % 5}", "instance": f"host{target}:9100"}
            series = []
            for n in range(100):
                values = np.cumsum(random.integers(0, 50, count)).astype(np.float64)
                if n % 10 == 0:
                    at = int(random.integers(1, count))
                    values[at:] -= values[at]
                series.append(Series({"__name__": "x", "n": str(n), **own}, values))
            for name, kind in names():
                series += [
                    Series({"__name__": name, "n": str(n), **own}, _moving(random, name, kind, count))
                    for n in range(5)
                ]
            self.targets.append((times, series))

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(times) * len(series) for times, series in self.targets)

    def bodies(self) -> Iterator[bytes]:
        """Remote write requests in the order of time: ten minutes of half the series each."""
        for first in range(0, self.hours * 240, 40):
            for half in (slice(0, TARGETS // 2), slice(TARGETS // 2, TARGETS)):
                parts = []
                for times, series in self.targets[half]:
                    at = stamps(times[first : first + 40])
                    parts += [
                        remote_write(one.labels, encoded(at, one.values[first : first + 40]))
                        for one in series
                    ]
                yield bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def _moving(random: np.random.Generator, name: str, kind: str, count: int) -> npt.NDArray[np.float64]:
    if kind == "cpu":
        return np.round(np.cumsum(random.exponential(0.4, count)), 2)
    if kind == "bytes":
        return np.round(4e9 + np.cumsum(random.normal(0, 2e6, count)) / 4096) * 4096
    if kind == "constant":
        return np.full(count, float(random.integers(1, 9)))
    if kind == "slow":
        return np.cumsum(random.random(count) < 0.02).astype(np.float64)
    noise = random.random(count) * 90
    return noise if name.endswith("3") else np.round(noise, 2)


def stamps(times: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Timestamps as the six bytes that they are in protobuf until 2109."""
    shifts = np.arange(6) * 7
    out = (times[:, None] >> shifts & 127).astype(np.uint8)
    out[:, :5] |= 128
    return out


def encoded(at: npt.NDArray[np.uint8], values: npt.NDArray[np.float64]) -> bytes:
    """The samples of a remote write's series."""
    out = np.zeros(len(values), dtype=_SAMPLE)
    out["head"] = (0x12, 16)
    out["tag"], out["at"] = 0x09, 0x10
    out["value"], out["stamp"] = values, at
    return out.tobytes()
