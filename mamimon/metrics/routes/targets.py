"""What is scraped, in Prometheus' shapes: targets, their metadata, jobs and relabelling step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, get

from mamimon.metrics.routes.answer import Parameters, failure, parameters, success
from mamimon.metrics.routes.reading import Unreadable, quoted, whole_number
from mamimon.metrics.routes.status import rfc3339
from mamimon.metrics.scrape.relabel import Relabel, relabel
from mamimon.metrics.scrape.yaml_file import duration_text
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.ingest import Pusher
    from mamimon.metrics.model import Labels, Matcher
    from mamimon.metrics.scrape.config import Job
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.scrape.target import ScrapedTarget
    from mamimon.metrics.wire.exposition import Metadata
    from mamimon.metrics.wire.remote_write import Described
    from mamimon.storage import Core


def target_handlers(core: Core, scraper: Scraper) -> list[ControllerRouterHandler]:
    """`/api/v1/targets*`."""

    @get("/api/v1/targets", exception_handlers={Problem: failure})
    async def targets(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Every target with its last scrape."""
        given = await parameters(request)
        state = given.get("state").lower() or "any"
        pool = given.get("scrapePool")
        active = [_target(one, core.base_url) for one in scraper.targets if pool in ("", one.job.name)]
        dropped = [
            {"discoveredLabels": labels, "scrapePool": job}
            for job, found in scraper.dropped.items()
            for labels in found
            if pool in ("", job)
        ]
        return success(
            {
                "activeTargets": active if state in ("any", "active") else [],
                "droppedTargets": dropped if state in ("any", "dropped") else [],
                "droppedTargetCounts": dict(scraper.dropped_count) if state in ("any", "dropped") else {},
            }
        )

    @get("/api/v1/targets/metadata", exception_handlers={Problem: failure})
    async def target_metadata(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Type, help and unit by target, for one metric or all."""
        given = await parameters(request)
        limit = _number(given, "limit")
        matching = _label_matcher(given.get("match_target"))
        metric = given.get("metric")
        out: list[dict[str, Any]] = []
        for one in scraper.targets:
            if (limit is not None and 0 <= limit <= len(out)) or not matching(one.target.labels):
                continue
            for family, meta in one.metadata.items():
                if metric in ("", family):
                    name = {} if metric else {"metric": family}
                    out.append({"target": one.target.labels, **name, **_meta(meta)})
        return success(out)

    @get("/api/v1/targets/relabel_steps", exception_handlers={Problem: failure})
    async def relabel_steps(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What each rule of a job makes of a target's labels."""
        given = await parameters(request)
        for name in ("scrapePool", "labels"):
            if not given.get(name):
                raise bad_input(f"no {name} parameter provided")
        try:
            labels = msgspec.json.decode(given.get("labels"), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise bad_input(f"error parsing labels: {error}") from None
        job = _job(scraper, given.get("scrapePool"), "error retrieving scrape config: ")
        return success({"steps": _steps(labels, job.relabel)})

    return [targets, target_metadata, relabel_steps]


def pool_handlers(scraper: Scraper, pusher: Pusher) -> list[ControllerRouterHandler]:
    """`/api/v1/scrape_pools*` and `/api/v1/metadata`."""

    @get("/api/v1/scrape_pools", sync_to_thread=False)
    def scrape_pools() -> Response[bytes]:
        """The names of the jobs."""
        configured = [job.name for job in scraper.config.jobs] if scraper.config else []
        return success({"scrapePools": sorted({*configured, *(one.job.name for one in scraper.targets)})})

    @get("/api/v1/scrape_pools/config", exception_handlers={Problem: failure})
    async def scrape_pool_config(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A job with every default filled in; credentials are hidden."""
        given = await parameters(request)
        if not given.get("scrapePool"):
            raise bad_input("no scrapePool parameter provided")
        from mamimon.metrics.scrape.shown import job_yaml

        return success({"yaml": job_yaml(_job(scraper, given.get("scrapePool")))})

    @get("/api/v1/metadata", exception_handlers={Problem: failure})
    async def metadata(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Type, help and unit by metric, as targets and senders say."""
        given = await parameters(request)
        limit, each = _number(given, "limit"), _number(given, "limit_per_metric")
        wanted = given.get("metric")
        found: dict[str, list[dict[str, str]]] = {}
        said = [(family, _meta(meta)) for one in scraper.targets for family, meta in one.metadata.items()]
        said += [(one.name, _meta(one)) for one in pusher.described.values()]
        for family, entry in said:
            known = found.setdefault(family, []) if wanted in ("", family) else None
            if known is not None and entry not in known and not (each and 0 < each <= len(known)):
                known.append(entry)
        names = sorted(found)[: None if limit is None or limit < 0 else limit]
        return success({name: found[name] for name in names})

    return [scrape_pools, scrape_pool_config, metadata]


def _number(given: Parameters, name: str) -> int | None:
    text = given.get(name)
    if not text:
        return None
    try:
        return whole_number(text)
    except Unreadable:
        raise bad_input(f"{name} must be a number") from None


def _job(scraper: Scraper, name: str, prefix: str = "") -> Job:
    configured = scraper.config.jobs if scraper.config else []
    for job in [*configured, *(one.job for one in scraper.targets)]:
        if job.name == name:
            return job
    raise bad_input(f"{prefix}scrape pool {quoted(name)} not found")


def _label_matcher(selector: str) -> Any:
    from mamimon.metrics.promql import PromQLError, matchers_of
    from mamimon.metrics.store import predicate

    if not selector:
        return lambda labels: True
    try:
        matchers: list[Matcher] = matchers_of(selector)
    except PromQLError as error:
        raise bad_input(f'invalid parameter "match_target": {error}') from None
    tests = [(one.name, predicate(one)[0]) for one in matchers]
    return lambda labels: all(accepts(labels.get(name, "")) for name, accepts in tests)


def _steps(labels: Labels, rules: Sequence[Relabel]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    current: Labels | None = labels
    for rule in rules:
        if current is not None:
            current = relabel(current, [rule])
        steps.append({"rule": _rule(rule), "output": current or {}, "keep": current is not None})
    return steps


def _rule(rule: Relabel) -> dict[str, Any]:
    whole = {
        "source_labels": list(rule.source_labels),
        "separator": rule.separator,
        "regex": rule.regex,
        "modulus": rule.modulus,
        "target_label": rule.target_label,
        "replacement": rule.replacement,
        "action": rule.action,
    }
    always = ("separator", "replacement")
    return {name: value for name, value in whole.items() if value or name in always}


def _meta(meta: Metadata | Described) -> dict[str, str]:
    return {"type": meta.kind, "help": meta.help, "unit": meta.unit}


_LOCAL = ("127.0.0.1", "localhost", "::1")


def _global_url(url: str, base_url: str) -> str:
    """How others reach a target on this machine: by the name that they reach us by."""
    found, own = urlsplit(url), urlsplit(base_url)
    try:
        if found.hostname not in _LOCAL or not own.hostname:
            return url
        host = f"[{own.hostname}]" if ":" in own.hostname else own.hostname
        netloc = host if found.port is None else f"{host}:{found.port}"
    except ValueError:  # a port that is none; the scrape says so
        return url
    return found._replace(netloc=netloc).geturl()


def _target(one: ScrapedTarget, base_url: str) -> dict[str, Any]:
    status, target = one.status, one.target
    return {
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": one.job.name,
        "scrapeUrl": target.url,
        "globalUrl": _global_url(target.url, base_url),
        # Why samples of a scrape that went well were left out stands on the page only.
        "lastError": "" if status.health == "up" else status.last_error,
        "lastScrape": rfc3339(status.last_at or 0.0) if status.last_at else "0001-01-01T00:00:00Z",
        "lastScrapeDuration": status.duration_s,
        "health": status.health,
        "scrapeInterval": duration_text(target.interval_s),
        "scrapeTimeout": duration_text(target.timeout_s),
    }
