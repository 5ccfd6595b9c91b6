"""Names of metrics and labels by the rules that OpenTelemetry and Prometheus agreed on.

Source: OpenTelemetry specification 1.38, "Prometheus and OpenMetrics compatibility"; where Prometheus
3.14 does more (which units it knows, `key_` before digits) its behaviour was compared case by case.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mamimon.metrics.wire.otlp.model import Kind, OtlpSettings

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes",
    "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes",
    "TBy": "terabytes", "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts",
    "g": "grams", "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_TOKEN = re.compile(r"[A-Za-z0-9:]+")
_NOT_METRIC = re.compile(r"[^A-Za-z0-9:]")
_NOT_LABEL = re.compile(r"[^A-Za-z0-9]")


@lru_cache(maxsize=4096)
def metric_name(name: str, unit: str, kind: Kind, monotonic: bool, settings: OtlpSettings) -> str:
    """The name of a metric's family; raises `ValueError` where nothing usable is left."""
    ending = "total" if kind == "sum" and monotonic else "ratio" if kind == "gauge" and unit == "1" else ""
    if settings.utf8:
        out = _suffixed(name, unit, ending) if settings.suffixes else name
    elif settings.suffixes:
        out = _normal(name, unit, ending)
    else:
        out = "_".join(re.findall(r"[A-Za-z0-9:_]+", name))
        out = f"_{out}" if out[:1].isdigit() else out
    if not out:
        raise ValueError(f'normalization for metric "{name}" resulted in empty name')
    if out != name and not out.strip("_"):
        raise ValueError(f'normalization for metric "{name}" resulted in invalid name "{out}"')
    return out


def _normal(name: str, unit: str, ending: str) -> str:
    tokens = _TOKEN.findall(name)
    main, per = (_clean(part) for part in _parts(unit))
    main = "" if main in tokens else main
    per = "" if per == "per_" or per.removesuffix("_") in tokens else per.removesuffix("_")
    if per:
        main = main.removesuffix("_")
    tokens += [part for part in (main, per) if part]
    if ending:
        tokens = [*(token for token in tokens if token != ending), ending]
    out = "_".join(tokens)
    return f"_{out}" if out[:1].isdigit() else out


def _suffixed(name: str, unit: str, ending: str) -> str:
    """With its characters as they are; a suffix that is there already is not put twice."""
    main, per = _parts(unit)
    out = _without(name, ending)
    out = _without(out, per)
    if main and not out.endswith(main):
        out = f"{out}_{main}"
    return "_".join(part for part in (out, per, ending) if part)


def _without(name: str, suffix: str) -> str:
    if suffix and name.endswith(suffix) and len(name) > len(suffix) + 1:
        return name[: -len(suffix) - 1]
    return name


def _parts(unit: str) -> tuple[str, str]:
    """What a unit adds to a name: the unit, and per what; annotations in braces add nothing."""
    first, _, second = unit.partition("/")
    main, per = first.strip(), second.strip()
    main = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    per = "" if "{" in per or "}" in per else _PER.get(per, per)
    return main, f"per_{per}" if per else ""


def _clean(unit: str) -> str:
    return re.sub("__+", "_", _NOT_METRIC.sub("_", unit)).removeprefix("_")


@lru_cache(maxsize=1024)
def unit_name(unit: str) -> str:
    """A unit as metadata shows it."""
    return "_".join(part for part in map(_clean, _parts(unit)) if part).strip("_")


@lru_cache(maxsize=4096)
def label_name(name: str, settings: OtlpSettings) -> str:
    """The name of a label; raises `ValueError` where nothing usable is left."""
    if not name:
        raise ValueError("label name is empty")
    if settings.utf8:
        out = name
    elif settings.label_name_preserve_multiple_underscores:
        out = _NOT_LABEL.sub("_", name)
    elif len(name) >= 4 and name.startswith("__") and name.endswith("__"):
        out = f"__{_collapsed(name[2:-2])}__"
    else:
        out = _collapsed(name)
    if not settings.utf8:
        if out[0].isdigit():
            out = f"key_{out}"
        elif settings.label_name_underscore_sanitization and out[0] == "_" and out[:2] != "__":
            out = f"key{out}"
    if not out.strip("_"):
        raise ValueError(f'normalization for label name "{name}" resulted in invalid name "{out}"')
    return out


def _collapsed(name: str) -> str:
    return re.sub("[^A-Za-z0-9]+", "_", name)
