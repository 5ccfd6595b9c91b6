"""`/federate`: the newest sample of each selected series (Prometheus, web/federate.go)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from litestar import MediaType, Request, Response, get

from mamimon.metrics.model import ABSENT_BITS, STALE_BITS, Matcher
from mamimon.metrics.routes.answer import parameters
from mamimon.metrics.wire.federated import Sample, exposition, negotiated
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import Selection
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core


def federation_handlers(core: Core, store: SeriesStore, scraper: Scraper) -> list[ControllerRouterHandler]:
    """The handler of `/federate`."""

    def newest(selectors: Sequence[Sequence[Matcher]]) -> list[Sample]:
        external = {"instance": ""} | (scraper.config.external_labels if scraper.config else {})
        settings = core.settings.metrics
        end = round(core.clock.now() * 1000)
        start = end - round(settings.lookback_s * 1000) + 1
        source = store.source(
            max_samples=settings.query_max_samples, deadline=time.monotonic() + settings.query_timeout_s
        )
        found = {
            tuple(sorted(one.labels.items())): one
            for matchers in selectors
            for one in _newest(source.select(matchers, start, end), external)
        }
        return [found[key] for key in sorted(found, key=lambda key: (found[key].name, key))]

    @get("/federate", exception_handlers={Problem: _refused})
    async def federate(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The newest samples of the selected series, in the format that the asker prefers."""
        from mamimon.metrics.promql import PromQLError, matchers_of

        given = (await parameters(request)).all("match[]")
        try:
            # `{}` selects nothing here, and a selector that fits the empty text everything.
            selectors = [matchers for text in given if (matchers := matchers_of(text))]
        except PromQLError as error:
            return _plain(str(error), 400)
        agreed = negotiated(request.headers.get("accept", ""))
        body = await asyncio.to_thread(lambda: exposition(newest(selectors), agreed))
        answer = Response(body)
        answer.headers["content-type"] = agreed.content_type
        return answer

    return [federate]


def _refused(_: Request[Any, Any, Any], error: Exception) -> Response[str]:
    assert isinstance(error, Problem)
    return _plain(error.detail, error.status)


def _plain(reason: str, status: int) -> Response[Any]:
    return Response(f"{reason}\n", status_code=status, media_type=MediaType.TEXT)


def _newest(selection: Selection, external: Mapping[str, str]) -> Iterator[Sample]:
    import numpy as np

    from mamimon.metrics.promql.values import are_there

    for block in selection.blocks:
        there = block.values.view(np.int64) != ABSENT_BITS
        if block.histograms is not None:
            there |= are_there(block.histograms)
        last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        for row, series in enumerate(block.rows.tolist()):
            column = int(last[row])
            bits = int(block.values[row, column].view(np.int64))
            histogram = None if block.histograms is None else block.histograms[row, column]
            if histogram is None and bits in (ABSENT_BITS, STALE_BITS):
                continue
            labels = selection.labels[series]
            more = sorted((name, text) for name, text in external.items() if name not in labels)
            yield Sample(labels, more, int(block.times[column]), float(block.values[row, column]), histogram)
