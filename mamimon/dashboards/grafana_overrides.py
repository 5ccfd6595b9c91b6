"""Grafana's field overrides, and what graphs had before them, as ours; and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mamimon.dashboards.grafana_looks import UNITS
from mamimon.dashboards.model import Override, Panel
from mamimon.dashboards.overrides import unreadable_pattern

_NAMED = {
    "red": "crit", "orange": "c2", "yellow": "c5", "green": "ok", "blue": "c1", "purple": "c4",
    "super-light-blue": "c6", "light-blue": "c6",
}  # fmt: skip
_MATCHERS = {"byName": "name", "byRegexp": "regex", "byFrameRefID": "query"}
_BACK = {"name": "byName", "regex": "byRegexp", "query": "byFrameRefID"}
# How a line or cell is drawn, which panels here do in one way.
_COSMETIC = "are drawn as everywhere here"


def read_overrides(one: Mapping[str, Any], notes: list[str]) -> list[Override]:
    """The overrides of a panel; what has no counterpart is told in `notes`."""
    config = one.get("fieldConfig")
    given = listed(config.get("overrides")) if isinstance(config, dict) else []
    targets = [t for t in listed(one.get("targets")) if isinstance(t, dict) and not t.get("hide")]
    refs = [str(target.get("refId")) for target in targets]
    unit = _default_unit(one)
    left: dict[str, None] = {}
    read = (_read(over, refs, unit, notes, left) for over in given if isinstance(over, dict))
    found = [made for made in read if made is not None]
    found += _before_overrides(one, notes, left)
    if left:
        notes.append(f"{', '.join(left)} of single series {_COSMETIC}")
    return found[:200]


def _default_unit(one: Mapping[str, Any]) -> str:
    config = one.get("fieldConfig")
    defaults = config.get("defaults") if isinstance(config, dict) else None
    return UNITS.get(str(defaults.get("unit") or ""), "") if isinstance(defaults, dict) else ""


def _read(
    over: Mapping[str, Any], refs: Sequence[str], unit: str, notes: list[str], left: dict[str, None]
) -> Override | None:
    matcher = over.get("matcher")
    kind = str(matcher.get("id")) if isinstance(matcher, dict) else ""
    of = matcher.get("options") if isinstance(matcher, dict) else None
    if kind not in _MATCHERS or not isinstance(of, str):
        notes.append(f"an override is left out: it matches {kind or 'nothing'}")
        return None
    match kind:
        case "byRegexp":
            of = _pattern(of)
            if unreadable_pattern(of):
                notes.append(f"an override is left out: {of[:80]!r} is no regular expression here")
                return None
        case "byFrameRefID":
            if of not in refs:
                return None
            of = str(refs.index(of) + 1)
    values: dict[str, Any] = {"match": _MATCHERS[kind], "of": of[:500]}
    placed = ""
    for one in listed(over.get("properties")):
        if isinstance(one, dict):
            placed = _property(str(one.get("id")), one.get("value"), values, left) or placed
    own = values.get("unit")
    if placed == "right" or (placed != "left" and own is not None and own != unit):
        values["right"] = True  # as Grafana does: a unit of its own is an axis of its own
    return None if len(values) == 2 else msgspec.convert(values, Override)


def _property(name: str, value: Any, values: dict[str, Any], left: dict[str, None]) -> str:
    """Put one property into `values`; returns where an axis is asked for."""
    match name:
        case "unit":
            unit = UNITS.get(str(value))
            if unit is None and value not in ("none", "short", "", None):
                left[f"unit {str(value)[:40]}"] = None
            else:
                values["unit"] = unit or ""
        case "displayName":
            values["name"] = re.sub(r"\$\{__(?:field|series)\.[^}]*\}", "", str(value or ""))[:200].strip()
            if not values["name"]:
                del values["name"]
        case "color":
            if isinstance(value, dict) and (colour := _colour(str(value.get("fixedColor") or ""))):
                values["colour"] = colour
        case "custom.axisPlacement":
            return str(value)
        case "custom.transform":
            if value == "negative-Y":
                values["negative"] = True
        case "custom.hidden" | "custom.hideFrom" | "custom.hideFrom.viz":
            if value is True or (isinstance(value, dict) and value.get("viz")):
                values["hidden"] = True
        case _:
            left[name.removeprefix("custom.")] = None
    return ""


def _colour(given: str) -> str:
    if found := re.fullmatch(r"#([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", given):
        return "#" + found[1]
    if found := re.fullmatch(r"rgba?\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?:,[^)]*)?\)", given):
        return "#" + "".join(f"{min(255, int(part)):02x}" for part in found.groups())
    return next(
        (ours for name, ours in sorted(_NAMED.items(), key=lambda x: -len(x[0])) if name in given), ""
    )


def listed(given: Any) -> list[Any]:
    """A list where there should be one, else nothing."""
    return given if isinstance(given, list) else []


def _before_overrides(one: Mapping[str, Any], notes: list[str], left: dict[str, None]) -> list[Override]:
    """`aliasColors` and `seriesOverrides` of the graph panel, and its second axis."""
    found = []
    colours = one.get("aliasColors")
    for name, colour in colours.items() if isinstance(colours, dict) else ():
        if said := _colour(str(colour)):
            found.append(Override(str(name)[:500], colour=said))
    axes = one.get("yaxes")
    second = axes[1] if isinstance(axes, list) and len(axes) > 1 and isinstance(axes[1], dict) else {}
    for over in listed(one.get("seriesOverrides")):
        alias = str(over.get("alias") or "") if isinstance(over, dict) else ""
        if not alias:
            continue
        regex = len(alias) > 1 and alias.startswith("/") and alias.rstrip("gimsuy").endswith("/")
        of = _pattern(alias) if regex else alias
        if regex and unreadable_pattern(of):
            notes.append(f"an override is left out: {of[:80]!r} is no regular expression here")
            continue
        made = Override(of[:500], match="regex" if regex else "name")
        if over.get("yaxis") == 2:
            made.right, made.unit = True, UNITS.get(str(second.get("format")), "")
        made.negative = over.get("transform") == "negative-Y"
        made.colour = _colour(str(over.get("color") or ""))
        made.hidden = over.get("hiddenSeries") is True
        for name in sorted(set(over) - {"alias", "yaxis", "transform", "color", "hiddenSeries", "$$hashKey"}):
            left[name] = None
        if made != Override(of[:500], match=made.match):
            found.append(made)
    return found


def _pattern(text: str) -> str:
    """What stands between the slashes; flags in front, as RE2 has them."""
    found = re.fullmatch(r"/(.*)/([a-z]*)", text, re.DOTALL)
    if not found:
        return text
    return ("(?i)" if "i" in found[2] else "") + found[1]


def write_overrides(panel: Panel, units: Mapping[str, str], refs: Sequence[str]) -> list[dict[str, Any]]:
    """Our overrides as Grafana's."""
    hexes = {"crit": "red", "warn": "orange", "ok": "green", "c1": "blue", "c2": "dark-orange", "c3": "green",
             "c4": "purple", "c5": "yellow", "c6": "light-blue"}  # fmt: skip
    found = []
    for one in panel.overrides:
        properties: list[dict[str, Any]] = []
        if one.name:
            properties.append({"id": "displayName", "value": one.name})
        if one.unit is not None:
            properties.append({"id": "unit", "value": units[one.unit]})
        if one.colour:
            fixed = {"mode": "fixed", "fixedColor": hexes.get(one.colour, one.colour)}
            properties.append({"id": "color", "value": fixed})
        if one.right or one.unit is not None:
            properties.append({"id": "custom.axisPlacement", "value": "right" if one.right else "left"})
        if one.negative:
            properties.append({"id": "custom.transform", "value": "negative-Y"})
        if one.hidden:
            hide = {"viz": True, "legend": True, "tooltip": True}
            table = panel.kind == "table"
            properties.append({"id": "custom.hidden", "value": True} if table
                              else {"id": "custom.hideFrom", "value": hide})  # fmt: skip
        of = one.of
        if one.match == "query":
            place = int(one.of) - 1 if one.of.isdigit() else -1
            of = refs[place] if 0 <= place < len(refs) else one.of
        elif one.match == "regex":
            of = f"/{one.of}/"
        found.append({"matcher": {"id": _BACK[one.match], "options": of}, "properties": properties})
    return found
