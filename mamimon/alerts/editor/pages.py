"""The page on which an alert rule is made: its fields, what it would do, and the list of own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from litestar import Request, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.alerts.editor.drafts import SEVERITIES, Draft, form_of, read
from mamimon.alerts.editor.model import OPERATORS, OwnRule
from mamimon.alerts.editor.routes import MONTH_S, rule_handlers
from mamimon.alerts.editor.starts import starts
from mamimon.alerts.model import show_duration
from mamimon.alerts.noise import Noise, noise
from mamimon.alerts.routes import person
from mamimon.alerts.templates.functions import humanize
from mamimon.problems import Kind, Problem, bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.editor.preview import Preview
    from mamimon.alerts.service import Alerting

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
RANGES = ("1h", "6h", "24h", "7d")
FIELDS = (
    "name", "expr", "query", "by", "window", "op", "threshold", "for", "keep",
    "labels", "severity", "summary", "description", "annotations",
)  # fmt: skip
NEW = {"kind": "metric", "severity": "warning", "window": "5m", "op": ">", "threshold": "0", "since": "6h"}
SHOWN_EPISODES = 8


def editor_handlers(service: Alerting, preview: Preview) -> list[ControllerRouterHandler]:
    """The pages and the API."""
    return [
        *_editor(service),
        *_previews(preview),
        *_changes(service),
        *_noise(service),
        *rule_handlers(service, preview),
    ]


def _context(number: int, form: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    return {
        "section": "/alerts",
        "number": number,
        "form": dict.fromkeys(FIELDS, "") | NEW | form,
        "errors": errors,
        "fields": FIELDS,
        "severities": SEVERITIES,
        "operators": OPERATORS,
        "ranges": RANGES,
        "starts": [(title, urlencode({"kind": "metric"} | start)) for title, start in starts()],
        "may": "write" in current_actor.get().allowed,
    }


def _editor(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/alerts/rules/new", include_in_schema=False, sync_to_thread=False)
    def new(request: Request[Any, Any, Any]) -> Template:
        form = {name: str(value)[:20_000] for name, value in request.query_params.items()}
        if origin := form.pop("from", ""):
            form = _copied(service, origin)
        return Template("alerts/rule.html", context=_context(0, form, {}))

    @get("/alerts/rules/{number:int}", include_in_schema=False, sync_to_thread=False)
    def edit(number: FromPath[int]) -> Template:
        rule = service.own.get(number)
        return Template("alerts/rule.html", context=_context(number, form_of(rule), {}) | {"rule": rule})

    async def keep(number: int, data: dict[str, str]) -> Redirect | Template:
        draft = read(data, number)
        errors = draft.errors
        if not errors:
            try:
                kept = await service.own.save(draft.rule, person(""))
                return Redirect(f"/alerts#rule-{kept.id}", status_code=303)
            except Problem as problem:
                if problem.kind is not Kind.CONFLICT:
                    raise
                errors = {"name": problem.detail}
        return Template("alerts/rule.html", context=_context(number, data, errors), status_code=400)

    @post("/alerts/rules/new", include_in_schema=False, status_code=303)
    async def add(data: Form) -> Redirect | Template:
        return await keep(0, data)

    @post("/alerts/rules/{number:int}", include_in_schema=False, status_code=303)
    async def change(number: FromPath[int], data: Form) -> Redirect | Template:
        service.own.get(number)
        return await keep(number, data)

    return [new, edit, add, change]


def _copied(service: Alerting, key: str) -> dict[str, str]:
    """The form of a rule of a file, to change a copy of it."""
    for group in service.engine.groups:
        for rule in group.rules:
            if rule.alerting and group.rule_key(rule) == key:
                copy = OwnRule(
                    name=rule.name,
                    expr=rule.expr,
                    for_s=rule.for_s,
                    keep_firing_for_s=rule.keep_firing_for_s,
                    labels={**group.labels, **rule.labels},
                    annotations=rule.annotations,
                )
                return form_of(copy)
    raise not_found("there is no such rule, or not any more")


def _previews(preview: Preview) -> list[ControllerRouterHandler]:
    def draft_of(request: Request[Any, Any, Any]) -> tuple[dict[str, str], Draft]:
        form = {name: str(value) for name, value in request.query_params.items()}
        return form, read(form)

    @get("/alerts/rules/preview", include_in_schema=False)
    async def show(request: Request[Any, Any, Any]) -> Template:
        form, draft = draft_of(request)
        # Who has not come to the name yet need not be told that it is missing.
        errors = {k: v for k, v in draft.errors.items() if k != "name" or form.get("name")}
        asked = form.get("query" if draft.rule.kind == "logs" else "expr", "").strip()
        if not asked:
            errors.pop("expr", None)
            errors.pop("query", None)
        usable = bool(asked) and not errors
        context = {
            "errors": errors,
            "fields": FIELDS,
            "usable": usable,
            "asked": asked,
            "reading": await preview.reading(draft.rule) if usable else None,
            "query": urlencode({name: value for name, value in form.items() if value}),
            "humanize": humanize,
        }
        return Template("alerts/rule_preview.html", context=context)

    @get("/alerts/rules/backtest", include_in_schema=False)
    async def tried(request: Request[Any, Any, Any]) -> Template:
        _, draft = draft_of(request)
        context: dict[str, Any] = {"show_duration": show_duration, "problem": "", "tried": None}
        try:
            if wrong := [text for field, text in draft.errors.items() if field != "name"]:
                raise bad_input(wrong[0])
            found = await preview.backtest(draft.rule, MONTH_S)
            context |= {
                "tried": found,
                "shown": found.episodes[:SHOWN_EPISODES],
                "days": (found.end - found.start) / 86_400,
                "longest": max((one.seconds for one in found.episodes), default=0.0),
            }
        except Problem as problem:
            context["problem"] = problem.detail
        return Template("alerts/rule_backtest.html", context=context)

    return [show, tried]


def _noise(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/alerts/noisy", include_in_schema=False)
    async def noisy() -> Template:
        now = service.core.clock.now()
        rows: list[Noise] = []
        problem = ""
        try:
            rows = await noise(service, now - MONTH_S, now)
        except Problem as error:
            problem = error.detail
        links = {
            rule.name: f"/alerts/rules/{rule.own or 'new?from=' + group.rule_key(rule)}"
            for group in service.engine.groups
            for rule in group.rules
            if rule.alerting
        }
        context = {
            "section": "/alerts",
            "rows": rows,
            "problem": problem,
            "links": links if "write" in current_actor.get().allowed else {},
            "show_duration": show_duration,
        }
        return Template("alerts/noisy.html", context=context)

    return [noisy]


def _changes(service: Alerting) -> list[ControllerRouterHandler]:
    @post("/alerts/rules/{number:int}/{action:str}", include_in_schema=False, status_code=303)
    async def turn(number: FromPath[int], action: FromPath[str]) -> Redirect:
        if action == "delete":
            await service.own.delete(number, person(""))
        elif action in {"enable", "disable"}:
            await service.own.enable(number, action == "enable", person(""))
        else:
            raise not_found(f"there is no action {action[:40]!r}")
        return Redirect("/alerts#own-rules", status_code=303)

    return [turn]
