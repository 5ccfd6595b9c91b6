"""`/dashboards`: the list, a dashboard, and the forms that make one."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.model import UNITS, Dashboard, Panel, PanelKind, Query, read_dashboard, slug_of
from mamimon.dashboards.panels import views
from mamimon.dashboards.sources import Sources
from mamimon.dashboards.variables import chosen
from mamimon.i18n import gettext as _
from mamimon.problems import Kind, Problem, bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.dashboards.store import DashboardStore
    from mamimon.storage import Core

Form = dict[str, str]


def dashboard_handlers(core: Core, sources: Sources, store: DashboardStore) -> list[ControllerRouterHandler]:
    """The pages that show dashboards."""

    @get("/dashboards", include_in_schema=False)
    async def listed() -> Template:
        context = {"section": "/dashboards", "builtin": list(builtin().values()), "own": await store.listed()}
        return Template("dashboards/list.html", context=context)

    @get("/dashboards/{slug:str}", include_in_schema=False)
    async def shown(slug: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        return await _page(slug, request, None)

    @get("/dashboards/{slug:str}/panels/{index:int}", include_in_schema=False)
    async def panel(slug: FromPath[str], index: FromPath[int], request: Request[Any, Any, Any]) -> Template:
        return await _page(slug, request, index)

    async def _page(slug: str, request: Request[Any, Any, Any], only: int | None) -> Template:
        dashboard = await find(store, slug)
        query = dict(request.query_params)
        window = await sources.window(query, core.clock.now(), dashboard.since)
        picked = await chosen(sources, dashboard.variables, query)
        panels = await views(sources, dashboard, window, picked, only)
        if only is not None and not panels:
            raise not_found(f"there is no panel {only}")
        context = {
            "section": "/dashboards",
            "dashboard": dashboard,
            "own": slug not in builtin(),
            "window": window,
            "picked": picked,
            "query": window.query() + "".join("&" + urlencode({k: v}) for k, v in picked.query().items()),
            "panels": panels,
            "others": [*builtin().values(), *await store.listed()] if only is None else [],
        }
        if only is not None:
            return Template("dashboards/panel.html", context={**context, "view": panels[0]})
        return Template("dashboards/dashboard.html", context=context)

    return [listed, shown, panel, *_edit_handlers(store), *_panel_handlers(store)]


def _edit_handlers(store: DashboardStore) -> list[ControllerRouterHandler]:
    @post("/dashboards", include_in_schema=False)
    async def create(data: URLEncodedBody[Form]) -> Response[Any]:
        title = data.get("title", "").strip()[:200]
        if not title:
            raise bad_input("a dashboard needs a title")
        source = _spoken(await find(store, data["copy"])) if data.get("copy") else None
        made = await _add(store, title, source)
        return Redirect(f"/dashboards/{made.slug}/edit", status_code=303)

    @post("/dashboards/import", include_in_schema=False)
    async def load(data: URLEncodedBody[Form]) -> Response[Any]:
        given = read_dashboard(data.get("json", "").encode())
        made = await _add(store, given.title, given)
        return Redirect(f"/dashboards/{made.slug}", status_code=303)

    @get("/dashboards/{slug:str}/edit", include_in_schema=False)
    async def edit(slug: FromPath[str]) -> Template:
        dashboard = await own(store, slug)
        text = msgspec.json.format(msgspec.json.encode(dashboard), indent=2).decode()
        context = {"section": "/dashboards", "dashboard": dashboard, "json": text}
        return Template(
            "dashboards/edit.html", context=context | {"kinds": get_args(PanelKind), "units": UNITS}
        )

    @post("/dashboards/{slug:str}/json", include_in_schema=False)
    async def replace(slug: FromPath[str], data: URLEncodedBody[Form]) -> Response[Any]:
        dashboard = await own(store, slug)
        given = read_dashboard(data.get("json", "").encode())
        given.slug = dashboard.slug
        await store.save(given)
        return Redirect(f"/dashboards/{slug}", status_code=303)

    @post("/dashboards/{slug:str}/delete", include_in_schema=False)
    async def remove(slug: FromPath[str]) -> Response[Any]:
        await store.remove(slug)
        return Redirect("/dashboards", status_code=303)

    return [create, load, edit, replace, remove]


def _panel_handlers(store: DashboardStore) -> list[ControllerRouterHandler]:
    @post("/dashboards/{slug:str}/panels", include_in_schema=False)
    async def add_panel(slug: FromPath[str], data: URLEncodedBody[Form]) -> Response[Any]:
        dashboard = await own(store, slug)
        dashboard.panels.append(panel_of(data))
        await store.save(dashboard)
        return Redirect(f"/dashboards/{slug}/edit", status_code=303)

    @post("/dashboards/{slug:str}/panels/{index:int}", include_in_schema=False)
    async def change(slug: FromPath[str], index: FromPath[int], data: URLEncodedBody[Form]) -> Response[Any]:
        dashboard = await own(store, slug)
        if not 0 <= index < len(dashboard.panels):
            raise not_found(f"there is no panel {index}")
        old = dashboard.panels.pop(index)
        match data.get("do", "save"):
            case "save":
                dashboard.panels.insert(index, panel_of(data, old))
            case "up":
                dashboard.panels.insert(max(0, index - 1), old)
            case "down":
                dashboard.panels.insert(index + 1, old)
            case "remove":
                pass
            case other:
                raise bad_input(f"{other[:20]!r} is not something that can be done to a panel")
        await store.save(dashboard)
        return Redirect(f"/dashboards/{slug}/edit", status_code=303)

    return [add_panel, change]


async def find(store: DashboardStore, slug: str) -> Dashboard:
    """A built-in or own dashboard; none of that name raises `NOT_FOUND`."""
    found = builtin().get(slug) or await store.find(slug)
    if found is None:
        raise not_found(f"there is no dashboard {slug[:80]!r}")
    return found


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


async def own(store: DashboardStore, slug: str) -> Dashboard:
    """A dashboard that may be changed; a built-in one raises `CONFLICT`."""
    if slug in builtin():
        raise Problem(Kind.CONFLICT, "built-in dashboards are not changed", hint="make a copy of it instead")
    return await find(store, slug)


async def _add(store: DashboardStore, title: str, source: Dashboard | None) -> Dashboard:
    """Store a new dashboard under the first free slug for its title."""
    base = slug_of(title)
    taken = {*builtin(), *(one.slug for one in await store.listed())}
    slug = next(name for name in (base, *(f"{base}-{i}" for i in range(2, 10_000))) if name not in taken)
    made = msgspec.structs.replace(source, slug=slug, title=title) if source else Dashboard(slug, title)
    await store.add(made)
    return made


def panel_of(form: Form, old: Panel | None = None) -> Panel:
    """A panel from its form: one `expr | legend` a line; what does not fit raises `BAD_INPUT`."""
    queries = []
    for line in form.get("queries", "").splitlines():
        expr, _sep, name = line.rpartition(" | ") if " | " in line else (line, "", "")
        if expr.strip():
            queries.append(Query(expr.strip(), name.strip()))
    given = {
        "title": form.get("title", "").strip(),
        "kind": form.get("kind", ""),
        "queries": msgspec.to_builtins(queries),
        "unit": form.get("unit", ""),
        "width": form.get("width", "6"),
        "field": form.get("field", "").strip(),
        "text": form.get("text", ""),
        **{name: form[name].strip() for name in ("warn", "crit") if form.get(name, "").strip()},
    }
    if old is not None and "field" not in form:
        given["field"] = old.field
    try:
        return msgspec.convert(given, Panel, strict=False)
    except msgspec.ValidationError as error:
        raise bad_input(f"this is not a panel: {error}") from None
