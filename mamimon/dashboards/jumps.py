"""From a panel to the logs and errors of the same time and labels."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from mamimon.dashboards.fill import Value
from mamimon.window import Window

# Labels of metrics by what log lines call the same.
_FIELDS = {
    "job": "service", "service": "service", "path": "route", "route": "route", "handler": "route",
    "endpoint": "route", "method": "method", "status": "status", "code": "status", "host": "host",
}  # fmt: skip
_EQUAL = re.compile(r'\b([a-z_]+)="((?:[^"\\]|\\.)*)"')
_MOST = 20


def to_logs(queries: Sequence[str], values: Mapping[str, Value], window: Window) -> str:
    """The address of the log lines of a window, narrowed to what is picked and what the queries name."""
    wanted: dict[str, list[str]] = {}
    for name, value in values.items():
        if name in _FIELDS and value.picked:
            wanted[_FIELDS[name]] = list(value.picked[:_MOST])
    for query in queries:
        for name, said in _EQUAL.findall(query):
            if name in _FIELDS and said not in wanted.setdefault(_FIELDS[name], []):
                wanted[_FIELDS[name]].append(said)
    terms = [_term(field, said) for field, said in wanted.items() if said]
    return "/logs?" + (urlencode({"q": " AND ".join(terms)}) + "&" if terms else "") + window.query()


def _term(field: str, said: Sequence[str]) -> str:
    quoted = [msgspec.json.encode(one).decode() for one in said]
    return f"{field}:{quoted[0]}" if len(quoted) == 1 else f"{field}:({' OR '.join(quoted)})"


def to_errors(window: Window) -> str:
    """The address of the issues that happened in a window."""
    start, end = (
        dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds").removesuffix("+00:00")
        for at in (window.start, window.end + 1)
    )
    return "/errors?" + urlencode({"query": f"lastSeen:>{start} firstSeen:<{end}"})
