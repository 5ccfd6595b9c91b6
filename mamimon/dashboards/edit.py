"""Making, changing and restoring dashboards: the forms and what the editor in the page asks."""

from __future__ import annotations

import difflib
from copy import deepcopy
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.dashboards.boards import Boards
from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.grafana_read import Translated, is_grafana, read_grafana
from mamimon.dashboards.model import Calc, Dashboard, Panel, PanelKind, Unit, VariableKind, read_dashboard
from mamimon.dashboards.pages import page_context
from mamimon.dashboards.panels import View
from mamimon.i18n import gettext as _
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

Form = dict[str, str]
CHOICES = {
    "kinds": get_args(PanelKind),
    "units": get_args(Unit),
    "calcs": get_args(Calc),
    "variable_kinds": get_args(VariableKind),
}


def edit_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    """The doors that change dashboards."""

    @post("/dashboards", include_in_schema=False)
    async def create(data: URLEncodedBody[Form]) -> Response[Any]:
        title = data.get("title", "").strip()[:200]
        if not title:
            raise bad_input("a dashboard needs a title")
        source = _spoken(await boards.find(data["copy"])) if data.get("copy") else None
        made = await boards.add(title, source)
        return Redirect(f"/dashboards/{made.slug}/edit", status_code=303)

    @post("/dashboards/import", include_in_schema=False)
    async def load(request: Request[Any, Any, Any]) -> Response[Any] | Template:
        data = await request.form()
        file = data.get("file")
        body = await file.read() if isinstance(file, UploadFile) else b""
        if not body.strip():
            body = str(data.get("json", "")).encode()
        dashboard, report = read_either(body)
        made = await boards.add(dashboard.title, dashboard)
        if report is None or not (report.skipped or report.remarks):
            return Redirect(f"/dashboards/{made.slug}", status_code=303)
        context = {"section": "/dashboards", "report": report, "dashboard": made}
        return Template("dashboards/imported.html", context=context)

    @get("/dashboards/{slug:str}/edit", include_in_schema=False)
    async def edit(slug: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        dashboard = await boards.own(slug)
        context = await page_context(boards, dashboard, request)
        version = await boards.store.newest(slug)
        text = msgspec.json.format(msgspec.json.encode(dashboard), indent=2).decode()
        more = {
            "version": version,
            "json": text,
            "live": f"/dashboards/{slug}/live?{context['query']}",
            **CHOICES,
        }
        return Template("dashboards/edit.html", context=context | more)

    @post("/dashboards/{slug:str}/preview", include_in_schema=False)
    async def preview(slug: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        """The panels of a dashboard that is not saved, as the editor shows them."""
        await boards.own(slug)
        given = read_dashboard(await request.body())
        context = await page_context(boards, given, request)
        return Template("dashboards/board.html", context=context | {"editing": True, "live": ""})

    @post("/dashboards/{slug:str}/json", include_in_schema=False)
    async def replace(slug: FromPath[str], data: URLEncodedBody[Form]) -> Response[Any]:
        dashboard = await boards.own(slug)
        given = read_dashboard(data.get("json", "").encode())
        given.slug = dashboard.slug
        await boards.store.save(given, current_actor.get().name)
        return Redirect(f"/dashboards/{slug}", status_code=303)

    @post("/dashboards/{slug:str}/delete", include_in_schema=False)
    async def remove(slug: FromPath[str]) -> Response[Any]:
        await boards.own(slug)
        await boards.store.remove(slug)
        return Redirect("/dashboards", status_code=303)

    return [create, load, edit, preview, replace, remove, *_history_handlers(boards)]


def _history_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    @get("/dashboards/{slug:str}/history", include_in_schema=False)
    async def history(slug: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        dashboard = await boards.own(slug)
        found = await boards.store.versions(slug)
        wanted = request.query_params.get("version", "")
        place = next((i for i, one in enumerate(found) if str(one.version) == wanted), 0)
        older = found[place + 1].dashboard if place + 1 < len(found) else None
        context = {
            "section": "/dashboards",
            "dashboard": dashboard,
            "versions": found,
            "shown": found[place] if found else None,
            "diff": difference(older, found[place].dashboard) if found else [],
        }
        return Template("dashboards/history.html", context=context)

    @post("/dashboards/{slug:str}/restore", include_in_schema=False)
    async def restore(slug: FromPath[str], data: URLEncodedBody[Form]) -> Response[Any]:
        await boards.own(slug)
        versions = await boards.store.versions(slug)
        found = next((one for one in versions if str(one.version) == data.get("version")), None)
        if found is None:
            raise not_found(_("there is no such version"))
        await boards.store.save(found.dashboard, current_actor.get().name)
        return Redirect(f"/dashboards/{slug}", status_code=303)

    return [history, restore]


def read_either(body: bytes) -> tuple[Dashboard, Translated | None]:
    """A dashboard of ours, or one of Grafana's with what became of it."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_input(f"this is not JSON: {str(error)[:200]}") from None
    if isinstance(document, dict) and is_grafana(document):
        report = read_grafana(document)
        return report.dashboard, report
    return read_dashboard(body), None


def difference(old: Dashboard | None, new: Dashboard) -> list[tuple[str, str]]:
    """The lines that differ between two versions, each with `+`, `-`, `@` or a space."""

    def lines(one: Dashboard | None) -> list[str]:
        return msgspec.json.format(msgspec.json.encode(one), indent=1).decode().splitlines() if one else []

    found = list(difflib.unified_diff(lines(old), lines(new), n=3, lineterm=""))[2:]
    return [(line[0], line[1:]) for line in found[:2000]]


def blank(kind: PanelKind = "timeseries") -> View:
    """A panel as the form for a new one begins."""
    panel = Panel("", kind)
    return View("", 0, panel, "")


def _spoken(dashboard: Dashboard) -> Dashboard:
    """A built-in dashboard with its texts in the language of the page, as a copy keeps them."""
    if dashboard.slug not in builtin():
        return dashboard
    copy = deepcopy(dashboard)
    copy.about = _(copy.about) if copy.about else ""
    for panel in copy.panels:
        panel.title = _(panel.title) if panel.title else ""
    for variable in copy.variables:
        variable.label = _(variable.label)
    return copy
