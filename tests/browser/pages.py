"""Which pages there are, and the two sizes they are looked at in."""

from __future__ import annotations

from mamimon.dashboards.builtin import ORDER
from mamimon.server.pages import NAVIGATION

DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 360, "height": 740}


def paths() -> list[str]:
    """Every page of the navigation, each built-in dashboard, and pages reached from them."""
    found = [entry[0] for entry in NAVIGATION if entry]
    return [
        *found,
        *(f"/dashboards/{slug}" for slug in ORDER),
        "/targets",
        "/graph/metrics",
        "/cardinality",
        "/changes",
        "/status",
        "/maintenance",
        "/notices",
        "/explore?q=up",
        "/settings/alerts",
        "/settings/projects",
        "/settings/oncall",
        "/alerts/rules/new",
        "/alerts/noisy",
    ]
