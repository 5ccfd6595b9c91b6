"""What single series of a panel look like: their names, units, colours and axes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from mamimon.dashboards.model import Override, Panel, Transform, Unit


class Look(msgspec.Struct):
    """What a panel's overrides make of one series; `unit` is None where the panel's own stands."""

    name: str
    unit: Unit | None = None
    colour: str = ""
    right: bool = False
    negative: bool = False
    hidden: bool = False


def look_of(panel: Panel, name: str, query: int | None = None) -> Look:
    """The look of a series by its name and the query that it is of, later overrides above earlier ones."""
    look = Look(name)
    for one in panel.transforms:
        look.name, hidden = _transformed(one, look.name)
        look.hidden = look.hidden or hidden
    said = look.name
    for over in panel.overrides:
        if not _meant(over, said, query):
            continue
        look.name = over.name or look.name
        look.colour = over.colour or look.colour
        look.unit = look.unit if over.unit is None else over.unit
        look.right = look.right or over.right
        look.negative = look.negative or over.negative
        look.hidden = look.hidden or over.hidden
    return look


def dressed(panel: Panel, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a chart with each series in its look."""
    if not panel.overrides and not panel.transforms:
        return answer
    series = []
    for one in answer.get("series", []):
        look = look_of(panel, one["name"], one.get("query"))
        if look.hidden:
            continue
        values = one["values"]
        if look.negative:
            values = [None if value is None else -value for value in values]
        more: dict[str, Any] = {"colour": look.colour, "unit": look.unit, "right": look.right}
        kept = {key: value for key, value in more.items() if value not in ("", None, False)}
        series.append({**one, "name": look.name, "values": values, **kept})
    return {**answer, "series": series}


def _meant(one: Override, name: str, query: int | None) -> bool:
    match one.match:
        case "name":
            return one.of == name
        case "regex":
            return matches(one.of, name)
    return query is not None and one.of == str(query + 1)


def _transformed(one: Transform, name: str) -> tuple[str, bool]:
    """A series' new name, and whether it goes, by what a transformation does to columns."""
    match one.kind:
        case "rename":
            return one.names.get(name, name), False
        case "rename_regex":
            return renamed(one.pattern, one.to, name), False
        case "drop":
            return name, name in one.fields
        case "keep":
            return name, not kept(one, name)
    return name, False


def kept(one: Transform, name: str) -> bool:
    """Whether a `keep` lets a column or series of this name stay."""
    return name in one.fields or bool(one.pattern and matches(one.pattern, name))


def matches(pattern: str, text: str) -> bool:
    """Whether a regular expression is found in a text; one that cannot be read is found nowhere."""
    compiled = _compiled(pattern)
    return compiled is not None and compiled.search(text) is not None


def renamed(pattern: str, to: str, text: str) -> str:
    """A text with what a regular expression finds first replaced; `$1` is its first group."""
    compiled = _compiled(pattern)
    found = None if compiled is None else compiled.search(text)
    if found is None:
        return text
    said, groups = to, [found.group(0), *found.groups()]
    for number in range(len(groups) - 1, -1, -1):
        for form in (f"${{{number}}}", f"${number}"):
            said = said.replace(form, groups[number] or "")
    return str(text[: found.start()] + said + text[found.end() :])


@lru_cache(maxsize=500)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False  # it would write to stderr what the report says
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def unreadable_pattern(pattern: str) -> bool:
    """Whether this is no regular expression here."""
    return _compiled(pattern) is None
