"""Grafana's transformations as ours, each that has no counterpart with the reason; and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from mamimon.dashboards.grafana_looks import calc_of
from mamimon.dashboards.grafana_overrides import listed
from mamimon.dashboards.model import Calc, GroupCalc, Panel, PanelKind, Transform
from mamimon.dashboards.overrides import unreadable_pattern

_LINES = {"timeseries", "bars", "stack"}
_CALCS: dict[str, str] = {"last": "lastNotNull", "mean": "mean", "min": "min", "max": "max", "sum": "sum",
                          "delta": "diff", "count": "count", "first": "firstNotNull"}  # fmt: skip


def read_transforms(one: Mapping[str, Any], kind: PanelKind, notes: list[str]) -> list[Transform]:
    """The transformations of a panel; what is not applied is told in `notes`."""
    found: list[Transform] = []
    joined = False
    for step in listed(one.get("transformations")):
        if not isinstance(step, dict) or step.get("disabled"):
            continue
        name, raw = str(step.get("id")), step.get("options")
        options: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        made: list[Transform] = []
        try:
            made = _read(name, options, kind, joined=joined)
        except ValueError as reason:
            notes.append(f"the transformation {name} is not applied: {reason}")
        joined = joined or name in {"joinByField", "seriesToColumns", "merge"}
        found += made
    return found[:30]


def _read(name: str, options: Mapping[str, Any], kind: PanelKind, *, joined: bool) -> list[Transform]:
    table = kind == "table"
    match name:
        case "organize":
            return _organized(options, table=table, joined=joined)
        case "merge":
            return []  # what has the same labels shares a row as it is
        case "filterFieldsByName":
            return _kept(options)
        case "renameByRegex":
            return _renamed(options)
        case "reduce":
            return _reduced(options, table=table)
        case "sortBy":
            return _sorted(options, table=table)
        case "labelsToFields":
            return _labels(options, table=table)
        case "joinByField" | "seriesToColumns":
            return _joined(options, table=table)
        case "groupBy":
            return _grouped(options, table=table)
    raise ValueError("it has no counterpart here")


def _texts(given: Any) -> list[str]:
    return [str(one)[:200] for one in listed(given)][:200]


def _dict(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _organized(options: Mapping[str, Any], *, table: bool, joined: bool) -> list[Transform]:
    dropped = [str(key)[:200] for key, gone in _dict(options.get("excludeByName")).items() if gone is True]
    names = {
        str(key)[:200]: str(said)[:200] for key, said in _dict(options.get("renameByName")).items() if said
    }
    if joined:
        # What several answers have, Grafana numbers; here it is one column.
        dropped = [re.sub(r" 1$", "", one) for one in dropped]
        names = {re.sub(r" 1$", "", key): said for key, said in names.items()} | names
    places = _dict(options.get("indexByName"))
    found = []
    if dropped:
        found.append(Transform("drop", fields=dropped[:200]))
    if table and places:
        order = sorted(places, key=lambda key: places[key] if isinstance(places[key], int) else 1000)
        found.append(Transform("order", fields=[re.sub(r" 1$", "", key)[:200] for key in order][:200]))
    if names:
        found.append(Transform("rename", names=dict(list(names.items())[:200])))
    return found


def _kept(options: Mapping[str, Any]) -> list[Transform]:
    include, exclude = _dict(options.get("include")), _dict(options.get("exclude"))
    if options.get("byVariable"):
        raise ValueError("it keeps what a variable names")
    found = []
    if include:
        pattern = _pattern(include.get("pattern"))
        found.append(Transform("keep", fields=_texts(include.get("names")), pattern=pattern))
    if exclude.get("pattern"):
        raise ValueError("it drops by a regular expression")
    if exclude.get("names"):
        found.append(Transform("drop", fields=_texts(exclude.get("names"))))
    return found


def _pattern(given: Any) -> str:
    text = str(given or "")
    if found := re.fullmatch(r"/(.*)/([a-z]*)", text, re.DOTALL):
        text = ("(?i)" if "i" in found[2] else "") + found[1]
    if text and unreadable_pattern(text):
        raise ValueError(f"{text[:80]!r} is no regular expression here")
    return text[:500]


def _renamed(options: Mapping[str, Any]) -> list[Transform]:
    pattern = _pattern(options.get("regex"))
    to = str(options.get("renamePattern") or "")[:500]
    return [Transform("rename_regex", pattern=pattern, to=to)] if pattern else []


def _reduced(options: Mapping[str, Any], *, table: bool) -> list[Transform]:
    calcs: list[Calc] = [calc_of(one) for one in listed(options.get("reducers"))]
    if not table:
        if calcs and calcs != ["last"]:
            raise ValueError("panels of this kind make one value of a series by their own calculation")
        return []
    if options.get("mode") == "reduceFields":
        raise ValueError("a table here is not made into one row")
    return [Transform("reduce", calcs=list(dict.fromkeys(calcs))[:10])]


def _sorted(options: Mapping[str, Any], *, table: bool) -> list[Transform]:
    wanted = [one for one in listed(options.get("sort")) if isinstance(one, dict) and one.get("field")]
    if not wanted:
        return []
    if not table:
        raise ValueError("only tables are sorted here; other panels show the highest first")
    first = wanted[0]
    return [Transform("sort", fields=[str(first["field"])[:200]], descending=bool(first.get("desc")))]


def _labels(options: Mapping[str, Any], *, table: bool) -> list[Transform]:
    if not table:
        return []  # series are named by their labels as it is
    if options.get("mode") == "rows":
        raise ValueError("labels are columns here, not rows")
    if value := options.get("valueLabel"):
        return [Transform("pivot", fields=[str(value)[:200]])]
    keep = _texts(options.get("keepLabels"))
    return [Transform("keep", fields=keep, pattern="^Value( #.+)?$")] if keep else []


def _joined(options: Mapping[str, Any], *, table: bool) -> list[Transform]:
    field = str(options.get("byField") or "")
    if not table or field in {"", "Time"}:
        return []  # charts share their time as it is
    return [Transform("join", fields=[field[:200]])]


def _grouped(options: Mapping[str, Any], *, table: bool) -> list[Transform]:
    if not table:
        raise ValueError("only tables are grouped here")
    by: list[str] = []
    calcs: dict[str, list[GroupCalc]] = {}
    for name, field in _dict(options.get("fields")).items():
        operation = _dict(field).get("operation")
        if operation == "groupby":
            by.append(str(name)[:200])
        elif operation == "aggregate":
            calcs[str(name)[:200]] = [_group_calc(one) for one in listed(_dict(field).get("aggregations"))]
    if not by:
        raise ValueError("it groups by nothing")
    return [Transform("group", fields=by[:200], group_calcs=dict(list(calcs.items())[:100]))]


def _group_calc(given: Any) -> GroupCalc:
    if given == "count":
        return "count"
    if given in {"first", "firstNotNull"}:
        return "first"
    return calc_of(given)


def write_transforms(panel: Panel) -> list[dict[str, Any]]:
    """Our transformations as Grafana's."""
    assert set(_CALCS) == set(get_args(GroupCalc))
    return [_written(one) for one in panel.transforms]


def _written(one: Transform) -> dict[str, Any]:
    organize: dict[str, Any] = {"excludeByName": {}, "indexByName": {}, "renameByName": {}}
    match one.kind:
        case "drop":
            organize["excludeByName"] = dict.fromkeys(one.fields, True)
        case "order":
            organize["indexByName"] = {name: i for i, name in enumerate(one.fields)}
        case "rename":
            organize["renameByName"] = one.names
        case "keep":
            include: dict[str, Any] = {"names": one.fields}
            if one.pattern:
                include["pattern"] = one.pattern
            return {"id": "filterFieldsByName", "options": {"include": include}}
        case "rename_regex":
            return {"id": "renameByRegex", "options": {"regex": one.pattern, "renamePattern": one.to}}
        case "sort":
            by = {"field": one.fields[0] if one.fields else "", "desc": one.descending}
            return {"id": "sortBy", "options": {"sort": [by]}}
        case "join":
            return {"id": "joinByField", "options": {"byField": next(iter(one.fields), "")}}
        case "group":
            fields: dict[str, Any] = {
                name: {"operation": "groupby", "aggregations": []} for name in one.fields
            }
            for name, calcs in one.group_calcs.items():
                fields[name] = {"operation": "aggregate", "aggregations": [_CALCS[calc] for calc in calcs]}
            return {"id": "groupBy", "options": {"fields": fields}}
        case "pivot":
            return {
                "id": "labelsToFields",
                "options": {"mode": "columns", "valueLabel": next(iter(one.fields), "")},
            }
        case "reduce":
            return {"id": "reduce", "options": {"reducers": [_CALCS[calc] for calc in one.calcs]}}
    return {"id": "organize", "options": organize}
