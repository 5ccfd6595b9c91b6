"""What series there are: `/api/v1/series`, labels, label values."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, Response, get, route
from litestar.params import FromPath

from mamimon.metrics.routes.answer import (
    LIMITED,
    MATCH,
    Parameters,
    failure,
    parameters,
    selectors,
    success,
)
from mamimon.metrics.routes.expressions import END_OF_TIME
from mamimon.metrics.routes.reading import quoted
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import Labels
    from mamimon.metrics.query import LocalBackend
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_BOTH = [HttpMethod.GET, HttpMethod.POST]
_ESCAPED = re.compile(r"__|_([0-9A-Fa-f]{1,6})_")


def series_handlers(core: Core, store: SeriesStore, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The handlers about series and labels."""

    def window(given: Parameters) -> tuple[float, float]:
        return given.time("start", 0.0), given.time("end", END_OF_TIME)

    async def matching(given: Parameters, about: str = "") -> list[Labels]:
        start, end = window(given)
        return await backend.series(selectors(given, about), start, end)

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
        limit = given.limit()
        found = await matching(given, MATCH)
        return _limited(sorted(found, key=lambda one: sorted(one.items())), limit)

    @route("/api/v1/labels", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def labels(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Label names."""
        given = await parameters(request)
        limit = given.limit()
        return _limited(await distinct(given, None), limit)

    @get("/api/v1/label/{name:str}/values", exception_handlers={Problem: failure})
    async def values(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        """The values of a label."""
        given = await parameters(request)
        wanted = _decoded(name)
        if not wanted or "\ufffd" in wanted:
            raise bad_input(f"invalid label name: {quoted(wanted)}")
        limit = given.limit()
        return _limited(await distinct(given, wanted), limit)

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
    return _ESCAPED.sub(_character, name[3:]) if name.startswith("U__") else name


def _character(found: re.Match[str]) -> str:
    return "_" if found.group(0) == "__" else chr(int(found.group(1), 16))
