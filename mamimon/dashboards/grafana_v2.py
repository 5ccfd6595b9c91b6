"""Grafana's schema v2 (`apiVersion: dashboard.grafana.app/v2…`) in the words of the schema before it.

v2alpha1 names the plugin of a query or panel in `kind`; v2beta1 and v2 name it in `group`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mamimon.problems import bad_input

_MOST_DEEP = 10
_WIDE, _HIGH = 24, 9
_VARIABLES = {
    "QueryVariable": "query", "CustomVariable": "custom", "ConstantVariable": "constant",
    "TextVariable": "textbox", "IntervalVariable": "interval", "DatasourceVariable": "datasource",
    "AdhocVariable": "adhoc", "GroupByVariable": "groupby", "SwitchVariable": "switch",
}  # fmt: skip
_HIDDEN = {"hideVariable": 2, "hideLabel": 1, "inControlsMenu": 0}


def is_v2(raw: Mapping[str, Any]) -> bool:
    """Whether a document is of schema v2, with its Kubernetes frame or without."""
    spec = raw.get("spec")
    return isinstance(raw.get("elements"), dict) or (
        isinstance(spec, dict) and isinstance(spec.get("elements"), dict)
    )


def classic(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same dashboard as classic JSON."""
    spec = _of(raw, "spec") if "elements" not in raw else raw
    times = _of(spec, "timeSettings")
    return {
        "title": spec.get("title"),
        "description": spec.get("description"),
        "schemaVersion": 41,
        "time": {"from": times.get("from"), "to": times.get("to")},
        "refresh": times.get("autoRefresh"),
        "links": spec.get("links"),
        "templating": {"list": [_variable(one) for one in _list(spec.get("variables"))]},
        "annotations": {"list": [_annotation(one) for one in _list(spec.get("annotations"))]},
        "panels": _Laid(_of(spec, "elements")).out(_of(spec, "layout")),
    }


def _of(given: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        given = given.get(name) if isinstance(given, dict) else None
    return given if isinstance(given, dict) else {}


def _list(given: Any) -> list[Mapping[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _number(given: Any, default: int) -> int:
    return int(given) if isinstance(given, (int, float)) and 0 <= given < 100_000 else default


class _Laid:
    """Puts the elements to the places that layouts of every kind give them, one below the other."""

    def __init__(self, elements: Mapping[str, Any]) -> None:
        self._elements = elements
        self._y = 0

    def out(self, layout: Mapping[str, Any], deep: int = 0) -> list[dict[str, Any]]:
        """The panels of a layout."""
        if deep > _MOST_DEEP:
            raise bad_input("the layouts of this dashboard are nested too deeply")
        spec = _of(layout, "spec")
        match layout.get("kind"):
            case "GridLayout":
                return self._grid(_list(spec.get("items")))
            case "AutoGridLayout":
                return self._auto(spec)
            case "RowsLayout":
                return [one for row in _list(spec.get("rows")) for one in self._row(row, deep)]
            case "TabsLayout":
                return [one for tab in _list(spec.get("tabs")) for one in self._row(tab, deep)]
        # Without a layout every element is shown, in the order of the file.
        items = [{"spec": {"element": {"name": name}}} for name in self._elements]
        return self._auto({"items": items})

    def _row(self, row: Mapping[str, Any], deep: int) -> list[dict[str, Any]]:
        """A row or a tab: a heading and what stands below it."""
        spec = _of(row, "spec")
        head = {
            "type": "row",
            "title": spec.get("title"),
            **_repeat(spec),
            "gridPos": self._place(0, self._y, 24, 1),
        }
        self._y += 1
        # What a heading hides here is open; those without a title are none.
        inner = self.out(_of(spec, "layout"), deep + 1)
        return [head, *inner] if spec.get("title") or "repeat" in head else inner

    def _grid(self, items: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        top, bottom = self._y, self._y
        for item in items:
            spec = _of(item, "spec")
            x, y = _number(spec.get("x"), 0), top + _number(spec.get("y"), 0)
            if item.get("kind") == "GridLayoutRow":
                head = {"type": "row", "title": spec.get("title"), **_repeat(spec)}
                found.append(head | {"gridPos": self._place(0, y, 24, 1)})
                self._y = y + 1
                found += self._grid(_list(spec.get("elements")))
                bottom = max(bottom, self._y)
                continue
            wide, high = _number(spec.get("width"), _WIDE), _number(spec.get("height"), _HIGH)
            found.append(self._element(spec) | {"gridPos": self._place(x, y, wide, high)})
            bottom = max(bottom, y + high)
        self._y = bottom
        return found

    def _auto(self, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Panels of one size, as many beside each other as may be."""
        columns = min(12, max(1, _number(spec.get("maxColumnCount"), 3)))
        wide = _WIDE // columns
        high = {"short": 6, "tall": 14}.get(str(spec.get("rowHeightMode")), _HIGH)
        found = []
        for i, item in enumerate(_list(spec.get("items"))):
            place = self._place(wide * (i % columns), self._y + high * (i // columns), wide, high)
            found.append(self._element(_of(item, "spec")) | {"gridPos": place})
        self._y += high * -(-len(found) // columns)
        return found

    @staticmethod
    def _place(x: int, y: int, wide: int, high: int) -> dict[str, int]:
        return {"x": x, "y": y, "w": wide, "h": high}

    def _element(self, item: Mapping[str, Any]) -> dict[str, Any]:
        element = _of(self._elements, str(_of(item, "element").get("name")))
        spec = _of(element, "spec")
        if element.get("kind") == "LibraryPanel":
            return {"title": spec.get("title"), "libraryPanel": spec.get("libraryPanel") or {}}
        look = _of(spec, "vizConfig")
        made = {
            "title": spec.get("title"),
            "description": spec.get("description"),
            "type": look.get("group") or look.get("kind") or "unknown",
            "options": _of(look, "spec", "options"),
            "fieldConfig": _of(look, "spec", "fieldConfig"),
            "targets": list(_targets(_of(spec, "data", "spec"))),
            "transformations": [_transformation(one)
                                for one in _list(_of(spec, "data", "spec").get("transformations"))],
            **_repeat(item),
        }  # fmt: skip
        return made if element else made | {"type": "an element that the file does not hold"}


def _repeat(spec: Mapping[str, Any]) -> dict[str, Any]:
    value = _of(spec, "repeat").get("value")
    return {"repeat": value} if isinstance(value, str) else {}


def _plugin(query: Mapping[str, Any]) -> str:
    kind = str(query.get("kind") or "")
    return str(query.get("group") or "") if kind in {"DataQuery", "Transformation"} else kind


def _source(of: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    given = _of(of, "datasource") or _of(query, "datasource")
    return {"type": _plugin(query) or given.get("type"), "uid": given.get("uid") or given.get("name")}


def _targets(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for one in _list(group.get("queries")):
        spec = _of(one, "spec")
        query = _of(spec, "query")
        shown = {"refId": spec.get("refId"), "hide": spec.get("hidden")}
        yield {**_of(query, "spec"), **shown, "datasource": _source(spec, query)}


def _transformation(one: Mapping[str, Any]) -> dict[str, Any]:
    spec = _of(one, "spec")
    name = spec.get("id") or one.get("group") or one.get("kind")
    return {"id": name, "options": spec.get("options"), "disabled": spec.get("disabled")}


def _variable(one: Mapping[str, Any]) -> dict[str, Any]:
    kind, spec = str(one.get("kind")), _of(one, "spec")
    made = {**spec, "type": _VARIABLES.get(kind, kind), "hide": _HIDDEN.get(str(spec.get("hide")), 0)}
    if kind == "DatasourceVariable":
        made["query"] = spec.get("pluginId")
    elif kind == "QueryVariable":
        query = _of(spec, "query")
        inner = _of(query, "spec")
        made["query"] = inner.get("query") or inner.get("__legacyStringValue") or spec.get("definition") or ""
        made["datasource"] = _source(spec, query)
    return made


def _annotation(one: Mapping[str, Any]) -> dict[str, Any]:
    spec = _of(one, "spec")
    return {
        "name": spec.get("name"),
        "builtIn": 1 if spec.get("builtIn") else 0,
        "enable": spec.get("enable"),
        "datasource": _source(spec, _of(spec, "query")),
    }
