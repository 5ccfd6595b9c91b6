"""StatsD by UDP: lines are summed up in memory and stored as ordinary series at each scrape interval.

Counters and histograms grow from the start of the process, so a restart is a counter reset, which
`rate` knows. Timers and histograms become classic histograms (timers in seconds); a set is the number
of its different members since the last storing. Off unless an address is set; everything is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import Counter

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.text import format_float
from mamimon.metrics.store import SeriesStore
from mamimon.metrics.store.index import key_of
from mamimon.metrics.wire.statsd import Kind, Line, MalformedError, read_line
from mamimon.problems import Problem
from mamimon.sockets import address_of, bound

if TYPE_CHECKING:
    from mamimon.metrics.ingest import Pusher
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
IDLE_S = 3_600.0
"""A series that nothing was sent to for so long ends."""
MOST_MEMBERS = 100_000
_RECEIVE_BYTES = 4 * 1024 * 1024
_JOB = "statsd"


class Series(msgspec.Struct, eq=False):
    """What is known of one name with its tags."""

    kind: Kind
    labels: Labels
    heard_at: float = 0.0
    value: float = 0.0
    """A counter's or gauge's value, a timer's sum."""
    counts: list[float] = []
    """Of a timer: events by bucket, the last one open."""
    members: set[str] = set()


class Statsd:
    """The listener and what it has heard."""

    def __init__(self, core: Core, store: SeriesStore, pusher: Pusher) -> None:
        self._core = core
        self._store = store
        self._pusher = pusher
        self._series: dict[bytes, Series] = {}
        self._kinds: dict[str, Kind] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._lines = Counter(
            "mamimon_statsd_lines", "Lines by what became of them.", ["outcome"], registry=core.registry
        )

    @property
    def port(self) -> int:
        """The UDP port that is listened on, 0 for none."""
        return 0 if self._transport is None else int(self._transport.get_extra_info("sockname")[1])

    async def open(self) -> None:
        """Listen where the setting says, if it does. Raises `ConfigError`."""
        text = self._core.settings.metrics.statsd
        if not text:
            return
        host, port = address_of("metrics.statsd", text)
        sock = bound("metrics.statsd", host, port, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), sock=sock)
        _log.info("statsd by UDP on %s:%d", host, self.port)

    def close(self) -> None:
        """Listen no longer; idempotent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def hear(self, datagram: bytes) -> None:
        """Take in a datagram of one or more lines."""
        now = self._core.clock.now()
        for raw in datagram.split(b"\n"):
            if raw.strip():
                self._lines.labels(self._heard(raw, now)).inc()

    def _heard(self, raw: bytes, now: float) -> str:
        try:
            line = read_line(raw.decode("utf-8").strip())
        except (MalformedError, UnicodeDecodeError) as error:
            _log.debug("statsd: %r: %s", raw[:100], error)
            return "malformed"
        if line is None:
            return "ignored"
        labels = {"job": _JOB, **line.labels, "__name__": line.name}
        key = key_of(labels)
        series = self._series.get(key)
        if series is None:
            refusal = self._refusal(line, labels)
            if refusal:
                return refusal
            self._kinds[line.name] = line.kind
            series = self._series[key] = Series(line.kind, labels, counts=[], members=set())
            if line.kind == "timer":
                series.counts = [0.0] * (len(BUCKETS) + 1)
        elif series.kind != line.kind:
            return "conflicting"
        series.heard_at = now
        _apply(series, line)
        return "taken"

    def _refusal(self, line: Line, labels: Labels) -> str:
        """Why a new series is not begun, or an empty string."""
        if self._kinds.get(line.name, line.kind) != line.kind:
            return "conflicting"
        if self._pusher.over_limits(labels):
            return "over_limits"
        each = len(BUCKETS) + 3 if line.kind == "timer" else 1
        most = self._core.settings.metrics.max_series_per_target
        return "over_limits" if (len(self._series) + 1) * each > most else ""

    async def run(self) -> None:
        """Store the state of every series at each scrape interval until cancelled."""
        stored = False
        while True:
            await self._core.clock.sleep(self._core.settings.metrics.scrape_interval_s)
            now = self._core.clock.now()
            for key in [key for key, one in self._series.items() if now - one.heard_at > IDLE_S]:
                del self._series[key]
            samples = [sample for one in self._series.values() for sample in _samples(one)]
            if not (samples or stored) or not self._core.writable():
                continue
            try:
                await self._store.append("statsd", round(now * 1000), samples)
            except Problem as problem:
                _log.warning("statsd series cannot be stored: %s", problem.detail)
                continue
            stored = bool(samples)
            for one in self._series.values():
                one.members.clear()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, statsd: Statsd) -> None:
        self._statsd = statsd

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._statsd.hear(data)

    def error_received(self, exc: Exception) -> None:
        _log.debug("statsd: %s", exc)


def _apply(series: Series, line: Line) -> None:
    if line.kind == "counter":
        # A counter that falls would be read as a reset.
        series.value += sum(value for value in line.values if value > 0) / line.rate
    elif line.kind == "gauge":
        series.value = series.value + sum(line.values) if line.relative else line.values[-1]
    elif line.kind == "timer":
        for value in line.values:
            series.value += value / line.rate
            series.counts[bisect_left(BUCKETS, value)] += 1 / line.rate
    elif len(series.members) < MOST_MEMBERS:
        series.members.update(line.members)


def _samples(one: Series) -> list[tuple[Labels, float]]:
    if one.kind == "set":
        return [(one.labels, float(len(one.members)))]
    if one.kind != "timer":
        return [(one.labels, one.value)]
    name, out, total = one.labels["__name__"], [], 0.0
    for edge, count in zip([*BUCKETS, None], one.counts, strict=True):
        total += count
        le = "+Inf" if edge is None else format_float(edge)
        out.append(({**one.labels, "__name__": f"{name}_bucket", "le": le}, total))
    out.append(({**one.labels, "__name__": f"{name}_sum"}, one.value))
    out.append(({**one.labels, "__name__": f"{name}_count"}, total))
    return out
