"""Which kind of data source a Grafana panel or target asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KNOWN = ("prometheus", "elasticsearch", "opensearch", "loki", "influxdb", "graphite", "cloudwatch", "mysql",
          "postgres", "mssql", "tempo", "jaeger", "zipkin", "testdata", "alertmanager")  # fmt: skip


class DataSources:
    """Resolves `${DS_X}`, `$datasource`, names and uids to a plugin id, `prometheus` where nothing says."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._of: dict[str, str] = {}
        for one in raw.get("__inputs") or []:
            if isinstance(one, dict) and one.get("type") == "datasource":
                self._of[str(one.get("name"))] = str(one.get("pluginId") or "")
        templating = raw.get("templating")
        for one in (templating.get("list") or []) if isinstance(templating, dict) else []:
            if isinstance(one, dict) and one.get("type") == "datasource":
                self._of[str(one.get("name"))] = str(one.get("query") or "")

    def kind(self, panel: Any, target: Mapping[str, Any]) -> str:
        """The plugin id of a target of a panel."""
        for given in (target.get("datasource"), panel):
            if found := self._kind(given):
                return found
        # Unknown names: told by the fields that only one of the plugins has.
        if "bucketAggs" in target or "metrics" in target:
            return "elasticsearch"
        return "prometheus" if "expr" in target else ""

    def _kind(self, given: Any) -> str:
        if isinstance(given, dict):
            kind = str(given.get("type") or "")
            if kind and kind not in {"datasource", "mixed"}:
                return kind
            given = given.get("uid")
        if not isinstance(given, str) or given in {
            "",
            "-- Mixed --",
            "-- Grafana --",
            "-- Dashboard --",
            "default",
        }:
            return ""
        name = given.strip().removeprefix("$").strip("{}").split(":")[0]
        if name in self._of:
            return self._of[name]
        lower = given.lower()
        return next((kind for kind in _KNOWN if kind in lower), "")
