"""The whole route × method × role × project matrix, generated from the router of a real server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler

from mamimon.accounts.access import of_server, requirement
from mamimon.accounts.model import Actor, User

ROLES = ("viewer", "editor", "admin")
_ANSWERED_BY_THE_GATE = {401, 403}
PASSWORD = "correct horse"
# Who has which account role, and which role in the project "shop".
PEOPLE = {
    "admin": ("admin", ""),
    "editor": ("editor", ""),
    "viewer": ("viewer", ""),
    "outsider": ("none", "admin"),
    "shop-editor": ("none", "editor"),
    "shop-viewer": ("none", "viewer"),
}


def _routes(house: Any) -> Iterator[tuple[str, str]]:
    for handler in house.handlers():
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                shown = re.sub(r"\{[^}]*:int\}", "999999", path)
                shown = re.sub(r"\{[^}]*\}", "00000000-0000-0000-0000-000000000000", shown)
                for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                    yield str(method), shown
        elif isinstance(handler, ASGIRouteHandler):
            yield from (("POST", path) for path in handler.paths)


def _safe(routes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what would take the askers away: there would be nobody left to ask as."""
    return sorted({route for route in routes if "users" not in route[1] and "logout" not in route[1]})


def _allowed(role: str) -> frozenset[str]:
    return Actor.as_user(User(1, "x", role, 0.0), role).allowed


@pytest.fixture
def town(server: Any) -> Any:
    """A server with two projects and people with every role in the one or the other."""
    auth = None
    for name, (role, _) in PEOPLE.items():
        body = {"name": name, "role": role, "password": PASSWORD}
        made = server.client.post("/api/mamimon/users", json=body, auth=auth)
        assert made.status_code == 201, made.text
        auth = ("admin", PASSWORD)
    made = server.client.post("/api/mamimon/projects", json={"slug": "shop"}, auth=auth)
    assert made.status_code == 201, made.text
    for name, (_, role) in PEOPLE.items():
        if role:
            body = {"kind": "user", "name": name, "role": role}
            given = server.client.post("/p/shop/api/mamimon/members", json=body, auth=auth)
            assert given.status_code == 200, given.text
    return server


def _asked(client: httpx.Client, method: str, path: str, **how: Any) -> int:
    with client.stream(method, path, **how) as answer:
        return answer.status_code


@pytest.mark.feature("S1")
def test_every_route_asks_for_what_the_table_says(town: Any) -> None:
    """Nobody, a viewer, an editor, an administrator, and who has a role in another project only."""
    routes = _safe(_routes(town.server.house))
    wrong = []
    with httpx.Client(base_url=town.url, timeout=30) as client:
        for method, path in routes:
            needed = requirement(method, path)
            for name in ("", "outsider", "viewer", "editor", "admin"):
                auth = (name, PASSWORD) if name else None
                role = PEOPLE[name][0] if name else ""
                allowed = needed is None or (bool(role) and needed in _allowed(role))
                passed = _asked(client, method, path, auth=auth) not in _ANSWERED_BY_THE_GATE
                # A public door may still refuse by a key of its own.
                if passed != allowed and needed is not None:
                    wrong.append((method, path, name or "nobody", needed))

    assert len(routes) > 15
    assert not wrong


@pytest.mark.feature("S2")
def test_a_project_is_not_there_for_who_has_no_role_in_it(town: Any) -> None:
    """Below `/p/shop` each route lets in who has the role there; for others it is as no project at all."""
    town.client.get("/p/shop/", auth=("admin", PASSWORD))
    _, shop = town.server.houses.open_houses()
    routes = _safe(_routes(shop))
    wrong = []
    with httpx.Client(base_url=town.url, timeout=30) as client:
        for method, path in routes:
            needed = requirement(method, path)
            if needed is None or of_server(path):
                continue
            for name in ("", "viewer", "editor", "shop-viewer", "shop-editor", "outsider", "admin"):
                auth = (name, PASSWORD) if name else None
                role = "admin" if name == "admin" else PEOPLE[name][1] if name else ""
                status = _asked(client, method, f"/p/shop{path}", auth=auth)
                nowhere = _asked(client, method, f"/p/nowhere{path}", auth=auth)
                if not name:
                    right = status == nowhere == 401
                elif not role:
                    right = status == nowhere == 404
                else:
                    right = (status not in _ANSWERED_BY_THE_GATE) == (needed in _allowed(role))
                if not right:
                    wrong.append((method, path, name or "nobody", status, nowhere))

    assert len(routes) > 100
    assert not wrong


@pytest.mark.feature("S2")
def test_a_token_is_good_in_its_own_project_only(town: Any) -> None:
    """An administrator's token of one project opens no route of the other, and the bare path is its own."""
    auth = ("admin", PASSWORD)
    body = {"name": "t", "scope": "admin"}
    first = town.client.post("/api/mamimon/tokens", json=body, auth=auth).json()["token"]
    shop = town.client.post("/p/shop/api/mamimon/tokens", json=body, auth=auth).json()["token"]
    _, house = town.server.houses.open_houses()
    wrong = []
    with httpx.Client(base_url=town.url, timeout=30) as client:
        for method, path in _safe(_routes(house)):
            if requirement(method, path) is None or of_server(path):
                continue
            for prefix, token in (("/p/shop", first), ("/p/default", shop)):
                status = _asked(client, method, prefix + path, headers={"Authorization": f"Bearer {token}"})
                if status != 404:
                    wrong.append((method, prefix + path, status))

    def tokens(path: str, token: str) -> int:
        return _asked(town.client, "GET", path, headers={"Authorization": f"ApiKey {token}"})

    assert not wrong
    assert [tokens(path, shop) for path in ("/api/mamimon/tokens", "/p/shop/logs", "/logs")] == [200] * 3
    assert tokens("/api/mamimon/users", shop) == 403
    assert tokens("/api/mamimon/projects", shop) == 403
    assert tokens("/api/mamimon/users", first) == 200


@pytest.mark.feature("S3")
def test_an_encoded_slash_lends_no_rights(town: Any) -> None:
    """A path that reads as a search when decoded, but as a deletion to the door, needs what the door does."""
    viewer, admin = ("viewer", PASSWORD), ("admin", PASSWORD)
    made = town.client.post("/es/logs-a/_doc", json={"message": "kept"}, auth=admin)
    assert made.status_code == 201, made.text
    for path in (
        "/es/logs-*,x%2F_search%2F/_delete_by_query",
        "/p/default%2Fes%2F_search/es/logs-a/_delete_by_query",
        "/p/shop%2Fes%2F_search/es/logs-a/_delete_by_query",
    ):
        body = {"query": {"match_all": {}}}
        for auth in (viewer, ("shop-viewer", PASSWORD)):
            refused = town.client.post(path, json=body, auth=auth)
            assert refused.status_code in (403, 404), f"{path}: {refused.text}"
    assert town.client.get("/es/_count", auth=viewer).json()["count"] == 1
    # Date math needs the encoded slash: the door is reached and knows no index of today.
    asked = town.client.post("/es/%3Clogs-b-%7Bnow%2Fd%7D%3E/_search", auth=viewer)
    assert asked.json()["error"]["type"] == "index_not_found_exception", asked.text
