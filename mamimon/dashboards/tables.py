"""Tables of panels: series as rows, a column a label and a query, and what is then done to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.dashboards.cells import Cell, Grid, calculated, legend, tone, worded
from mamimon.dashboards.model import Calc, Panel, Query, Transform
from mamimon.dashboards.overrides import kept, look_of, renamed

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult

_ROWS = 50
_MOST_PIVOTED = 100
# What Grafana calls the results of its reducers, so that its dashboards' names still fit.
CALC_NAMES: dict[Calc, str] = {
    "last": "Last *", "mean": "Mean", "min": "Min", "max": "Max", "sum": "Total", "delta": "Difference",
}  # fmt: skip
Row = list[Any]


class Column(msgspec.Struct):
    """A column: `name` is what transformations call it, `head` what stands above it."""

    name: str
    head: str
    number: bool = False
    query: int | None = None


class Table(msgspec.Struct):
    """Columns and rows of texts and numbers; None where a row has no value."""

    columns: list[Column]
    rows: list[Row]

    def place(self, name: str) -> int | None:
        """Where a column stands."""
        return next((i for i, one in enumerate(self.columns) if one.name == name), None)

    def picked(self, places: Sequence[int]) -> Table:
        """Only these columns, in this order."""
        return Table([self.columns[i] for i in places], [[row[i] for i in places] for row in self.rows])


def grid(panel: Panel, found: Sequence[tuple[Query, QueryResult]]) -> Grid:
    """What a table panel shows, the highest first unless it is sorted otherwise."""
    table = _reduced(panel, found) if _reduction(panel) else _joined(panel, found)
    for one in panel.transforms:
        table = _applied(one, table)
    looks = [look_of(_plain(panel), one.name, one.query) for one in table.columns]
    shown = [i for i, look in enumerate(looks) if not look.hidden]
    # Labels stand before numbers unless somebody put them in an order.
    if not any(one.kind == "order" for one in panel.transforms):
        shown.sort(key=lambda i: table.columns[i].number)
    heads = [
        looks[i].name if looks[i].name != table.columns[i].name else table.columns[i].head for i in shown
    ]
    units = [panel if (unit := looks[i].unit) is None else msgspec.structs.replace(panel, unit=unit)
             for i in shown]  # fmt: skip
    rows: list[list[str | Cell | None]] = [
        [_cell(one, row[i]) if table.columns[i].number else row[i] or ""
         for one, i in zip(units, shown, strict=True)]
        for row in table.rows[:_ROWS]
    ]  # fmt: skip
    numbers = [table.columns[i].number for i in shown]
    return Grid(heads, numbers, rows, max(0, len(table.rows) - _ROWS))


def _plain(panel: Panel) -> Panel:
    """The panel for looks alone: what its transformations do is done already."""
    return msgspec.structs.replace(panel, transforms=[])


def _cell(panel: Panel, value: float | None) -> Cell | None:
    if value is None or math.isnan(value):
        return None
    return Cell("", worded(panel, value), tone(panel, value), value)


def _reduction(panel: Panel) -> Transform | None:
    return next((one for one in panel.transforms if one.kind == "reduce"), None)


def _reduced(panel: Panel, found: Sequence[tuple[Query, QueryResult]]) -> Table:
    """A row a series, a column a calculation over its range."""
    reduction = _reduction(panel)
    calcs = (reduction.calcs if reduction else []) or ["last"]
    rows: list[Row] = []
    for query, result in found:
        for row, labels in enumerate(result.labels):
            points = result.drawn(row)
            name = legend(query.legend, labels)
            rows.append([name, *(calculated(calc, points) for calc in calcs)])
    heads = [Column("Field", ""), *(Column(CALC_NAMES[one], CALC_NAMES[one], number=True) for one in calcs)]
    return Table(heads, _ranked(rows, 1))


def _joined(panel: Panel, found: Sequence[tuple[Query, QueryResult]]) -> Table:
    """Queries that answer the same labels share a row, a column each."""
    rows: dict[tuple[tuple[str, str], ...], list[float | None]] = {}
    for column, (query, result) in enumerate(found):
        for row, labels in enumerate(result.labels):
            value = calculated(panel.calc, result.drawn(row))
            if math.isnan(value) and not bool(result.present[row, -1]):
                continue
            rows.setdefault(_row_of(query, labels), [None] * len(found))[column] = value
    names = sorted({name for key in rows for name, _ in key})
    columns = [Column(name, name) for name in names]
    for i, (query, _result) in enumerate(found):
        said = "" if "{{" in query.legend else query.legend
        name = said or ("Value" if len(found) == 1 else f"Value #{chr(ord('A') + i)}")
        columns.append(Column(name, said, number=True, query=i))
    body: list[Row] = [[*(dict(key).get(name) for name in names), *values] for key, values in rows.items()]
    return Table(columns, _ranked(body, len(names)))


def _row_of(query: Query, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What tells a row apart: its labels, or the one name that a legend makes of them."""
    if "{{" in query.legend:
        return (("", legend(query.legend, labels)),)
    return tuple(sorted((name, said) for name, said in labels.items() if name != "__name__"))


def _ranked(rows: list[Row], at: int) -> list[Row]:
    def rank(row: Row) -> float:
        first = next((one for one in row[at:] if one is not None), -math.inf)
        return -math.inf if math.isnan(first) else float(first)

    return sorted(rows, key=lambda row: -rank(row))


def _applied(one: Transform, table: Table) -> Table:
    every = range(len(table.columns))
    match one.kind:
        case "drop":
            return table.picked([i for i in every if table.columns[i].name not in one.fields])
        case "keep":
            return table.picked([i for i in every if kept(one, table.columns[i].name)])
        case "order":
            ranks = {name: i for i, name in enumerate(one.fields)}
            return table.picked(sorted(every, key=lambda i: ranks.get(table.columns[i].name, len(ranks))))
        case "rename":
            return _renamed(table, lambda name: one.names.get(name, name))
        case "rename_regex":
            return _renamed(table, lambda name: renamed(one.pattern, one.to, name))
        case "sort":
            return _sorted(table, one)
        case "join":
            return _grouped(table, Transform("group", fields=one.fields), keep=True)
        case "group":
            return _grouped(table, one, keep=False)
        case "pivot":
            return _pivoted(table, one)
    return table


def _renamed(table: Table, rename: Callable[[str], str]) -> Table:
    columns = []
    for one in table.columns:
        name = rename(one.name)
        columns.append(one if name == one.name else Column(name, name, one.number, one.query))
    return Table(columns, table.rows)


def _sorted(table: Table, one: Transform) -> Table:
    at = table.place(one.fields[0]) if one.fields else None
    if at is None:
        return table
    there = [row for row in table.rows if row[at] is not None]
    absent = [row for row in table.rows if row[at] is None]
    return Table(table.columns, [*sorted(there, key=lambda row: row[at], reverse=one.descending), *absent])


def _grouped(table: Table, one: Transform, *, keep: bool) -> Table:
    """A row for each value of some columns; the others aggregated, or the first that is there, or gone."""
    keys = [at for name in one.fields if (at := table.place(name)) is not None]
    if not keys:
        return table
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[i] for i in keys), []).append(row)
    columns = [table.columns[i] for i in keys]
    takes: list[tuple[int, str]] = []
    for i, column in enumerate(table.columns):
        if i in keys:
            continue
        calcs = one.group_calcs.get(column.name, [])
        for calc in calcs:
            name = f"{column.name} ({_GROUPED.get(calc, calc)})"
            columns.append(Column(name, name, calc == "count" or column.number))
            takes.append((i, calc))
        if keep and not calcs:
            columns.append(column)
            takes.append((i, "first"))
    rows = [
        [*key, *(_aggregated([row[i] for row in rows], calc) for i, calc in takes)]
        for key, rows in groups.items()
    ]
    return Table(columns, rows)


# What Grafana writes behind a column that it aggregated.
_GROUPED = {"last": "lastNotNull", "delta": "diff"}


def _aggregated(values: Sequence[Any], calc: str) -> Any:
    there = [one for one in values if one is not None]
    if calc == "count":
        return float(len(there))
    if calc == "first" or not there or isinstance(there[0], str):
        return there[-1 if calc == "last" else 0] if there else None
    return calculated(calc, there)


def _pivoted(table: Table, one: Transform) -> Table:
    """The values of a label as columns of numbers."""
    at = table.place(one.fields[0]) if one.fields else None
    number = next((i for i, column in enumerate(table.columns) if column.number), None)
    if at is None or number is None:
        return table
    rest = [i for i, column in enumerate(table.columns) if i != at and not column.number]
    names = sorted({str(row[at] or "") for row in table.rows})[:_MOST_PIVOTED]
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[i] for i in rest), {})[str(row[at] or "")] = row[number]
    columns = [*(table.columns[i] for i in rest), *(Column(name, name, number=True) for name in names)]
    return Table(columns, [[*key, *(said.get(name) for name in names)] for key, said in groups.items()])
