"""`/`: how the application does now, and what needs somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from mamimon.clock import rest
from mamimon.dashboards.cache import SharedAnswers
from mamimon.dashboards.fill import Value, expand
from mamimon.dashboards.model import Variable
from mamimon.dashboards.sources import ERROR_LINES, Answer, Sources, attempt, attempts
from mamimon.dashboards.units import shown
from mamimon.dashboards.variables import chosen, picks
from mamimon.i18n import current_locale, ngettext
from mamimon.i18n import gettext as _
from mamimon.window import Window, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core

LIVE_S = 5.0
PARTS = ("stats", "needs", "lines")
_ASKED = ("since", "start", "end", "tz", "var-job")
_NEW_S = 3600.0
JOB = Variable(name="job", label="Service", metric="http_requests_total", value_of="job", unless="mamimon")
RATE = 'sum(rate(http_requests_total{job=~"$job"}[$__rate_interval]))'
ERRORS = 'sum(rate(http_requests_errors_total{job=~"$job"}[$__rate_interval]))'
P95 = (
    "histogram_quantile(0.95, sum by (le%s)"
    ' (rate(http_request_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))'
)
NUMBERS = {
    "requests": RATE,
    "errors": f"100 * ({ERRORS} or vector(0)) / {RATE}",
    "p95": P95 % "",
    "memory": "max(system_memory_usage_percent)",
}


class Stat(msgspec.Struct):
    """One number of the top row; `tone` is "", "warn" or "crit"; `href` shows the query behind it."""

    title: str
    value: str
    tone: str
    note: str
    href: str
    error: str = ""


class Need(msgspec.Struct):
    """One thing that waits for somebody."""

    kind: str
    mark: str
    tone: str
    title: str
    note: str
    since: float | None
    url: str


async def stats(sources: Sources, window: Window, values: dict[str, Value]) -> list[Stat]:
    """The four numbers, each with its change against an hour ago."""
    now = {name: expand(expr, window, values) for name, expr in NUMBERS.items()}
    asked: dict[str, Any] = {name: sources.instant(expr) for name, expr in now.items()}
    asked |= {f"{name} before": sources.instant(expr, window.end - 3600) for name, expr in now.items()}
    found = await attempts(asked)
    looks = {
        "requests": (_("Requests"), "rate", None, None),
        "errors": (_("Failed"), "percent", 1.0, 5.0),
        "p95": (_("p95 answer"), "s", 1.0, 5.0),
        "memory": (_("Memory"), "percent", 80.0, 90.0),
    }
    return [_stat(name, looks[name], now[name], found[name], found[f"{name} before"]) for name in NUMBERS]


def _stat(name: str, look: tuple[Any, ...], expr: str, answer: Answer, before: Answer) -> Stat:
    title, unit, warn, crit = look
    value, old = _first(answer), _first(before)
    tone = ""
    if value is not None and warn is not None and crit is not None:
        tone = "crit" if value > crit else "warn" if value > warn else ""
    return Stat(
        title,
        shown(value, unit),
        tone,
        _change(value, old, unit),
        "/graph?" + urlencode({"q": expr}),
        answer.error,
    )


def _first(answer: Answer) -> float | None:
    if not answer.data:
        return None
    value = float(answer.data[0].value)
    return None if value != value else value  # noqa: PLR0124 - NaN


def _change(value: float | None, old: float | None, unit: str) -> str:
    if value is None:
        return _("no data yet")
    if old is None:
        return ""
    gap = value - old
    if abs(gap) <= 0.02 * max(abs(old), 1e-9):
        return _("steady for an hour")
    return f"{'▲' if gap > 0 else '▼'} {shown(abs(gap), unit)} · {_('1 h')}"


async def needs(sources: Sources, now: float) -> dict[str, Any]:
    """What waits for somebody: incidents, alerts, checks and new errors, the worst first."""
    newest = sources.top_errors(now - _NEW_S, now, 10)
    found = await attempts({"errors": newest, "incidents": sources.incidents()})
    rows = [*_alerts(sources), *_checks(sources)]
    rows += [
        Need(
            "error",
            _("new"),
            "",
            one.title,
            _heard(one.count, one.users),
            one.first_seen,
            f"/errors/{one.id}",
        )
        for one in found["errors"].data or []
        if one.first_seen >= now - _NEW_S
    ]
    problems = [answer.error for answer in found.values() if answer.error]
    return {"rows": rows[:8], "more": max(0, len(rows) - 8), "incidents": found["incidents"].data or [],
            "problems": problems, "checks": len(sources.checks())}  # fmt: skip


def _heard(count: int, users: int) -> str:
    parts = [ngettext("%(num)s event", "%(num)s events", count) % {"num": count}]
    if users:
        parts.append(ngettext("%(num)s person", "%(num)s people", users) % {"num": users})
    return ", ".join(parts)


def _alerts(sources: Sources) -> list[Need]:
    return [
        Need(
            "alert",
            _("firing") if one.state == "firing" else _("pending"),
            "crit" if one.state == "firing" else "warn",
            one.name,
            one.annotations.get("summary") or ", ".join(f"{k}={v}" for k, v in one.labels.items()),
            one.since,
            one.url,
        )
        for one in sources.firing()
    ]


def _checks(sources: Sources) -> list[Need]:
    return [
        Need(
            "check",
            _("down") if one.state == "down" else _("degraded"),
            "crit" if one.state == "down" else "warn",
            one.name,
            one.words,
            one.since,
            "/checks",
        )
        for one in sources.checks()
        if one.state in {"down", "degraded"}
    ]


def charts(window: Window, values: dict[str, Value]) -> dict[str, str]:
    """The addresses that the page's three charts read."""

    def src(*queries: tuple[str, str]) -> str:
        pairs = [pair for expr, legend in queries
                 for pair in (("query", expand(expr, window, values)), ("legend", legend))]  # fmt: skip
        return "/api/mamimon/chart?" + urlencode(pairs) + "&" + window.query()

    return {
        "traffic": src((RATE, _("requests")), (f"{ERRORS} or 0 * {RATE}", _("failed"))),
        "p95": src((P95 % ", path", "{{path}}")),
        "system": src(
            ("max(system_cpu_usage_percent)", "CPU"), ("max(system_memory_usage_percent)", _("memory"))
        ),
    }


async def _page(core: Core, sources: Sources, query: dict[str, str]) -> dict[str, Any]:
    now = core.clock.now()
    window = await sources.window(query, now)
    values = (await attempt(chosen(sources, [JOB], picks(list(query.items())), window))).data
    filled = values.values if values is not None else {"job": Value(".*")}
    numbers, waiting, lines = await asyncio.gather(
        stats(sources, window, filled),
        needs(sources, now),
        attempt(sources.log_top(ERROR_LINES, "message", window, 8)),
    )
    return {
        "section": "/",
        "window": window,
        "stats": numbers,
        "needs": waiting,
        "log_errors": lines,
        "charts": charts(window, filled),
        "url": core.base_url or "http://127.0.0.1:7007",
        "empty": numbers[0].value == "–",
    }


def overview_handlers(core: Core, sources: Sources) -> list[ControllerRouterHandler]:
    """The page and its live stream."""
    answers = SharedAnswers(200)
    stopping = asyncio.Event()
    core.on_stop.append(stopping.set)

    @get("/", include_in_schema=False)
    async def overview(request: Request[Any, Any, Any]) -> Template:
        return Template("dashboards/overview.html", context=await _page(core, sources, _query(request)))

    @get("/overview/stream", include_in_schema=False)
    async def stream(request: Request[Any, Any, Any]) -> ServerSentEvent:
        query = _query(request)
        read_window(query, core.clock.now())  # a wrong window is a 400, not a broken stream
        engine = request.app.template_engine
        assert engine is not None

        async def make() -> list[ServerSentEventMessage]:
            context = await _page(core, sources, query)
            html = {one: engine.get_template(f"dashboards/overview_{one}.html") for one in PARTS}
            return [ServerSentEventMessage(event=one, data=html[one].render(**context)) for one in PARTS]

        async def parts() -> AsyncIterator[ServerSentEventMessage]:
            while not await rest(core.clock, LIVE_S, stopping):
                # Rendered once for all who look at the same time in the same language.
                key = (*query.items(), current_locale.get())
                for part in await answers.get(key, core.clock.now(), LIVE_S, make):
                    yield part

        return ServerSentEvent(parts())

    return [overview, stream]


def _query(request: Request[Any, Any, Any]) -> dict[str, str]:
    given = request.query_params
    return {name: given[name][:500] for name in _ASKED if name in given}
