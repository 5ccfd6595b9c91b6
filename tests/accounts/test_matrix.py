"""The whole route × method × role matrix, generated from the router of a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from mamimon.accounts.access import requirement
from mamimon.accounts.model import _BY_ROLE

ROLES = ("viewer", "editor", "admin")
_ANSWERED_BY_THE_GATE = {401, 403}


def _routes(server: Any) -> Iterator[tuple[str, str]]:
    for handler in server.server.house.handlers():
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                shown = re.sub(r"\{[^}]*:int\}", "999999", path)
                shown = re.sub(r"\{[^}]*\}", "00000000-0000-0000-0000-000000000000", shown)
                for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                    yield str(method), shown


@pytest.mark.feature("S1")
def test_every_route_asks_for_what_the_table_says(server: Any) -> None:
    """Nobody, a viewer, an editor, an administrator: each route lets in exactly those it should."""
    routes = sorted(set(_routes(server)))
    # Destructive administration of accounts comes last, or there would be nobody left to ask as.
    routes = [r for r in routes if "users" not in r[1] and "logout" not in r[1]]
    people = {}
    for role in reversed(ROLES):
        body = {"name": role, "role": role, "password": "correct horse"}
        made = server.client.post("/api/mamimon/users", json=body, auth=people.get("admin"))
        assert made.status_code == 201, made.text
        people[role] = (role, "correct horse")
    wrong = []
    with httpx.Client(base_url=server.url, timeout=10) as client:
        for method, path in routes:
            needed = requirement(method, path)
            for role in (None, *ROLES):
                allowed = needed is None or (role is not None and needed in _BY_ROLE[role])
                with client.stream(method, path, auth=people.get(role or "")) as answer:
                    status = answer.status_code
                passed = status not in _ANSWERED_BY_THE_GATE
                # A public door may still refuse by a key of its own.
                if passed != allowed and needed is not None:
                    wrong.append((method, path, role or "nobody", status, needed))

    assert len(routes) > 15
    assert not wrong
