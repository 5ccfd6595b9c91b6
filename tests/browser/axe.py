"""What axe-core says of a page."""

from __future__ import annotations

from typing import Any


def violations(page: Any, **options: Any) -> list[str]:
    """A line a broken rule: which, how often, where first and why; `options` are axe's own."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for one in Axe().run(page, options=options or {"resultTypes": ["violations"]}).response["violations"]:
        node, count = one["nodes"][0], len(one["nodes"])
        found.append(f"{one['id']} ×{count}: {node['html'][:200]} {node['failureSummary'][:300]}")
    return found
