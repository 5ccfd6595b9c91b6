"""Signing in by a conforming identity provider, over HTTP and in a browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest

from mamimon.clock import ManualClock


@pytest.fixture
def issuer() -> Iterator[str]:
    """A conforming provider that knows Noor (ops) and Kim (no group)."""
    people = [
        oidc_provider_mock.User(sub="n-1", claims={"preferred_username": "noor", "groups": ["ops", "all"]}),
        oidc_provider_mock.User(sub="k-2", claims={"email": "kim@example.com"}),
    ]
    with oidc_provider_mock.run_server_in_thread(user_claims=people) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def joined(start: Callable[..., Any], clock: ManualClock, issuer: str) -> Callable[..., Any]:
    """Start a server that signs in by the provider."""
    clock.jump(time.time() - clock.now())

    def run(**accounts: Any) -> Any:
        return start(
            accounts={
                "oidc_issuer": issuer,
                "oidc_client_id": "mamimon",
                "oidc_client_secret": "hush",
                **accounts,
            }
        )

    return run


def sign_on(server: Any, person: str, target: str = "/metrics") -> tuple[httpx.Client, httpx.Response]:
    """A browser that went to the provider, said who it is, and came back."""
    client = httpx.Client(timeout=30)
    away = client.get(f"{server.url}/login/sso", params={"next": target})
    assert away.status_code == 303, away.text
    back = client.post(away.headers["location"], data={"sub": person})
    assert back.status_code == 302, back.text
    return client, client.get(back.headers["location"])


@pytest.mark.feature("S1")
def test_a_person_comes_in_by_the_provider(joined: Callable[..., Any]) -> None:
    """The page shows the button; the group gives the role; the account says where it is from."""
    server = joined(oidc_admin_groups=["ops"], oidc_name="Company account")
    assert server.client.get("/metrics").status_code == 401
    assert "Company account" in server.client.get("/login").text

    noor, answer = sign_on(server, "n-1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/metrics")
    assert noor.get(f"{server.url}/settings").status_code == 200
    kim, _ = sign_on(server, "k-2")
    assert kim.get(f"{server.url}/metrics").status_code == 200
    assert kim.get(f"{server.url}/settings").status_code == 403
    users = noor.get(f"{server.url}/api/mamimon/users").json()
    assert [(one["name"], one["role"], one["single_sign_on"]) for one in users] == [
        ("kim@example.com", "viewer", True),
        ("noor", "admin", True),
    ]
    again, _ = sign_on(server, "k-2")
    assert len(noor.get(f"{server.url}/api/mamimon/users").json()) == 2
    assert again.post(f"{server.url}/account/begin-factor").status_code == 400
    assert noor.post(f"{server.url}/login", data={"name": "noor", "password": ""}).status_code == 401


@pytest.mark.feature("S1")
def test_who_is_in_no_group_stays_outside(joined: Callable[..., Any]) -> None:
    """Without a default role only the named groups come in; no account is made of the others."""
    server = joined(oidc_admin_groups=["ops"], oidc_default_role="")
    _, refused = sign_on(server, "k-2")
    assert refused.status_code == 403 and "groups" in refused.text
    noor, _ = sign_on(server, "n-1")
    assert [one["name"] for one in noor.get(f"{server.url}/api/mamimon/users").json()] == ["noor"]


@pytest.mark.feature("S1")
def test_a_name_there_does_not_become_a_name_here(joined: Callable[..., Any], clock: ManualClock) -> None:
    """Who calls himself as somebody with a password here is refused; groups move the role."""
    server = joined(oidc_editor_groups=["ops"])
    local = {"Authorization": f"Bearer {json.loads((server.data_dir / 'server.json').read_text())['secret']}"}
    body = {"name": "noor", "role": "admin", "password": "correct horse"}
    assert server.client.post("/api/mamimon/users", json=body, headers=local).status_code == 201
    _, refused = sign_on(server, "n-1")
    assert refused.status_code == 409 and "already" in refused.text
    sign_on(server, "k-2")
    promoted = server.client.post(
        "/api/mamimon/users/kim@example.com/role", json={"role": "admin"}, headers=local
    )
    assert promoted.status_code == 200
    sign_on(server, "k-2")
    users = server.client.get("/api/mamimon/users", headers=local).json()
    assert {one["name"]: one["role"] for one in users} == {"noor": "admin", "kim@example.com": "viewer"}


@pytest.mark.feature("S1")
def test_an_answer_must_come_to_the_browser_that_asked(joined: Callable[..., Any]) -> None:
    """Another browser's answer, one used before, a refusal, and an open redirect go nowhere."""
    server = joined()
    thief = httpx.Client(timeout=30)
    away = thief.get(f"{server.url}/login/sso")
    back = thief.post(away.headers["location"], data={"sub": "k-2"}).headers["location"]
    assert httpx.get(back, timeout=30).status_code == 401
    # The state is spent by the attempt.
    assert thief.get(back).status_code == 401
    begun = thief.get(f"{server.url}/login/sso").headers["location"]
    state = parse_qs(urlsplit(begun).query)["state"][0]
    said = {"state": state, "error": "access_denied", "error_description": "not <b>today</b>"}
    no = thief.get(f"{server.url}/login/sso/back", params=said)
    assert no.status_code == 401 and "not &lt;b&gt;today" in no.text
    _, entered = sign_on(server, "k-2", target="//evil.example")
    assert entered.headers["location"] == "/"


@pytest.mark.feature("S1")
def test_a_provider_that_is_away_says_so(start: Callable[..., Any]) -> None:
    """The sign-in page comes back with the reason, and the password still works there."""
    server = start(accounts={"oidc_issuer": "http://localhost:9", "oidc_client_id": "mamimon"})
    answer = server.client.get("/login/sso")
    assert answer.status_code == 503
    assert "identity provider cannot be asked" in answer.text and 'name="password"' in answer.text


@pytest.mark.feature("S1")
def test_a_click_signs_in(joined: Callable[..., Any], browser: Any) -> None:
    """In Chromium: the button, the provider's page, and back where one wanted to go."""
    server = joined(oidc_admin_groups=["ops"])
    page = browser.new_context().new_page()
    page.goto(f"{server.url}/settings")
    page.get_by_role("link", name="Single sign-on").click()
    page.wait_for_url(re.compile("oauth2/authorize"))
    page.get_by_role("button", name="n-1").click()
    page.wait_for_url(f"{server.url}/settings")
    assert page.get_by_role("heading", name="Settings", exact=True).is_visible()
    page.context.close()
