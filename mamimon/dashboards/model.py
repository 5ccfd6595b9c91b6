"""Dashboards as data: the built-in ones and people's own are the same thing."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mamimon.problems import bad_input

# What a panel shows, and where its data comes from.
PanelKind = Literal[
    "timeseries", "bars", "stack", "heatmap", "stat", "gauge", "bar", "table", "status", "logs", "log_chart",
    "log_top", "errors", "events", "checks", "alerts", "text", "row",
]  # fmt: skip
CHARTS = frozenset({"timeseries", "bars", "stack", "heatmap", "log_chart", "events"})
METRICS = frozenset({"timeseries", "bars", "stack", "heatmap", "stat", "gauge", "bar", "table", "status"})
LOGS = frozenset({"logs", "log_chart", "log_top"})
Unit = Literal[
    "", "s", "ms", "us", "ns", "bytes", "bytes/s", "bits", "bits/s", "percent", "ratio", "rate", "hertz",
    "celsius", "volt", "amp", "watt", "date",
]  # fmt: skip
Calc = Literal["last", "mean", "min", "max", "sum", "delta"]
VariableKind = Literal["labels", "query", "list", "interval", "text"]
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
HEIGHT_PX = 36


class Query(msgspec.Struct, omit_defaults=True):
    """One question of a panel: PromQL, a Lucene query or an event type, by the panel's kind."""

    expr: Annotated[str, Meta(max_length=8000)] = ""
    legend: Annotated[str, Meta(max_length=500)] = ""


class Panel(msgspec.Struct, omit_defaults=True):
    """One box of a dashboard; boxes stand in their order, as many in a line as fit.

    `width` is in twelfths of the page, `height` in units of 36 px (0 is what the kind needs). `warn` and
    `crit` are thresholds of the value in `unit`, reached from above where `below` is set; `low` and `high`
    are the ends of a gauge or an axis. `calc` makes one value of a series' range. `texts` are words for
    values. `repeat` names a variable: the panel stands once for each of its values. `field` is the log
    field that `log_top` counts; `text` is the Markdown of a text panel.
    """

    title: Annotated[str, Meta(max_length=500)]
    kind: PanelKind
    queries: Annotated[list[Query], Meta(max_length=40)] = []
    unit: Unit = ""
    width: Annotated[int, Meta(ge=1, le=12)] = 6
    height: Annotated[int, Meta(ge=0, le=30)] = 0
    warn: float | None = None
    crit: float | None = None
    below: bool = False
    low: float | None = None
    high: float | None = None
    log_scale: bool = False
    calc: Calc = "last"
    texts: Annotated[dict[str, str], Meta(max_length=100)] = {}
    repeat: Annotated[str, Meta(max_length=64)] = ""
    about: Annotated[str, Meta(max_length=4000)] = ""
    field: Annotated[str, Meta(max_length=200)] = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""


class Variable(msgspec.Struct, omit_defaults=True):
    """A choice above the panels.

    `labels`: the values of label `value_of` among the series of `metric` (PromQL, which may name other
    variables). `query`: a name a series that `metric` answers, by label `value_of` or, without one, its
    value. `list` and `interval`: `values`. `text`: what a person types. `regex` keeps the values that it
    matches, and of those its first group. Where `all` is set, no choice stands for every value but
    `unless`; else for `default`, or the first value.
    """

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
    label: Annotated[str, Meta(max_length=100)] = ""
    kind: VariableKind = "labels"
    metric: Annotated[str, Meta(max_length=2000)] = ""
    value_of: Annotated[str, Meta(pattern=r"^([a-zA-Z_][a-zA-Z0-9_]{0,100})?$")] = ""
    values: Annotated[list[str], Meta(max_length=200)] = []
    regex: Annotated[str, Meta(max_length=500)] = ""
    unless: Annotated[str, Meta(max_length=200)] = ""
    default: Annotated[str, Meta(max_length=500)] = ""
    all_value: Annotated[str, Meta(max_length=500)] = ""
    multi: bool = False
    all: bool = True
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.kind in {"labels", "query"} and not self.metric:
            raise ValueError(f"variable {self.name} needs a metric")
        if self.kind == "labels" and not self.value_of:
            raise ValueError(f"variable {self.name} needs value_of, the label whose values it offers")


class Link(msgspec.Struct, omit_defaults=True):
    """A link above the panels; `$name` of a variable may stand in its address."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    url: Annotated[str, Meta(pattern=r"^(https?://|/)", max_length=2000)]


class Dashboard(msgspec.Struct, omit_defaults=True):
    """A page of panels; `since` and `refresh_s` are what it opens with.

    `viewers` and `editors` are names of people: where there are some, nobody else but an administrator
    may see or change it.
    """

    slug: Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    about: Annotated[str, Meta(max_length=2000)] = ""
    since: Annotated[str, Meta(pattern=r"^\d{1,7}[smhdw]$")] = "1h"
    refresh_s: Annotated[int, Meta(ge=0, le=86_400)] = 15
    variables: Annotated[list[Variable], Meta(max_length=30)] = []
    links: Annotated[list[Link], Meta(max_length=20)] = []
    marks: bool = True
    viewers: Annotated[list[str], Meta(max_length=100)] = []
    editors: Annotated[list[str], Meta(max_length=100)] = []
    panels: Annotated[list[Panel], Meta(max_length=300)] = []


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
