"""Grafana's template variables as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mamimon.dashboards.grafana_sources import DataSources
from mamimon.dashboards.model import Variable, VariableKind

_LABEL_VALUES = re.compile(r"label_values\(\s*(?:(.+),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)", re.DOTALL)
_METRICS = re.compile(r"metrics\(\s*(.*)\s*\)", re.DOTALL)
_QUERY_RESULT = re.compile(r"query_result\(\s*(.+)\s*\)", re.DOTALL)


def read_variables(
    raw: Mapping[str, Any], sources: DataSources
) -> tuple[list[Variable], list[tuple[str, str]]]:
    """The variables that translate, and name and reason of those that do not."""
    templating = raw.get("templating")
    made: list[Variable] = []
    problems: list[tuple[str, str]] = []
    for one in (templating.get("list") or []) if isinstance(templating, dict) else []:
        if not isinstance(one, dict) or one.get("type") == "datasource":
            continue  # there is one source of each kind here
        name = str(one.get("name") or "")
        try:
            variable = _read(name, one, sources)
        except (ValueError, msgspec.ValidationError) as error:
            problems.append((name, str(error)))
            continue
        made.append(variable)
    return made, problems


def _read(name: str, one: Mapping[str, Any], sources: DataSources) -> Variable:
    kind = str(one.get("type"))
    values: dict[str, Any] = {}
    match kind:
        case "query":
            values = _query(one, sources)
        case "custom" | "constant" | "textbox" | "interval":
            kinds: dict[str, VariableKind] = {"interval": "interval", "textbox": "text"}
            values = {"kind": kinds.get(kind, "list"), "values": _listed(one, kind)}
        case _:
            raise ValueError(f"variables of type {kind} have no counterpart here")
    every = bool(one.get("includeAll"))
    default = "" if every and not _current(one) else _current(one)
    given = {
        "name": name,
        "label": str(one.get("label") or name).rstrip(": ")[:100],
        "multi": bool(one.get("multi")),
        "all": every,
        "default": default[:500],
        "all_value": str(one.get("allValue") or "")[:500],
        "hidden": one.get("hide") == 2 or kind == "constant",
        **values,
    }
    return msgspec.convert(given, Variable)


def _listed(one: Mapping[str, Any], kind: str) -> list[str]:
    if kind in {"constant", "textbox"}:
        return [str(one.get("query") or "")]
    query = str(one.get("query") or "")
    if not query:
        query = ",".join(str(o.get("value")) for o in one.get("options") or [] if isinstance(o, dict))
    # `text : value` pairs show the text; the value is what goes into the query.
    found = [re.split(r"\s+:\s+", part.strip())[-1] for part in re.split(r"(?<!\\),", query)]
    return [part.replace("\\,", ",") for part in found if part and not part.startswith("$__auto")][:200]


def _query(one: Mapping[str, Any], sources: DataSources) -> dict[str, Any]:
    kind = sources.kind(one.get("datasource"), {"expr": ""})
    if kind != "prometheus":
        raise ValueError(f"its values come from a data source of type {kind or 'unknown'}")
    query = one.get("query")
    text = str(query.get("query") if isinstance(query, dict) else query or "").strip()
    if not text and one.get("definition"):
        text = str(one["definition"]).strip()
    regex = str(one.get("regex") or "").strip()
    if found := re.fullmatch(r"/(.*)/[a-z]*", regex, re.DOTALL):
        regex = found[1]
    regex = regex.replace("?<text>", "?:").replace("?<value>", "")
    rest = {"regex": regex[:500]}
    if found := _LABEL_VALUES.fullmatch(text):
        metric = (found[1] or "").strip() or f'{{{found[2]}!=""}}'
        return {"kind": "labels", "metric": metric, "value_of": found[2], **rest}
    if found := _METRICS.fullmatch(text):
        pattern = found[1].strip().strip("\"'") or ".+"
        return {"kind": "labels", "metric": f'{{__name__=~"{pattern}"}}', "value_of": "__name__", **rest}
    if found := _QUERY_RESULT.fullmatch(text):
        return {"kind": "query", "metric": found[1].strip(), **rest}
    if text and not re.match(r"label_names\(", text):
        return {"kind": "query", "metric": text, **rest}
    raise ValueError(f"{text[:80]!r} is a kind of query that has no counterpart here")


def _current(one: Mapping[str, Any]) -> str:
    current = one.get("current")
    value = current.get("value") if isinstance(current, dict) else ""
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else ""
    return "" if value in (None, "$__all", "All") or str(value).startswith("$__auto") else str(value)
