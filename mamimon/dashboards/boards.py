"""Dashboards as viewers meet them: who may see which, and their panels' answers, shared by all viewers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from mamimon.accounts.gate import current_actor
from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.cache import SharedAnswers
from mamimon.dashboards.lean import lean
from mamimon.dashboards.model import Dashboard, slug_of
from mamimon.dashboards.panels import View, chart, fill, laid_out
from mamimon.dashboards.provisioned import Provisioned
from mamimon.dashboards.sources import Sources
from mamimon.dashboards.store import DashboardStore
from mamimon.dashboards.variables import Chosen, chosen, picks
from mamimon.i18n import current_locale
from mamimon.i18n import gettext as _
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Core
from mamimon.window import Window

# A page waits this long for its panels; those that take longer come after it.
FIRST_S = 1.0
_LEAST_S = 5.0
_AT_ONCE = 6
Render = Callable[[Dashboard, View], str]


class Opened(msgspec.Struct):
    """A dashboard over a window with its choices and panels."""

    dashboard: Dashboard
    window: Window
    picked: Chosen
    views: list[View]

    def query(self) -> str:
        """The window and the choices as a query string."""
        return "&".join(one for one in (self.window.query(), self.picked.query()) if one)


class Boards:
    """The dashboards of the house."""

    def __init__(self, core: Core, sources: Sources, store: DashboardStore, provisioned: Provisioned) -> None:
        self.core = core
        self.sources = sources
        self.store = store
        self.provisioned = provisioned
        self.answers = SharedAnswers()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._digests: dict[str, tuple[Dashboard, bytes]] = {}

    def fixed(self, slug: str) -> bool:
        """Whether a dashboard is not changed here: built in, or from the provisioning folder."""
        return slug in builtin() or slug in self.provisioned.found

    async def find(self, slug: str) -> Dashboard:
        """A dashboard by its slug; none, or one that may not be seen, raises."""
        found = builtin().get(slug) or self.provisioned.found.get(slug) or await self.store.find(slug)
        if found is None:
            raise not_found(_("there is no dashboard %(name)s") % {"name": slug[:80]})
        if not may_see(found):
            raise Problem(
                Kind.FORBIDDEN,
                _("this dashboard is for other people"),
                hint=_("Its settings name who may see it; its editors and administrators can add you."),
            )
        return found

    async def own(self, slug: str) -> Dashboard:
        """A dashboard that may be changed; a built-in or provisioned one raises `CONFLICT`."""
        found = await self.find(slug)
        if self.fixed(slug):
            kind = "built-in" if slug in builtin() else "provisioned"
            raise Problem(
                Kind.CONFLICT, f"{kind} dashboards are not changed", hint="make a copy of it instead"
            )
        if not may_change(found):
            raise Problem(Kind.FORBIDDEN, _("only some people may change this dashboard"))
        return found

    def digest(self, dashboard: Dashboard) -> bytes:
        """The same for the same content, another after a change."""
        known = self._digests.get(dashboard.slug)
        if known is None or known[0] is not dashboard:
            body = hashlib.sha256(msgspec.json.encode(dashboard)).digest()
            known = self._digests[dashboard.slug] = (dashboard, body)
        return known[1]

    async def listed(self) -> list[tuple[Dashboard, str]]:
        """Every dashboard that may be seen and where it is from: `builtin`, `file` or `own`."""
        every = [(one, "builtin") for one in builtin().values()]
        every += [(one, "file") for one in self.provisioned.found.values()]
        every += [(one, "own") for one in await self.store.listed() if one.slug not in self.provisioned.found]
        return [pair for pair in every if may_see(pair[0])]

    async def add(self, title: str, source: Dashboard | None = None) -> Dashboard:
        """Store a new dashboard under the first free slug for its title."""
        base = slug_of(title)
        taken = {*builtin(), *self.provisioned.found, *(one.slug for one in await self.store.listed())}
        slug = next(name for name in (base, *(f"{base}-{i}" for i in range(2, 10_000))) if name not in taken)
        made = (
            msgspec.structs.replace(source, slug=slug, title=title, viewers=[], editors=[])
            if source
            else Dashboard(slug, title)
        )
        await self.store.add(made, current_actor.get().name)
        return made

    async def opened(
        self, dashboard: Dashboard, pairs: Sequence[tuple[str, str]], *, fresh: bool = True
    ) -> Opened:
        """A dashboard over the window and choices of a query string; the panels have no data yet."""
        query = dict(pairs)
        now = self.core.clock.now()
        window = await self.sources.window(query, now, dashboard.since)
        picked = picks(pairs)
        key = ("variables", msgspec.json.encode([dashboard.variables, picked]), window.query())
        found = await self.answers.get(
            key,
            now,
            interval_of(dashboard),
            lambda: chosen(self.sources, dashboard.variables, picked, window),
            fresh=fresh,
        )
        spoken = dashboard.slug in builtin()
        return Opened(dashboard, window, found, laid_out(dashboard, window, found, spoken=spoken))

    async def bodies(self, opened: Opened, render: Render, wait_s: float = FIRST_S) -> dict[str, Markup]:
        """The HTML of the panels that the browser does not draw, as far as it is there in time."""
        work = {
            view.key: asyncio.ensure_future(self._body(opened, view, render, fresh=True))
            for view in opened.views
            if not view.chart
        }
        try:
            if work:
                await asyncio.wait(work.values(), timeout=wait_s)
        except asyncio.CancelledError:
            for task in work.values():
                task.cancel()
            raise
        return {key: Markup(task.result()) for key, task in work.items() if task.done()}  # noqa: S704

    async def live(self, opened: Opened, keys: Sequence[str], render: Render) -> bytes:
        """The answers of some panels, and the marks of the window, as one JSON object."""
        wanted = [view for view in opened.views if view.key in set(keys)]

        async def one(view: View) -> tuple[str, msgspec.Raw]:
            if view.chart:
                return view.key, msgspec.Raw(await self._chart(opened, view))
            html = await self._body(opened, view, render, fresh=False)
            return view.key, msgspec.Raw(msgspec.json.encode({"html": html}))

        panels = dict(await asyncio.gather(*(one(view) for view in wanted)))
        marks = await self._marks(opened) if opened.dashboard.marks else []
        return msgspec.json.encode({"panels": panels, "marks": marks, "at": self.core.clock.now()})

    async def _marks(self, opened: Opened) -> list[dict[str, Any]]:
        window = opened.window
        found: list[dict[str, Any]] = await self.answers.get(
            ("marks", window.query()),
            self.core.clock.now(),
            interval_of(opened.dashboard),
            lambda: self.sources.marks(window.start, window.end),
        )
        return found

    async def _body(self, opened: Opened, view: View, render: Render, *, fresh: bool) -> str:
        async def make() -> str:
            async with self._gate:
                await fill(self.sources, view, opened.window)
            return render(opened.dashboard, view)

        return str(await self._asked(opened, view, "html", make, fresh=fresh))

    async def _chart(self, opened: Opened, view: View) -> bytes:
        async def make() -> bytes:
            async with self._gate:
                return msgspec.json.encode({"chart": lean(await chart(self.sources, view, opened.window))})

        found: bytes = await self._asked(opened, view, "chart", make, fresh=False)
        return found

    async def _asked(
        self, opened: Opened, view: View, form: str, make: Callable[[], Any], *, fresh: bool
    ) -> Any:
        identity = (form, msgspec.json.encode([view.panel, _said(view)]), opened.window.query())
        key = (*identity, current_locale.get())
        now = self.core.clock.now()
        return await self.answers.get(key, now, interval_of(opened.dashboard), make, fresh=fresh)


def _said(view: View) -> Mapping[str, Any]:
    return {name: [one.regex, one.picked] for name, one in view.values.items()}


def interval_of(dashboard: Dashboard) -> float:
    """How long an answer is shared, in seconds."""
    return max(_LEAST_S, float(dashboard.refresh_s))


def may_see(dashboard: Dashboard) -> bool:
    """Whether who asks may see a dashboard."""
    actor = current_actor.get()
    named = dashboard.viewers
    return not named or "admin" in actor.allowed or actor.name in {*named, *dashboard.editors}


def may_change(dashboard: Dashboard) -> bool:
    """Whether who asks may change a dashboard."""
    actor = current_actor.get()
    return not dashboard.editors or "admin" in actor.allowed or actor.name in dashboard.editors
