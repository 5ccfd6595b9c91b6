"""Templates: the Jinja environment, what every page may call, and the pages that belong to no room."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import jinja2
from jinja2.ext import InternationalizationExtension
from litestar import get
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

import mamimon
from mamimon.accounts.gate import FORBIDDEN, current_actor
from mamimon.accounts.model import FIRST
from mamimon.alerts.translated import translated
from mamimon.dashboards.builtin import builtin
from mamimon.i18n import current_locale, gettext, ngettext, web_dir
from mamimon.server.rooted import rooted_templates

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.server.house import House
    from mamimon.storage import Core

# (path, English title, key of the badge that `House.badges` may fill); None is a gap.
NAVIGATION: tuple[tuple[str, str, str] | None, ...] = (
    ("/", "Overview", ""),
    ("/incidents", "Incidents", "incidents"),
    ("/alerts", "Alerts", "alerts"),
    None,
    ("/logs", "Logs", ""),
    ("/graph", "Metrics", ""),
    ("/errors", "Errors", "errors"),
    ("/events", "Events", ""),
    ("/checks", "Checks", "checks"),
    None,
    ("/dashboards", "Dashboards", ""),
    ("/explore", "Explore", ""),
    ("/settings", "Settings", ""),
)
# How targets are given, for empty pages.
_SCRAPE = "mamimon serve --prometheus-config prometheus.yml"


def template_config(house: House, core: Core) -> TemplateConfig[JinjaTemplateEngine]:
    """The one Jinja environment: autoescaping, strict about missing names, translated."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(web_dir() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=[InternationalizationExtension],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    if house.root:
        environment.template_class = rooted_templates(house.root)
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        locale=current_locale.get,
        navigation=lambda: [entry and (entry[0], gettext(entry[1]), entry[2]) for entry in NAVIGATION],
        badges=house.badges,
        version=mamimon.__version__,
        now=core.clock.now,
        builtin_slugs=builtin,
        root=house.root,
        scrape_hint=f"cp prometheus.yml DATA/projects/{house.project.slug}/" if house.project else _SCRAPE,
        project_places=lambda: _projects(house),
    )
    environment.filters.update(
        number=number,
        ago=lambda t: ago(t, core.clock.now()),
        lasting=lambda seconds: ago(0.0, seconds),
        moment=moment,
        bytes=size,
        span=span,
        rule_text=translated,
    )
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment))


def _projects(house: House) -> list[tuple[str, str, bool]]:
    """The projects that who asks may open: slug, name, and whether it is this one; empty for one only."""
    assert house.people is not None
    number = house.project.id if house.project is not None else FIRST
    found = house.people.projects.of_actor(current_actor.get())
    return [(one.slug, one.name, one.id == number) for one in found] if len(found) > 1 else []


def page_handlers(house: House, core: Core) -> list[ControllerRouterHandler]:
    """Pages that belong to no room."""

    @get(FORBIDDEN, include_in_schema=False, sync_to_thread=False, status_code=403)
    def forbidden() -> Template:
        context = {
            "title": "403",
            "status": 403,
            "detail": gettext("Your account may not open this page."),
            "hint": gettext("An administrator can give you another role under Settings."),
        }
        return Template("error.html", context=context, status_code=403)

    return [forbidden]


def number(value: float | None, digits: int = 0) -> str:
    """A number as the page's language groups it; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if current_locale.get() == "tr" else text


def size(value: float | None) -> str:
    """Bytes in binary units."""
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{number(value, 0 if unit == 'B' else 1)} {unit}"
        value /= 1024
    raise AssertionError


def moment(seconds: float | None) -> str:
    """A UTC instant as `2026-11-24 14:31:07`; the browser shows it in its own zone (`time.js`)."""
    if seconds is None:
        return "–"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A length of time in the largest unit that is whole: `90 min`, `1 d`."""
    for divisor, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds and seconds % divisor == 0:
            return f"{int(seconds / divisor)} {gettext(unit)}"
    return f"{seconds:g} {gettext('s')}"


def ago(seconds: float | None, now: float) -> str:
    """How long ago, in one unit: `14 min`."""
    if seconds is None:
        return "–"
    gap = max(0.0, now - seconds)
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if gap < limit:
            return f"{int(gap / divisor)} {gettext(unit)}"
    return f"{int(gap / 86400)} {gettext('d')}"
