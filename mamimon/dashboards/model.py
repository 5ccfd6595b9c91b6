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
EXEMPLARS = frozenset({"timeseries", "bars"})
LOGS = frozenset({"logs", "log_chart", "log_top"})
Unit = Literal[
    "", "s", "ms", "us", "ns", "bytes", "bytes/s", "bits", "bits/s", "percent", "ratio", "rate", "hertz",
    "celsius", "volt", "amp", "watt", "date",
]  # fmt: skip
Calc = Literal["last", "mean", "min", "max", "sum", "delta"]
GroupCalc = Literal["last", "mean", "min", "max", "sum", "delta", "count", "first"]
TransformKind = Literal[
    "rename", "rename_regex", "drop", "keep", "order", "sort", "join", "group", "pivot", "reduce",
]  # fmt: skip
VariableKind = Literal["labels", "query", "list", "interval", "text"]
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
HEIGHT_PX = 36


class Query(msgspec.Struct, omit_defaults=True):
    """One question of a panel: PromQL, a Lucene query or an event type, by the panel's kind."""

    expr: Annotated[str, Meta(max_length=8000)] = ""
    legend: Annotated[str, Meta(max_length=500)] = ""


class Override(msgspec.Struct, omit_defaults=True):
    """How some series of a panel, or columns of a table, differ from the rest.

    `of` is a name, a regular expression or the number of a query from 1, as `match` says. `name` is what
    they are called, `colour` one of the palette (`c1` to `c6`, `ok`, `warn`, `crit`) or `#rrggbb`; `right`
    gives them an axis of their own, `negative` draws them downwards.
    """

    of: Annotated[str, Meta(max_length=500)]
    match: Literal["name", "regex", "query"] = "name"
    name: Annotated[str, Meta(max_length=200)] = ""
    unit: Unit | None = None
    colour: Annotated[str, Meta(pattern=r"^(c[1-6]|ok|warn|crit|#[0-9a-fA-F]{6})?$")] = ""
    right: bool = False
    negative: bool = False
    hidden: bool = False


class Transform(msgspec.Struct, omit_defaults=True):
    """One step between a panel's answers and what it shows; all work on tables, the first four on any series.

    `rename` by `names`; `rename_regex` of `pattern` into `to`; `drop` and `keep` by `fields` (`keep` by
    `pattern`, too); `order` the columns as in `fields`; `sort` the rows by the first of `fields`; `join` rows
    that are alike in `fields`; `group` by `fields` with `group_calcs` of other columns; `pivot` the values of
    a label into columns; `reduce` each series' range to the `calcs`.
    """

    kind: TransformKind
    fields: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=200)] = []
    pattern: Annotated[str, Meta(max_length=500)] = ""
    to: Annotated[str, Meta(max_length=500)] = ""
    names: Annotated[dict[str, str], Meta(max_length=200)] = {}
    descending: bool = False
    calcs: Annotated[list[Calc], Meta(max_length=10)] = []
    group_calcs: Annotated[dict[str, list[GroupCalc]], Meta(max_length=100)] = {}


class Panel(msgspec.Struct, omit_defaults=True):
    """One box of a dashboard; boxes stand in their order, as many in a line as fit.

    `width` is in twelfths of the page, `height` in units of 36 px (0 is what the kind needs). `warn` and
    `crit` are thresholds of the value in `unit`, reached from above where `below` is set; `low` and `high`
    are the ends of a gauge or an axis. `calc` makes one value of a series' range. `texts` are words for
    values. `repeat` names a variable: the panel stands once for each of its values. `field` is the log
    field that `log_top` counts; `text` is the Markdown of a text panel. `exemplars` shows single requests
    on lines, `overrides` and `transforms` change single series and tables.
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
    exemplars: bool = False
    overrides: Annotated[list[Override], Meta(max_length=200)] = []
    transforms: Annotated[list[Transform], Meta(max_length=30)] = []


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


def read_panel(body: bytes) -> Panel:
    """One panel from its JSON; what does not fit raises `BAD_INPUT` naming the place."""
    try:
        return msgspec.json.decode(body, type=Panel)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_input(f"this is not a panel: {str(error)[:300]}") from None


def slug_of(title: str) -> str:
    """A slug for a title: lower-case ASCII letters, digits and dashes."""
    plain = title.lower().translate(str.maketrans("çğıöşüâîû", "cgiosuaiu"))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "dashboard"
