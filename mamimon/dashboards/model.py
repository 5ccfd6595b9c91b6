"""Dashboards as data: the built-in ones and people's own are the same thing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mamimon.problems import bad_input
from mamimon.window import Window

# What a panel shows, and where its data comes from.
PanelKind = Literal[
    "timeseries", "bars", "stack", "stat", "table", "logs", "log_chart", "log_top", "errors", "events",
    "checks", "alerts", "text",
]  # fmt: skip
CHARTS = frozenset({"timeseries", "bars", "stack", "log_chart", "events"})
METRICS = frozenset({"timeseries", "bars", "stack", "stat", "table"})
UNITS = ("", "s", "bytes", "percent", "ratio", "rate")
_NAME = re.compile(r"\$([a-z_][a-z0-9_]*)|\$\{([a-z_][a-z0-9_]*)\}")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class Query(msgspec.Struct, omit_defaults=True):
    """One question of a panel: PromQL, a Lucene query or an event type, by the panel's kind."""

    expr: Annotated[str, Meta(max_length=4000)] = ""
    legend: Annotated[str, Meta(max_length=200)] = ""


class Panel(msgspec.Struct, omit_defaults=True):
    """One box of a dashboard.

    `width` is in twelfths of the page; `warn` and `crit` are thresholds of the value in `unit`;
    `field` is the log field that `log_top` counts; `text` is the body of a text panel.
    """

    title: Annotated[str, Meta(max_length=200)]
    kind: PanelKind
    queries: Annotated[list[Query], Meta(max_length=20)] = []
    unit: Literal["", "s", "bytes", "percent", "ratio", "rate"] = ""
    width: Annotated[int, Meta(ge=2, le=12)] = 6
    warn: float | None = None
    crit: float | None = None
    field: Annotated[str, Meta(max_length=200)] = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""


class Variable(msgspec.Struct, omit_defaults=True):
    """A choice above the panels: the values of label `value_of` among the series of `metric`.

    Without a choice it stands for all values but `unless`, where there are others.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,30}$")]
    label: Annotated[str, Meta(max_length=100)]
    metric: Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,200}$")]
    value_of: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,100}$")]
    unless: Annotated[str, Meta(max_length=200)] = ""


class Dashboard(msgspec.Struct, omit_defaults=True):
    """A page of panels; `since` and `refresh_s` are what it opens with."""

    slug: Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    about: Annotated[str, Meta(max_length=2000)] = ""
    since: str = "1h"
    refresh_s: Annotated[int, Meta(ge=0, le=86_400)] = 15
    variables: Annotated[list[Variable], Meta(max_length=10)] = []
    panels: Annotated[list[Panel], Meta(max_length=100)] = []


def read_dashboard(body: bytes) -> Dashboard:
    """A dashboard from its JSON; what does not fit raises `BAD_INPUT` naming the place."""
    try:
        return msgspec.json.decode(body, type=Dashboard)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_input(f"this is not a dashboard: {str(error)[:300]}") from None


def slug_of(title: str) -> str:
    """A slug for a title: lower-case ASCII letters, digits and dashes."""
    plain = title.lower().translate(str.maketrans("çğıöşüâîû", "cgiosuaiu"))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "dashboard"


def expand(expr: str, window: Window, values: Mapping[str, str], points: int = 240) -> str:
    """PromQL with `$name` of each variable and Grafana's `$__interval`, `$__rate_interval`, `$__range` in.

    `values` are regular expressions, as `=~"$name"` needs them.
    """
    step = max(1, int(window.step(points)))
    # Four scrapes, so that one missed scrape leaves a rate: Grafana's rule for $__rate_interval.
    lengths = {
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step, 60)}s",
        "__range": f"{max(1, int(window.end - window.start))}s",
    }

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in values:
            return values[name].replace("\\", "\\\\").replace('"', '\\"')
        return lengths.get(name, found[0])

    return _NAME.sub(fill, expr)
