"""The Prometheus HTTP API v1 and our own chart endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mamimon.metrics.routes.admin import admin_handlers
from mamimon.metrics.routes.chart import chart_handlers
from mamimon.metrics.routes.expressions import expression_handlers
from mamimon.metrics.routes.federation import federation_handlers
from mamimon.metrics.routes.inside import inside_handlers
from mamimon.metrics.routes.otlp import otlp_handlers
from mamimon.metrics.routes.push import push_handlers
from mamimon.metrics.routes.pushgateway import pushgateway_handlers
from mamimon.metrics.routes.read import read_handlers
from mamimon.metrics.routes.series import series_handlers
from mamimon.metrics.routes.status import status_handlers
from mamimon.metrics.routes.targets import pool_handlers, target_handlers

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.ingest import Pusher
    from mamimon.metrics.pushed import PushedGroups
    from mamimon.metrics.query import LocalBackend
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core


def api_handlers(
    core: Core,
    store: SeriesStore,
    backend: LocalBackend,
    scraper: Scraper,
    pusher: Pusher,
    pushed: PushedGroups,
) -> list[ControllerRouterHandler]:
    """Every handler of the API but `question_doors`, which stand before the framework."""
    return [
        *expression_handlers(backend),
        *series_handlers(core, store, backend),
        *federation_handlers(core, store, scraper),
        *target_handlers(core, scraper),
        *pool_handlers(scraper, pusher),
        *status_handlers(core, store, scraper),
        *inside_handlers(core, store, scraper),
        *chart_handlers(core, backend),
        *admin_handlers(core, store),
        *read_handlers(core, backend, scraper),
        *otlp_handlers(core, pusher, scraper),
        *push_handlers(core, pusher),
        *pushgateway_handlers(core, pushed),
    ]
