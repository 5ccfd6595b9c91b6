"""Plain words of the explore box, such as "errors in /api/chat last hour", read as queries.

What a person means is one of a few things that people ask of a service; each has a query of logs, of metrics
and a page. Words that are none of them stay a search of logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlencode

import msgspec

from mamimon.i18n import gettext as _

_UNITS = {
    name: unit
    for unit, names in {
        "s": "s sec second seconds saniye",
        "m": "m min minute minutes dakika dk",
        "h": "h hour hours saat sa",
        "d": "d day days gün gun",
        "w": "w week weeks hafta",
    }.items()
    for name in names.split()
}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "half": 0.5}
_NUMBERS |= {"bir": 1, "iki": 2, "üç": 3, "yarım": 0.5}
_SPAN = re.compile(
    r"\b(?:in |over |for |within |since )?(?:the )?(?:last|past|son)\s+"
    r"(?:(\d{1,4}|a|an|one|two|three|half(?: an?)?|bir|iki|üç|yarım)\s*)?([a-zğüşıöç]+)\b",
    re.IGNORECASE,
)
_DAYS = {"today": "24h", "bugün": "24h", "tonight": "12h", "recently": "1h", "now": "15m", "şimdi": "15m"}
_PATH = re.compile(r"(?<![\w/])/[\w\-./{}]*")
_SERVICE = re.compile(r"\b(?:in|of|from|on|by|at|for)\s+(?:the\s+)?([a-z][\w.-]{2,60})\b", re.IGNORECASE)
_LUCENE = re.compile(r"[:\"*~^\[\]{}]|\b(?:AND|OR|NOT)\b|(?<!\S)[-+]\S")
Subject = Literal["errors", "slow", "traffic", "memory", "cpu", "disk", "logins"]
_SUBJECTS: tuple[tuple[Subject, str], ...] = (
    ("errors", r"errors?|failures?|failed|failing|exceptions?|crash(?:es|ed)?|5xx|500s?|hata(?:lar)?|çökme"),
    ("slow", r"slow(?:est|ness)?|latency|latencies|response times?|p9[59]|duration|yavaş(?:lık)?|gecikme"),
    ("traffic", r"traffic|requests?|calls|throughput|hits|trafik|istek(?:ler)?"),
    ("memory", r"memory|ram|bellek"),
    ("cpu", r"cpu|load|işlemci|yük"),
    ("disk", r"disk|storage|space"),
    ("logins", r"logins?|sign-?ins?|signups?|giriş(?:ler)?"),
)


class Offer(msgspec.Struct):
    """A query that the words may mean, and where it is run."""

    title: str
    kind: Literal["logs", "metrics", "page"]
    query: str
    since: str = ""
    url: str = ""

    @property
    def href(self) -> str:
        """The address that runs it."""
        if self.url:
            return self.url
        asked = {"q": self.query, "kind": self.kind} | ({"since": self.since} if self.since else {})
        return "/explore?" + urlencode(asked)


class Meant(msgspec.Struct):
    """What plain words were understood as."""

    subject: Subject
    path: str
    service: str
    since: str


def meant(text: str) -> Meant | None:
    """What the words ask for, None where they are not plain words about a service."""
    if _LUCENE.search(_PATH.sub("", text)):
        return None
    rest, since = _time(text)
    path = _PATH.search(rest)
    rest = _PATH.sub(" ", rest)
    subject = next((name for name, words in _SUBJECTS if re.search(rf"\b(?:{words})\b", rest, re.I)), None)
    if subject is None:
        return None
    service = _SERVICE.search(rest)
    about = path is not None or bool(since) or service is not None
    # One word alone is a search of logs; so is a sentence that only happens to hold such a word.
    if not about or len(rest.split()) > 6:
        return None
    return Meant(subject, path[0] if path else "", service[1] if service else "", since)


def _time(text: str) -> tuple[str, str]:
    """The words without those of the time, and the time as `1h`."""
    if found := _SPAN.search(text):
        unit = _UNITS.get(found[2].lower())
        if unit:
            said = (found[1] or "1").lower().split()[0]
            count = float(said) if said.isdigit() else _NUMBERS.get(said, 1)
            if count < 1:
                count, unit = {"h": (30, "m"), "d": (12, "h")}.get(unit, (1, unit))
            return text[: found.start()] + text[found.end() :], f"{int(count)}{unit}"
    for word, since in _DAYS.items():
        if found := re.search(rf"\b{word}\b", text, re.IGNORECASE):
            return text[: found.start()] + text[found.end() :], since
    return text, ""


def offers(one: Meant) -> list[Offer]:
    """The queries that would answer, the most likely first."""
    labels = ",".join(
        f'{name}="{value}"' for name, value in (("path", one.path), ("job", one.service)) if value
    )
    where = "".join(
        f' AND {name}:"{value}"' for name, value in (("path", one.path), ("service", one.service)) if value
    )
    made: dict[Subject, Callable[[str, str], list[Offer]]] = {
        "errors": _errors, "slow": _slow, "traffic": _traffic, "logins": _logins,
    }  # fmt: skip
    found = made[one.subject](labels, where) if one.subject in made else _machine(one.subject, one.service)
    for offer in found:
        offer.since = one.since
        if offer.kind == "page" and one.since:
            offer.url += ("&" if "?" in offer.url else "?") + urlencode({"since": one.since})
    return found


def _errors(labels: str, where: str) -> list[Offer]:
    failed = f"sum by (path) (rate(http_requests_errors_total{{{labels}}}[5m]))"
    share = (
        f"100 * sum(rate(http_requests_errors_total{{{labels}}}[5m]))"
        f" / sum(rate(http_requests_total{{{labels}}}[5m]))"
    )
    return [
        Offer(_("Error lines"), "logs", f"level:(ERROR OR CRITICAL){where}"),
        Offer(_("Failed requests a second"), "metrics", failed),
        Offer(_("Share of failed requests"), "metrics", share),
        Offer(_("Errors that were reported"), "page", "", url="/errors"),
    ]


def _slow(labels: str, where: str) -> list[Offer]:
    p95 = (
        "histogram_quantile(0.95, sum by (le, path)"
        f" (rate(http_request_duration_seconds_bucket{{{labels}}}[5m])))"
    )
    return [
        Offer(_("p95 by endpoint"), "metrics", p95),
        Offer(_("Lines of slow requests"), "logs", f"duration_ms:>1000{where}"),
    ]


def _traffic(labels: str, where: str) -> list[Offer]:
    rate = f"sum by (path) (rate(http_requests_total{{{labels}}}[5m]))"
    lines = where.removeprefix(" AND ") or "*"
    return [Offer(_("Requests by endpoint"), "metrics", rate), Offer(_("Log lines"), "logs", lines)]


def _logins(_labels: str, where: str) -> list[Offer]:
    return [
        Offer(_("Events"), "page", "", url="/events?type=login"),
        Offer(_("Log lines"), "logs", f"login{where}"),
    ]


def _machine(subject: str, service: str) -> list[Offer]:
    name = {"memory": "system_memory_usage_percent", "cpu": "system_cpu_usage_percent"}.get(
        subject, "system_disk_usage_percent"
    )
    labels = f'{{job="{service}"}}' if service else ""
    return [
        Offer(_("Over time"), "metrics", name + labels),
        Offer(_("System Metrics"), "page", "", url="/dashboards/system-metrics"),
    ]
