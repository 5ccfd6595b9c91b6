"""What Prometheus tells of its insides: notifications, features, blocks, replay, its own metrics."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, Response, get, route

from mamimon.metrics.regexes import compile_regex, refusal
from mamimon.metrics.routes.answer import Disabled, failure, parameters, success
from mamimon.metrics.routes.status import rfc3339
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler
    from prometheus_client.core import Metric, Sample

    from mamimon.config import MetricSettings
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_BOTH = [HttpMethod.GET, HttpMethod.POST]
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SYNTAX = (
    "anchored", "at_modifier", "bool", "by", "delayed_name_removal", "duration_expr", "fill", "fill_left",
    "fill_right", "group_left", "group_right", "ignoring", "negative_offset", "offset", "on",
    "per_query_lookback_delta", "smoothed", "subqueries", "without",
)  # fmt: skip
_OPERATORS = (
    "!=", "!~", "%", "*", "+", "-", "/", "<", "</", "<=", "==", "=~", ">", ">/", ">=", "@", "^", "and",
    "atan2", "or", "unless",
)  # fmt: skip
_TEMPLATING = (
    "args", "externalURL", "first", "graphLink", "humanize", "humanize1024", "humanizeDuration",
    "humanizePercentage", "humanizeTimestamp", "label", "match", "now", "parseDuration", "pathPrefix",
    "query",
    "reReplaceAll", "safeHtml", "sortByLabel", "stripDomain", "stripPort", "strvalue", "tableLink", "title",
    "toDuration", "toLower", "toTime", "toUpper", "urlQueryEscape", "value",
)  # fmt: skip


def inside_handlers(core: Core, store: SeriesStore, scraper: Scraper) -> list[ControllerRouterHandler]:
    """The handlers; the search endpoints are off, as they are in Prometheus unless a flag is given."""

    @get("/api/v1/notifications", sync_to_thread=False)
    def notifications() -> Response[bytes]:
        """What a person should know: a configuration that could not be loaded."""
        if scraper.reload_ok:
            return success([])
        text = "Configuration reload has failed."
        return success([{"text": text, "date": rfc3339(scraper.failed_at), "active": True}])

    @get("/api/v1/notifications/live", status_code=204, sync_to_thread=False)
    def live_notifications() -> None:
        """Nobody more may subscribe, as Prometheus answers then; its page asks `notifications` instead."""

    @get("/api/v1/features", sync_to_thread=False)
    def features() -> Response[bytes]:
        """What is on, by area."""
        return success(_features(core.settings.metrics))

    @get("/api/v1/status/walreplay", sync_to_thread=False)
    def walreplay() -> Response[bytes]:
        """Nothing is replayed once we answer."""
        return success({"min": 0, "max": 0, "current": 0})

    @get("/api/v1/status/tsdb/blocks")
    async def blocks() -> Response[bytes]:
        """Our day files as blocks."""
        return success({"blocks": await asyncio.to_thread(_blocks, store)})

    @get("/api/v1/status/self_metrics", exception_handlers={Problem: failure})
    async def self_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Our own metrics as protobuf's JSON."""
        import re2

        pattern = (await parameters(request)).get("metric_name_pattern")
        try:
            fits = compile_regex(f"^(?:{pattern})$").fullmatch if pattern else None
        except re2.error as error:
            raise bad_input(f"invalid metric_name_pattern: {refusal(error)}") from None
        families = await asyncio.to_thread(lambda: list(core.registry.collect()))
        shown = [_family(one) for one in families]
        return success([one for one in shown if fits is None or fits(one["name"])])

    @route(
        ["/api/v1/search/metric_names", "/api/v1/search/label_names", "/api/v1/search/label_values"],
        http_method=_BOTH,
        exception_handlers={Problem: failure},
    )
    async def search() -> Response[bytes]:
        """Declared gap: an experimental endpoint that Prometheus itself has off by default."""
        raise Disabled("search API")

    return [notifications, live_notifications, features, walreplay, blocks, self_metrics, search]


def _features(settings: MetricSettings) -> dict[str, dict[str, bool]]:
    from mamimon.metrics.promql import AGGREGATOR_HELP, FUNCTIONS

    return {
        "api": {
            "admin": settings.admin_api,
            "exclude_alerts": True,
            "label_values_match": True,
            "lifecycle": True,
            "otlp_write_receiver": True,
            "query_stats": True,
            "query_warnings": True,
            "remote_write_receiver": True,
            "search": False,
            "time_range_labels": True,
            "time_range_series": True,
        },
        "otlp_receiver": {
            "delta_conversion": settings.otlp_convert_deltas,
            "native_delta_ingestion": False,
        },
        "prometheus": {"agent_mode": False, "auto_reload_config": True, "server_mode": True},
        "promql": dict.fromkeys(_SYNTAX, True) | {"per_step_stats": False, "type_and_unit_labels": False},
        "promql_functions": dict.fromkeys(sorted(FUNCTIONS), True),
        "promql_operators": dict.fromkeys(sorted({*AGGREGATOR_HELP, *_OPERATORS}), True),
        "rules": {"concurrent_rule_eval": False, "keep_firing_for": True, "query_offset": True},
        "scrape": {
            "extra_scrape_metrics": True,
            "start_timestamp_zero_ingestion": settings.start_timestamps,
            "type_and_unit_labels": False,
        },
        "service_discovery_providers": dict.fromkeys(("dns", "file", "http", "static"), True),
        "templating_functions": dict.fromkeys(_TEMPLATING, True),
        "tsdb": {"exemplar_storage": True, "isolation": True, "native_histograms": True},
    }


def _blocks(store: SeriesStore) -> list[dict[str, Any]]:
    out = []
    for day in store.days_between(0, 2**62):
        name = _ulid(day.start)
        out.append(
            {
                "ulid": name,
                "minTime": day.start,
                "maxTime": day.end,
                "stats": {"numSeries": len(day.index), "numChunks": len(day.chunks)},
                "compaction": {"level": 1, "sources": [name]},
                "version": 1,
            }
        )
    return out


def _ulid(at_ms: int) -> str:
    """The identifier of a day: its time as a ULID has it, no random part."""
    letters = [_CROCKFORD[at_ms >> shift & 31] for shift in range(45, -1, -5)]
    return "".join(letters) + "0" * 16


def _family(family: Metric) -> dict[str, Any]:
    kind = {"histogram": "HISTOGRAM", "summary": "SUMMARY", "counter": "COUNTER", "gauge": "GAUGE"}.get(
        family.type, "GAUGE" if family.type in ("info", "stateset") else "UNTYPED"
    )
    name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
    return {"name": name, "help": family.documentation, "type": kind, "metric": _metrics(family, kind)}


def _metrics(family: Metric, kind: str) -> list[dict[str, Any]]:
    out: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        own = {name: text for name, text in sample.labels.items() if name not in ("le", "quantile")}
        metric = out.setdefault(tuple(sorted(own.items())), {})
        if own:
            metric["label"] = [{"name": name, "value": text} for name, text in sorted(own.items())]
        if kind in ("HISTOGRAM", "SUMMARY"):
            _add(metric.setdefault(kind.lower(), {}), family.name, sample)
        else:
            metric[kind.lower()] = {"value": _double(sample.value)}
    return list(out.values())


def _add(into: dict[str, Any], family: str, sample: Sample) -> None:
    suffix = sample.name.removeprefix(family)
    if suffix == "_count":
        into["sampleCount"] = str(int(sample.value))
    elif suffix == "_sum":
        into["sampleSum"] = _double(sample.value)
    elif suffix == "_bucket":
        bound = float(sample.labels["le"])
        bucket = {"cumulativeCount": str(int(sample.value)), "upperBound": _double(bound)}
        into.setdefault("bucket", []).append(bucket)
    else:
        quantile = {"quantile": float(sample.labels["quantile"]), "value": _double(sample.value)}
        into.setdefault("quantile", []).append(quantile)


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
