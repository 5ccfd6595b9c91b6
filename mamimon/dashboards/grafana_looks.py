"""What a Grafana panel looks like, in our terms: size, unit, thresholds, scale and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mamimon.dashboards.model import Calc, PanelKind, Unit

# Ours for Grafana's; what is not here is shown as a plain number.
_GRAFANA_UNITS: dict[Unit, str] = {
    "s": "s dtdurations clocks",
    "ms": "ms dtdurationms",
    "us": "µs us",
    "ns": "ns",
    "bytes": "bytes decbytes",
    "bytes/s": "Bps binBps",
    "bits": "bits decbits",
    "bits/s": "bps binbps",
    "percent": "percent",
    "ratio": "percentunit",
    "rate": "reqps ops rps wps iops cps pps eps mps",
    "hertz": "hertz",
    "celsius": "celsius",
    "volt": "volt",
    "amp": "amp",
    "watt": "watt",
    "date": "dateTimeAsIso dateTimeFromNow dateTimeAsUS dateTimeAsLocal dateTimeAsSystem",
}
UNITS: dict[str, Unit] = {name: unit for unit, names in _GRAFANA_UNITS.items() for name in names.split()}
_CALCS: dict[str, Calc] = {
    "mean": "mean", "avg": "mean", "average": "mean", "min": "min", "max": "max", "sum": "sum",
    "total": "sum", "delta": "delta", "diff": "delta", "range": "delta",
}  # fmt: skip
_GOOD = ("green", "blue", "text", "transparent", "white", "#299c46", "#37872d", "#73bf69", "#3f6833",
         "50, 172, 45", "50, 128, 45", "super-light", "gray", "grey")  # fmt: skip
_MIDDLE = (
    "yellow",
    "orange",
    "#fade2a",
    "#eab839",
    "#ed8128",
    "#e0b400",
    "#ff9830",
    "237, 129, 40",
    "#ffb357",
)


def looks(one: Mapping[str, Any], kind: PanelKind) -> dict[str, Any]:
    """Every field of a panel but what it asks."""
    config = _at(one, "fieldConfig", "defaults")
    custom = _at(config, "custom")
    kind = _kind(one, custom, kind)
    place = _at(one, "gridPos")
    found: dict[str, Any] = {
        "title": str(one.get("title") or "")[:500],
        "kind": kind,
        "width": 12 if kind == "row" else min(12, max(1, round(float(place.get("w") or 12) / 2))),
        "height": 0 if kind == "row" else min(30, max(2, int(float(place.get("h") or 8)))),
        "unit": _unit(one, config),
        "about": str(one.get("description") or "")[:4000],
        "repeat": str(one.get("repeat") or "")[:64],
        "log_scale": _logarithmic(one, custom),
        **_thresholds(one, config),
        **_ends(one, config),
        "texts": _texts(one, config),
    }
    if kind in {"stat", "gauge", "bar"}:
        found["calc"] = _calc(one)
    return found


def _at(one: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        one = one.get(name) if isinstance(one, dict) else None
    return one if isinstance(one, dict) else {}


def _kind(one: Mapping[str, Any], custom: Mapping[str, Any], kind: PanelKind) -> PanelKind:
    if one.get("type") == "singlestat" and _at(one, "gauge").get("show"):
        return "gauge"
    if kind != "timeseries":
        return kind
    stacked = one.get("stack") or _at(custom, "stacking").get("mode") in {"normal", "percent"}
    bars = (one.get("bars") and not one.get("lines")) or custom.get("drawStyle") == "bars"
    if stacked:
        return "stack"
    return "bars" if bars else "timeseries"


def _unit(one: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    given = config.get("unit") or one.get("format")
    axes = one.get("yaxes")
    if not given and isinstance(axes, list) and axes and isinstance(axes[0], dict):
        given = axes[0].get("format")
    return UNITS.get(str(given or ""), "")


def _logarithmic(one: Mapping[str, Any], custom: Mapping[str, Any]) -> bool:
    if _at(custom, "scaleDistribution").get("type") == "log":
        return True
    axes = one.get("yaxes")
    first = axes[0] if isinstance(axes, list) and axes and isinstance(axes[0], dict) else {}
    return bool(isinstance(first.get("logBase"), int) and first["logBase"] > 1)


def _tone(colour: str) -> str:
    lower = colour.lower()
    if any(part in lower for part in _GOOD):
        return ""
    return "warn" if any(part in lower for part in _MIDDLE) else "crit"


def _thresholds(one: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The steps of a threshold list as `warn` and `crit`; red below green makes them `below`."""
    steps = _steps(one, config)
    if not steps:
        return {}
    if _tone(steps[0][1]) == "crit" and len(steps) > 1:
        # Up to the first step it is red, up to the next perhaps orange: reached from above.
        rest = steps[1:]
        found: dict[str, Any] = {"below": True, "crit": rest[0][0]}
        if len(rest) > 1 and _tone(rest[0][1]) == "warn":
            found["warn"] = rest[1][0]
        return found
    found = {}
    for value, colour in steps[1:]:
        tone = _tone(colour)
        if tone and tone not in found and value is not None:
            found[tone] = value
    return found


def _steps(one: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[float | None, str]]:
    new = _at(config, "thresholds")
    if new.get("mode") == "percentage":
        return []
    if isinstance(new.get("steps"), list):
        return [
            (_number(step.get("value")), str(step.get("color") or ""))
            for step in new["steps"]
            if isinstance(step, dict)
        ]
    old = one.get("thresholds")
    if isinstance(old, str) and old.strip():
        colours = one.get("colors") if isinstance(one.get("colors"), list) else []
        colours = [str(colour) for colour in colours or ["green", "orange", "red"]]
        values: list[float | None] = [None, *(_number(part) for part in old.split(","))]
        return [(value, colours[min(i, len(colours) - 1)]) for i, value in enumerate(values)]
    if isinstance(old, list):
        names = {"critical": "red", "warning": "orange", "ok": "green"}
        drawn = [step for step in old if isinstance(step, dict) and step.get("op", "gt") == "gt"]
        return [(None, "green")] + [
            (_number(step.get("value")), names.get(str(step.get("colorMode")), "green")) for step in drawn
        ]
    return []


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _ends(one: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    gauge = _at(one, "gauge")
    axes = one.get("yaxes")
    axis = axes[0] if isinstance(axes, list) and axes and isinstance(axes[0], dict) else {}
    found = {}
    for ours, theirs, old in (("low", "min", "minValue"), ("high", "max", "maxValue")):
        for value in (config.get(theirs), gauge.get(old) if gauge.get("show") else None, axis.get(theirs)):
            if (number := _number(value)) is not None:
                found[ours] = number
                break
    return found


def _calc(one: Mapping[str, Any]) -> Calc:
    calcs = _at(one, "options", "reduceOptions").get("calcs")
    return calc_of(calcs[0] if isinstance(calcs, list) and calcs else one.get("valueName"))


def calc_of(given: Any) -> Calc:
    """Our calculation for one of Grafana's reducers."""
    return _CALCS.get(str(given), "last")


def _texts(one: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Words for values, from the mappings of now and of before schema 30."""
    found: dict[str, str] = {}
    mappings: Sequence[Any] = config.get("mappings") or one.get("valueMaps") or []
    for one_of in mappings if isinstance(mappings, list) else []:
        if not isinstance(one_of, dict):
            continue
        options = one_of.get("options")
        if one_of.get("type") == "value" and isinstance(options, dict):
            found |= {
                str(k): str(v["text"]) for k, v in options.items() if isinstance(v, dict) and v.get("text")
            }
        elif isinstance(options, dict) and options.get("match") in {"null", "nan", "null+nan"}:
            found["null"] = str(_at(options, "result").get("text") or "")
        elif one_of.get("value") is not None and one_of.get("text"):
            found[str(one_of["value"])] = str(one_of["text"])
    return {_plain(key): text[:200] for key, text in list(found.items())[:100] if text}


def _plain(key: str) -> str:
    number = _number(key)
    return key if number is None or key == "null" else f"{number:g}"
