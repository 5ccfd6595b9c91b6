"""What series there are: `/api/v1/series`, labels, label values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, Response, get, route
from litestar.params import FromPath

from mamimon.metrics.routes.answer import LIMITED, Parameters, failure, parameters, selector, success
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import Labels
    from mamimon.metrics.query import LocalBackend
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_BOTH = [HttpMethod.GET, HttpMethod.POST]
_ALL_TIME_S = 30 * 86_400.0


def series_handlers(core: Core, store: SeriesStore, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The handlers about series and labels."""

    def window(given: Parameters) -> tuple[float, float]:
        now = core.clock.now()
        return given.time("start", now - _ALL_TIME_S), given.time("end", now)

    async def matching(given: Parameters) -> list[Labels]:
        start, end = window(given)
        return await backend.series([selector(text) for text in given.all("match[]")], start, end)

    async def distinct(given: Parameters, name: str | None) -> list[str]:
        """Label names, or the values of one, in the window; by index alone where nothing is matched."""
        if given.all("match[]"):
            found = await matching(given)
            if name is None:
                return sorted({label for one in found for label in one})
            return sorted({one[name] for one in found if name in one})
        start, end = window(given)
        return await asyncio.to_thread(_indexed, store, name, round(start * 1000), round(end * 1000))

    @route("/api/v1/series", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def series(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Series by selectors."""
        given = await parameters(request)
        if not given.all("match[]"):
            raise bad_input("no match[] parameter provided")
        return _limited(sorted(await matching(given), key=lambda one: sorted(one.items())), given.limit())

    @route("/api/v1/labels", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def labels(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Label names."""
        given = await parameters(request)
        return _limited(await distinct(given, None), given.limit())

    @get("/api/v1/label/{name:str}/values", exception_handlers={Problem: failure})
    async def values(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        """The values of a label."""
        given = await parameters(request)
        return _limited(await distinct(given, _decoded(name)), given.limit())

    return [series, labels, values]


def _indexed(store: SeriesStore, name: str | None, start: int, end: int) -> list[str]:
    found: set[str] = set()
    for day in store.days_between(start, end):
        found.update(day.index.label_names() if name is None else day.index.label_values(name))
    return sorted(found)


def _limited(items: list[Any], limit: int) -> Response[bytes]:
    if limit and len(items) > limit:
        return success(items[:limit], warnings=[LIMITED])
    return success(items)


def _decoded(name: str) -> str:
    """A UTF-8 label name may come as `U__…` (Prometheus: values escaping)."""
    if not name.startswith("U__"):
        return name
    import re

    def character(found: re.Match[str]) -> str:
        return "_" if found.group(0) == "__" else chr(int(found.group(1), 16))

    return re.sub(r"__|_([0-9A-Fa-f]{1,6})_", character, name[3:])
