"""The built-in dashboards: ordinary dashboards that ship as JSON beside this module."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from mamimon.dashboards.model import Dashboard, read_dashboard

ORDER = ("api-performance", "error-rate", "system-metrics", "top-errors", "mamimon-itself")


@cache
def builtin() -> dict[str, Dashboard]:
    """Every built-in dashboard by slug, in the order of the list page."""
    folder = files(__package__)
    return {slug: read_dashboard((folder / f"{slug}.json").read_bytes()) for slug in ORDER}
