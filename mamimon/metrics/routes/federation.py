"""`/federate`: the newest sample of each selected series, as text 0.0.4 (Prometheus, web/federate.go).

Native histograms have no place in the text format and are left out, as in Prometheus.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get

from mamimon.metrics.model import ABSENT_BITS, STALE_BITS, Matcher
from mamimon.metrics.routes.answer import failure, parameters, selector
from mamimon.metrics.routes.digits import number
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import Labels, Selection
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core


def federation_handlers(core: Core, store: SeriesStore, scraper: Scraper) -> list[ControllerRouterHandler]:
    """The handler of `/federate`."""

    @get("/federate", exception_handlers={Problem: failure})
    async def federate(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The newest samples of the selected series."""
        selectors = [selector(text) for text in (await parameters(request)).all("match[]")]
        external = scraper.config.external_labels if scraper.config else {}
        text = await asyncio.to_thread(_text, core, store, selectors, external)
        return Response(text.encode(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [federate]


def _text(
    core: Core, store: SeriesStore, selectors: Sequence[Sequence[Matcher]], external: Mapping[str, str]
) -> str:
    settings = core.settings.metrics
    end = round(core.clock.now() * 1000)
    start = end - round(settings.lookback_s * 1000) + 1
    source = store.source(
        max_samples=settings.query_max_samples, deadline=time.monotonic() + settings.query_timeout_s
    )
    found: dict[tuple[tuple[str, str], ...], tuple[Labels, float, int]] = {}
    for matchers in selectors:
        for labels, value, at in _newest(source.select(matchers, start, end)):
            found[tuple(sorted(labels.items()))] = labels, value, at
    lines: list[str] = []
    last = ""
    for labels, value, at in sorted(found.values(), key=lambda one: one[0]["__name__"]):
        name = labels["__name__"]
        if name != last:
            lines.append(f"# TYPE {_name(name)} untyped\n")
            last = name
        lines.append(_line({"instance": "", **external, **labels}, value, at))
    return "".join(lines)


def _newest(selection: Selection) -> list[tuple[Labels, float, int]]:
    import numpy as np

    from mamimon.metrics.promql.values import are_there

    out = []
    for block in selection.blocks:
        there = block.values.view(np.int64) != ABSENT_BITS
        if block.histograms is not None:
            there |= are_there(block.histograms)
        last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        for row, series in enumerate(block.rows.tolist()):
            column = int(last[row])
            bits = int(block.values[row, column].view(np.int64))
            if bits not in (ABSENT_BITS, STALE_BITS):
                value, at = float(block.values[row, column]), int(block.times[column])
                out.append((selection.labels[series], value, at))
    return out


def _line(labels: Labels, value: float, at: int) -> str:
    name = labels["__name__"]
    inner = [
        f'{_name(label)}="{_escaped(text)}"' for label, text in sorted(labels.items()) if label != "__name__"
    ]
    plain = _is_plain(name)
    shown = ",".join(inner if plain else [_name(name), *inner])
    return f"{name if plain else ''}{{{shown}}} {number(value)} {at}\n"


def _is_plain(name: str) -> bool:
    return name.isascii() and name.replace(":", "_").isidentifier()


def _name(name: str) -> str:
    return name if _is_plain(name) else f'"{_escaped(name)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
