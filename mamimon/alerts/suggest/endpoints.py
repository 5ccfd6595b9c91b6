"""Which endpoint an incident is about: by the rise of its share of failures or of its time to answer.

The time around the incident is compared with the hour before: medians and median absolute
deviations of each endpoint's steps, the worst three steps in a row against them. What an endpoint
weighs is how far it moved, times its part of all that moved, so that a busy endpoint that fails a
little more often does not hide behind a rare one, nor the other way round.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from mamimon.alerts.model import Labels
from mamimon.alerts.suggest.model import Clue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import SeriesBackend

    Floats = npt.NDArray[np.float64]

Place = tuple[str, str, str]
"""Endpoint, method and owner."""
_PLACES = ("path", "route", "http_route", "endpoint", "handler", "uri", "url")
_OWNERS = ("job", "service", "service_name")
_STATUSES = ("status", "code", "status_code", "http_response_status_code", "http_status_code")
# Counter of requests, sum of their times, count of the same: the mission's names, OpenTelemetry's, Spring's.
_FAMILIES = (
    ("http_requests_total", "http_request_duration_seconds_sum", "http_request_duration_seconds_count"),
    (
        "http_server_request_duration_seconds_count",
        "http_server_request_duration_seconds_sum",
        "http_server_request_duration_seconds_count",
    ),
    (
        "http_server_requests_seconds_count",
        "http_server_requests_seconds_sum",
        "http_server_requests_seconds_count",
    ),
)
_RUN = 3
_LEAST_SHARE = 0.01
_LEAST_SLOWER_S = 0.02
_WORTH = 5.0
_SURE = 4.0
_TIMEOUT_S = 5.0


class Span(msgspec.Struct, frozen=True):
    """`[start, begin)` is what was usual, `[begin, end]` the incident; steps of `step_s`."""

    start: float
    begin: float
    end: float
    step_s: float

    @property
    def window_s(self) -> float:
        """The length of the rates."""
        return max(60.0, 4 * self.step_s)

    @property
    def window(self) -> str:
        """The same, as PromQL writes it."""
        return f"{round(self.window_s)}s"


async def endpoint_clues(backend: SeriesBackend, span: Span) -> list[Clue]:
    """Endpoints that got worse; raises `Problem` where the series cannot be asked."""
    out: list[Clue] = []
    for requests, total, count in _FAMILIES:
        by = ", ".join((*_OWNERS, *_PLACES, "method"))
        codes = ", ".join(_STATUSES)
        asked, took = await asyncio.gather(
            _ask(backend, f"sum by ({by}, {codes}) (rate({requests}[{span.window}]))", span),
            _ask(
                backend,
                f"sum by ({by}) (rate({total}[{span.window}]))"
                f" / (sum by ({by}) (rate({count}[{span.window}])) > 0)",
                span,
            ),
        )
        out += await asyncio.to_thread(_clues, asked, took, span)
    return out


async def _ask(backend: SeriesBackend, expr: str, span: Span) -> QueryResult:
    return await backend.range(expr, span.start, span.end, span.step_s, timeout_s=_TIMEOUT_S)


def _place(labels: Labels) -> Place:
    """Endpoint, method and owner; the endpoint is empty where the labels name none."""
    path = next((labels[name] for name in _PLACES if labels.get(name)), "")
    owner = next((labels[name] for name in ("service", "service_name", "job") if labels.get(name)), "")
    return path, labels.get("method", ""), owner


def _bad(status: str) -> float:
    """How much a status counts as a failure: in full where the server failed or its limits were met."""
    if status.startswith("5") or status in {"408", "429"}:
        return 1.0
    return 0.5 if status.startswith("4") and status not in {"401", "404"} else 0.0


def _clues(asked: QueryResult, took: QueryResult, span: Span) -> list[Clue]:
    import numpy as np

    if not asked.labels:
        return []
    times = asked.times / 1000.0
    every: dict[Place, Floats] = {}
    bad: dict[Place, Floats] = {}
    for row, labels in enumerate(asked.labels):
        place = _place(labels)
        if not place[0]:
            continue
        values = np.where(asked.present[row], np.nan_to_num(asked.values[row]), 0.0)
        status = next((labels[name] for name in _STATUSES if labels.get(name)), "")
        every[place] = every.get(place, np.zeros(len(times))) + values
        bad[place] = bad.get(place, np.zeros(len(times))) + values * _bad(status)
    slow = {
        _place(labels): np.where(took.present[row], took.values[row], np.nan)
        for row, labels in enumerate(took.labels)
        if len(took.times) == len(times)
    }
    found = [
        *_moved(every, {p: bad[p] / np.maximum(every[p], 1e-12) for p in every}, times, span, share=True),
        *_moved(every, slow, times, span, share=False),
    ]
    return _weighed(found, span)


class _Move(msgspec.Struct):
    """An endpoint whose failures (share) or time (seconds) rose, and how many requests it has a second."""

    place: Place
    share: bool
    before: float
    now: float
    since: float
    rate: float


def _moved(
    every: dict[Place, Floats], series: dict[Place, Floats], times: Floats, span: Span, share: bool
) -> list[_Move]:
    import numpy as np

    usual, during = times < span.begin, times >= span.begin
    least = _LEAST_SHARE if share else _LEAST_SLOWER_S
    out = []
    for place, values in series.items():
        there = np.isfinite(values) & (every.get(place, np.zeros(len(times))) > 0)
        base, now = values[usual & there], values[during & there]
        if not len(now) or not (share or len(base)):
            continue  # without a before, slow may be usual; failing is not
        # A share that is mostly 0 has no median to speak of; its mean is what failed now and then.
        before = float(base.mean() if share else np.median(base)) if len(base) else 0.0
        spread = float(1.4826 * np.median(np.abs(base - np.median(base)))) if len(base) else 0.0
        run = np.convolve(now, np.ones(_RUN) / _RUN, mode="valid") if len(now) >= _RUN else now
        at = int(run.argmax())
        peak = float(run[at])
        rate = float(every[place][during & there].mean())
        enough = max(least, _WORTH * spread, 0.5 * before)
        if peak - before < enough or (share and not _sure(before, peak, rate * span.window_s)):
            continue
        # It began where the stretch of raised values around the peak did.
        over = now > before + 0.25 * (peak - before)
        first = at + int(over[at : at + _RUN].argmax())
        while first > 0 and over[max(0, first - 2) : first].any():
            first -= 1
        out.append(_Move(place, share, before, peak, float(times[during & there][first]), rate))
    return out


def _sure(before: float, now: float, requests: float) -> bool:
    """Whether chance cannot explain so many more failures among so many requests."""
    expected = max(before * requests, 0.25)
    return (now * requests - expected) / math.sqrt(expected) >= _SURE


def _weighed(found: list[_Move], span: Span) -> list[Clue]:
    lost = {one.place: (one.now - one.before) * one.rate for one in found if one.share}
    waited = {one.place: (one.now - one.before) * one.rate for one in found if not one.share}
    best: dict[Place, tuple[float, _Move]] = {}
    for one in found:
        if one.share:
            part = lost[one.place] / max(sum(lost.values()), 1e-12)
            far = min(1.0, (one.now - one.before) / 0.2) ** 0.5
        else:
            part = waited[one.place] / max(sum(waited.values()), 1e-12)
            far = min(1.0, math.log2(one.now / max(one.before, 1e-3)) / 4)
        weight = far * (0.5 + 0.5 * part)
        if weight > best.get(one.place, (0.0, one))[0]:
            best[one.place] = (weight, one)
    return [_clue(weight, one, span) for weight, one in best.values()]


def _clue(weight: float, one: _Move, span: Span) -> Clue:
    path, method, owner = one.place
    labels = {k: v for k, v in (("method", method), ("service", owner)) if v}
    return Clue(
        kind="endpoint",
        name=path,
        weight=weight,
        url=f"/logs?q={quote(f'route:{_quoted(path)}')}&start={span.begin:.0f}&end={span.end:.0f}",
        since=one.since,
        labels=labels,
        unit="share" if one.share else "seconds",
        before=one.before,
        now=one.now,
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
