"""The sample service's traffic of an hour with a fault planted, given to a server through its doors.

Everything comes from a seed and the injected clock: the counters and histograms of the middleware by
remote write, its log lines by `_bulk`, exceptions by Sentry's store, deploys by our API. Beside the fault
there is what real services have too: an endpoint that always fails a little, patterns that come and
go, growing traffic, another service's deploy, a metric that jumps, an old error.
"""

from __future__ import annotations

import json
import random
import sys
from bisect import bisect_left
from datetime import UTC, datetime
from typing import Any

import httpx

from mamimon.clock import ManualClock
from tests.alerts.conftest import step
from tests.conftest import ROOT, settled, wait_until
from tests.metrics.test_remote_write import post, request

sys.path.insert(0, str(ROOT / "examples"))
from chat_service.faults import (
    CHAT,
    FAULTS,
    HISTORY,
    IMAGE,
    LOGIN,
    MODELS,
    NEXT_RELEASE,
    RELEASE,
    UPLOAD,
    Fault,
    Harm,
)

__all__ = ["FAULTS", "RULES", "Replay", "plant", "verdict"]
STEP_S = 15
BEFORE_S = 35 * 60
FAULTY_S = 90
REQUESTS_A_STEP = 22
_WEIGHTS = {CHAT: 10, HISTORY: 5, IMAGE: 2, LOGIN: 2, UPLOAD: 1.5, MODELS: 2.5}
_METHODS = {HISTORY: "GET", MODELS: "GET"}
_TOOK = {CHAT: 0.04, HISTORY: 0.02, IMAGE: 0.6, LOGIN: 0.03, UPLOAD: 0.15, MODELS: 0.01}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GAUGES = {
    "chat_queue_depth": 5.0,
    "process_resident_memory_bytes": 3.0e8,
    "system_disk_usage_percent": 62.0,
    "system_cpu_usage_percent": 35.0,
    "chat_connections": 40.0,
}
RULES = """\
groups:
  - name: service
    interval: 15s
    rules:
      - alert: RequestsFail
        expr: |
          sum by (job) (rate(http_requests_total{status=~"5..|429"}[2m]))
            / sum by (job) (rate(http_requests_total[2m])) > 0.03
        labels: {severity: critical}
      - alert: RequestsSlow
        expr: |
          sum by (job) (rate(http_request_duration_seconds_sum[2m]))
            / sum by (job) (rate(http_request_duration_seconds_count[2m])) > 0.28
        labels: {severity: critical}
"""


def verdict(fault: Fault, clues: list[dict[str, Any]]) -> dict[str, bool]:
    """Which of what is to blame stands among the first three; a deploy that is not must not."""
    heads = clues[:3]
    deploys = [one["name"] for one in heads if one["kind"] == "deploy"]
    return {
        "endpoint": any(one["kind"] == "endpoint" and one["name"] in fault.harm for one in heads),
        "pattern": any(one["kind"] == "pattern" and fault.says in one["name"] for one in heads),
        "deploy": deploys == ([NEXT_RELEASE] if fault.deployed else []),
    }


def plant(server: Any, clock: ManualClock, name: str, seed: int = 0) -> list[dict[str, Any]]:
    """Replay a fault, wait for its incident and return what it suggests to whoever looks minutes later."""
    traffic = Replay(FAULTS[name], clock.now(), seed)
    traffic.send(server, clock.now())
    settled(clock)

    def opened() -> Any:
        traffic.send(server, clock.now())
        step(clock, 5)
        return server.client.get("/api/mamimon/incidents").json()

    wait_until(opened, 60, "the incident")
    for _ in range(4):
        traffic.send(server, clock.now() + 60)
        step(clock, 60, 15)
    answer = server.client.get("/api/mamimon/incidents/1/suggestions").json()
    assert answer["missing"] == []
    return list(answer["clues"])


class Replay:
    """Traffic from `BEFORE_S` before `now` on; the fault begins `FAULTY_S` before it."""

    def __init__(self, fault: Fault, now: float, seed: int = 0) -> None:
        self.fault = fault
        self.rng = random.Random(f"{fault.name} {seed}")
        self.now = now - now % STEP_S
        self.at = self.now - BEFORE_S
        self.onset = self.now - FAULTY_S
        self.deploys = [
            (RELEASE, "chat-service", self.at + 120),
            ("2.0.1", "mailer", self.onset - 240),
        ]
        if fault.deployed:
            self.deploys.append((NEXT_RELEASE, "chat-service", self.onset - 45))
        self.counts: dict[tuple[tuple[str, str], ...], float] = {}
        self.series: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
        self.lines: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def send(self, server: Any, until: float) -> None:
        """Make what happens until then and give it to the server."""
        self.series, self.lines, self.events = {}, [], []
        while self.at <= until:
            self._step(self.at)
            self.at += STEP_S
        series = [(dict(labels), samples) for labels, samples in self.series.items()]
        answer = post(server, request(*series))
        assert answer.status_code == 204, answer.text
        self._send_lines(server)
        self._send_events(server)
        for version, service, at in self.deploys:
            body = {"version": version, "service": service, "at": at, "by": "ci"}
            assert server.client.post("/api/mamimon/deploys", json=body).status_code == 201
        self.deploys = []

    def _send_lines(self, server: Any) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        for first in range(0, len(self.lines), 5000):
            part = self.lines[first : first + 5000]
            body = "".join('{"create":{}}\n' + json.dumps(line) + "\n" for line in part)
            answer = server.client.post(
                "/es/logs-chat-service-2026.01.01/_bulk", content=body, headers=headers
            )
            assert answer.json()["errors"] is False, answer.text[:500]

    def _send_events(self, server: Any) -> None:
        key = httpx.URL(server.client.get("/api/mamimon/errors/dsn").json()["dsn"]).username
        for event in self.events:
            answer = server.client.post("/api/1/store/", params={"sentry_key": key}, json=event)
            assert answer.status_code == 200, answer.text

    def _step(self, at: float) -> None:
        # Traffic grows by a third in the last twenty minutes, fault or not.
        busy = 1.0 + 0.33 * max(0.0, (at - (self.now - 1200)) / 1200)
        for _ in range(round(REQUESTS_A_STEP * busy)):
            place = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            self._request(place, at - self.rng.uniform(0, STEP_S))
        if self.fault.only and at >= self.onset:
            for _ in range(12):
                self._request(IMAGE, at - self.rng.uniform(0, STEP_S))
        self._others(at)
        for labels, value in self.counts.items():
            self.series.setdefault(labels, []).append((round(at * 1000), value))
        for name, value in _GAUGES.items():
            usual, grows = self.fault.gauges.get(name, (value, 0.0))
            now = usual * self.rng.uniform(0.9, 1.1) + grows * max(0.0, at - self.onset) / 60
            self._sample(name, now, at)
        # Something harmless that jumps, as things do.
        self._sample("scheduler_jobs", 4.0 if at < self.now - 60 else 9.0, at)

    def _sample(self, name: str, value: float, at: float) -> None:
        labels = self._labels(__name__=name)
        self.series.setdefault(labels, []).append((round(at * 1000), value))

    @staticmethod
    def _labels(**more: str) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({"job": "chat-service", "instance": "10.0.0.9:8000", **more}.items()))

    def _add(self, amount: float, **labels: str) -> None:
        key = self._labels(**labels)
        self.counts[key] = self.counts.get(key, 0.0) + amount

    def _request(self, place: str, at: float) -> None:
        rng, fault = self.rng, self.fault
        user = f"user{rng.randint(1, 20)}"
        harm = fault.harm.get(place) if at >= self.onset else None
        if harm and fault.only:
            user = fault.only if rng.random() < 0.7 else user
            harm = harm if user == fault.only else None
        met = harm is not None and (harm.slow_s > 0 or self.rng.random() < harm.fails)
        status, took = self._harmed(harm, place, at, user) if harm and met else self._usual(place, at, user)
        self._count(place, status, took)
        self._request_line(place, status, took, at)

    def _usual(self, place: str, at: float, user: str) -> tuple[int, float]:
        rng = self.rng
        took = _TOOK[place] * rng.uniform(0.5, 2.0)
        if place == MODELS and rng.random() < 0.04:
            self._line(at, "ERROR", "chat.models", f"model list is stale, fetch {rng.randint(1, 999)} failed")
            return 502, took
        if place == HISTORY and rng.random() < 0.02:
            self._line(at, "WARNING", "chat.api", f"slow query on messages: {rng.randint(900, 1900)} ms")
            return 200, took + 1.2
        if place == CHAT and rng.random() < 0.02:
            model = rng.choice(("gpt-4", "llama-3"))
            self._line(
                at, "WARNING", "chat.api", f"retry 1 of upstream {model} failed with timeout after 8.0 s"
            )
        if place == CHAT and rng.random() < 0.004:
            return 500, took
        self._line(at, "INFO", "chat.api", f"{place.split('/')[2]} done for {user} in {took * 1000:.0f} ms")
        return 200, took

    def _harmed(self, harm: Harm, place: str, at: float, user: str) -> tuple[int, float]:
        rng, fault = self.rng, self.fault
        took = _TOOK[place] * rng.uniform(0.5, 2.0) + harm.slow_s * rng.uniform(0.7, 1.3)
        self._line(at, fault.level, fault.logger, fault.message % fault.values(rng), user=user, route=place)
        if harm.slow_s and rng.random() >= harm.fails:
            return 200, took
        if fault.error:
            self._event(at, *fault.error.split(": ", 1), place=place)
        return harm.status, harm.fail_s or took

    def _count(self, place: str, status: int, took: float) -> None:
        of = {"method": _METHODS.get(place, "POST"), "path": place}
        self._add(1, __name__="http_requests_total", status=str(status), **of)
        if status >= 500:
            self._add(1, __name__="http_requests_errors_total", **of)
        name = "http_request_duration_seconds"
        self._add(took, __name__=f"{name}_sum", **of)
        self._add(1, __name__=f"{name}_count", **of)
        at = bisect_left(_BUCKETS, took)
        for place_in, bound in enumerate((*map(str, _BUCKETS), "+Inf")):
            self._add(1 if place_in >= at else 0, __name__=f"{name}_bucket", le=bound, **of)

    def _request_line(self, place: str, status: int, took: float, at: float) -> None:
        level = "ERROR" if status >= 500 else "WARNING" if status >= 400 or took >= 1 else "INFO"
        path = place.replace("{chat_id}", f"c{self.rng.randint(1, 40)}")
        message = f"{_METHODS.get(place, 'POST')} {path} {status} in {took * 1000:.1f} ms"
        self._line(at, level, "mamimon.request", message, route=place, status=status)

    def _others(self, at: float) -> None:
        rng = self.rng
        if rng.random() < 0.2:
            self._line(at, "WARNING", "chat.cache", f"cache miss rate is {rng.randint(30, 60)} %")
        if rng.random() < 0.1:
            self._event(at, "ZeroDivisionError", "division by zero", MODELS)
        if at >= self.now - 60:  # a new line that means nothing
            rows = rng.randint(1000, 9000)
            self._line(at, "INFO", "chat.reports", f"report built with {rows} rows")

    def _line(self, at: float, level: str, logger: str, message: str, **more: Any) -> None:
        stamp = datetime.fromtimestamp(at, UTC).isoformat()
        line = {"@timestamp": stamp, "level": level, "logger": logger, "message": message}
        self.lines.append(line | {"service": "chat-service"} | more)

    def _event(self, at: float, kind: str, text: str = "", place: str = "") -> None:
        frame = {"function": "handle", "module": "chat_service.app", "filename": "app.py", "lineno": 41}
        number = self.rng.getrandbits(128)
        if len(self.events) < 40:
            self.events.append(
                {
                    "event_id": f"{number:032x}",
                    "timestamp": at,
                    "level": "error",
                    "transaction": place,
                    "exception": {
                        "values": [{"type": kind, "value": text, "stacktrace": {"frames": [frame]}}]
                    },
                }
            )
