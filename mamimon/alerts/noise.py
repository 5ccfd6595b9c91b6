"""Which rules wake people for little: how often each fired, for how long, and whether anybody answered."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Literal

import msgspec

from mamimon.alerts import store
from mamimon.alerts.backtest import true_times
from mamimon.alerts.model import fingerprint

if TYPE_CHECKING:
    from mamimon.alerts.service import Alerting

DAYS = 30
SHORT_S = 300.0
OFTEN = 5
MOSTLY = 0.5

Verdict = Literal["", "flaps", "unanswered", "always"]


class Noise(msgspec.Struct, kw_only=True):
    """What one alert's name did in the time looked at."""

    name: str
    fired: int
    firing_s: float
    """Summed over its series."""
    median_s: float
    incidents: int = 0
    answered: int = 0
    told: int = 0
    """Messages sent."""
    verdict: Verdict = ""


async def noise(service: Alerting, start: float, end: float) -> list[Noise]:
    """Every alert that fired, the noisiest first; raises `Problem` where the series cannot be asked."""
    interval_s = service.core.settings.metrics.evaluation_interval_s
    found, _, _ = await true_times(service.backend(), 'ALERTS{alertstate="firing"}', start, end, interval_s)
    told = {row[0]: row[1:] for row in await service.core.state.read(lambda raw: store.answers(raw, start))}
    lasted: dict[str, list[float]] = {}
    series: dict[tuple[str, str], float] = {}
    for one in found:
        name = one.labels.get("alertname", "")
        lasted.setdefault(name, []).append(one.seconds)
        key = (name, fingerprint(one.labels))
        series[key] = series.get(key, 0.0) + one.seconds
    out = []
    for name, each in lasted.items():
        incidents, answered, messages = told.get(name, (0, 0, 0))
        longest = max(value for key, value in series.items() if key[0] == name)
        row = Noise(
            name=name,
            fired=len(each),
            firing_s=sum(each),
            median_s=statistics.median(each),
            incidents=incidents,
            answered=answered,
            told=messages,
        )
        row.verdict = verdict(row, longest / max(end - start, 1.0))
        out.append(row)
    return sorted(out, key=lambda one: (-one.told, -one.fired, one.name))


def verdict(one: Noise, share: float) -> Verdict:
    """What is wrong with a rule; `share` of the time its busiest series fires."""
    if one.fired >= OFTEN and one.median_s < SHORT_S:
        return "flaps"
    if share > MOSTLY:
        return "always"
    if one.incidents >= OFTEN and not one.answered:
        return "unanswered"
    return ""
