"""Who is on call when: pure functions of the rota, the overrides and an instant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

from mamimon.alerts.oncall.model import LOUD, Duty, Override, Rota
from mamimon.problems import bad_input

DAY_S = 86_400.0
LONGEST_S = 400 * DAY_S


def check(rota: Rota) -> Rota:
    """The rota; raises `Problem(BAD_INPUT)` where its zone, its first day or a sleeper is unknown."""
    try:
        ZoneInfo(rota.zone)
        dt.date.fromisoformat(rota.first_day)
    except (KeyError, ValueError, OSError):
        raise bad_input(f"not a zone or not a day: {rota.zone[:60]!r}, {rota.first_day[:20]!r}") from None
    if len(set(rota.people)) != len(rota.people):
        raise bad_input("somebody is in the rota twice")
    return rota


def turn_start(rota: Rota, number: int) -> float:
    """When turn `number` starts; days are counted on the calendar, so a change of the clock moves nothing."""
    day = dt.date.fromisoformat(rota.first_day) + dt.timedelta(days=number * rota.period_days)
    hour, minute = map(int, rota.handover.split(":"))
    return dt.datetime.combine(day, dt.time(hour, minute), ZoneInfo(rota.zone)).timestamp()


def turn_at(rota: Rota, at: float) -> int:
    """The number of the turn that an instant lies in; before the first it is negative."""
    number = int((at - turn_start(rota, 0)) // (rota.period_days * DAY_S))
    while turn_start(rota, number) > at:
        number -= 1
    while turn_start(rota, number + 1) <= at:
        number += 1
    return number


def on_call(rota: Rota, overrides: Iterable[Override], at: float) -> str:
    """Who is on call at an instant; of several overrides the one made last wins."""
    standing_in = [one for one in overrides if one.starts_at <= at < one.ends_at]
    if standing_in:
        return max(standing_in, key=lambda one: one.id).person
    return rota.people[turn_at(rota, at) % len(rota.people)]


def order(rota: Rota, overrides: Iterable[Override], at: float) -> list[str]:
    """Everybody of the rota, who is on call first, then those whose turns come next."""
    first = on_call(rota, overrides, at)
    turn = turn_at(rota, at) % len(rota.people)
    following = [*rota.people[turn:], *rota.people[:turn]]
    return list(dict.fromkeys([first, *following]))


def schedule(rota: Rota, overrides: Sequence[Override], start: float, end: float) -> list[Duty]:
    """Duties from `start` to `end` without gaps; raises `Problem(BAD_INPUT)` for more than 400 days."""
    if end - start > LONGEST_S:
        raise bad_input("a schedule may have 400 days at most")
    edges = {start, end}
    number = turn_at(rota, start) + 1
    while (at := turn_start(rota, number)) < end:
        edges.add(at)
        number += 1
    for one in overrides:
        edges |= {at for at in (one.starts_at, one.ends_at) if start < at < end}
    marks = sorted(edges)
    found: list[Duty] = []
    for left, right in pairwise(marks):
        person = on_call(rota, overrides, left)
        by = any(one.starts_at <= left < one.ends_at for one in overrides)
        handed_over = left == turn_start(rota, turn_at(rota, left))
        if found and (found[-1].person, found[-1].override) == (person, by) and not handed_over:
            found[-1] = Duty(person, found[-1].starts_at, right, by)
        else:
            found.append(Duty(person, left, right, by))
    return found


def quiet_until(rota: Rota, person: str, severity: str, at: float) -> float | None:
    """When a person who sleeps at `at` may be told of something of that severity; None is now."""
    hours = rota.quiet.get(person)
    if hours is None or hours.start == hours.end or severity in LOUD:
        return None
    zone = ZoneInfo(rota.zone)
    now = dt.datetime.fromtimestamp(at, zone)
    clock = f"{now:%H:%M}"
    over_midnight = hours.start > hours.end
    asleep = clock >= hours.start or clock < hours.end if over_midnight else hours.start <= clock < hours.end
    if not asleep:
        return None
    day = now.date() + dt.timedelta(days=1 if over_midnight and clock >= hours.start else 0)
    hour, minute = map(int, hours.end.split(":"))
    return dt.datetime.combine(day, dt.time(hour, minute), zone).timestamp()


def calendar(duties: Iterable[Duty], now: float) -> str:
    """The duties as iCalendar (RFC 5545), for a phone's calendar to subscribe to."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//mamimon//on call//EN", "X-WR-CALNAME:On call"]
    for one in duties:
        person = one.person.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
        lines += [
            "BEGIN:VEVENT",
            f"UID:{round(one.starts_at)}-{round(one.ends_at)}@mamimon",
            f"DTSTAMP:{_utc(now)}",
            f"DTSTART:{_utc(one.starts_at)}",
            f"DTEND:{_utc(one.ends_at)}",
            f"SUMMARY:On call: {person}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _utc(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y%m%dT%H%M%SZ")


def _folded(line: str) -> list[str]:
    """RFC 5545 §3.1: lines of 75 octets at most, what follows indented by a space."""
    parts, current = [], ""
    for letter in line:
        if len((current + letter).encode()) > 75:
            parts.append(current)
            current = " "
        current += letter
    return [*parts, current]
