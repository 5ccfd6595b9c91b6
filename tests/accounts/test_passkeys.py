"""Passkeys in Chromium with its virtual authenticator, and answers that nobody signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

ADA = {"name": "Ada", "role": "admin", "password": "correct horse"}


@pytest.fixture
def site(server: Any) -> Any:
    """A closed server, to be called by the name localhost: browsers allow no passkeys of an address."""
    assert server.client.post("/api/mamimon/users", json=ADA).status_code == 201
    server.named = server.url.replace("127.0.0.1", "localhost")
    return server


@pytest.fixture
def page(browser: Any) -> Iterator[tuple[Any, Any]]:
    """A page with an authenticator that says its holder is there, and the session to steer it by."""
    context = browser.new_context()
    page = context.new_page()
    steer = context.new_cdp_session(page)
    steer.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    steer.authenticator = steer.send("WebAuthn.addVirtualAuthenticator", {"options": options})[
        "authenticatorId"
    ]
    yield page, steer
    context.close()


def add(page: Any, url: str) -> None:
    """Sign in by the password and add a passkey."""
    page.goto(f"{url}/login?next=/account")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{url}/account")
    page.get_by_label("Name of the device").fill("Night phone")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("cell", name="Night phone").wait_for()


@pytest.mark.feature("S1")
def test_a_passkey_signs_in_until_it_is_removed(site: Any, page: tuple[Any, Any]) -> None:
    """Add one, sign out, come back by it alone, remove it, and it opens nothing any more."""
    tab, _ = page
    add(tab, site.named)
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.named}/login")
    tab.goto(f"{site.named}/login?next=/settings")
    tab.get_by_role("button", name="Sign in with a passkey").click()
    tab.wait_for_url(f"{site.named}/settings")

    tab.goto(f"{site.named}/account")
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="Remove").click()
    tab.get_by_role("cell", name="Night phone").wait_for(state="detached")
    tab.context.clear_cookies()
    tab.goto(f"{site.named}/login")
    tab.get_by_role("button", name="Sign in with a passkey").click()
    tab.get_by_text("this passkey is not known here").wait_for()
    actions = [
        one["action"]
        for one in site.client.get("/api/mamimon/settings/audit", auth=("Ada", "correct horse")).json()
    ]
    assert {"passkey.add", "passkey.remove"} <= set(actions)


@pytest.mark.feature("S1")
def test_a_device_must_verify_its_holder(site: Any, page: tuple[Any, Any]) -> None:
    """A found phone that is not unlocked signs nobody in."""
    tab, steer = page
    add(tab, site.named)
    tab.context.clear_cookies()
    steer.send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": steer.authenticator, "isUserVerified": False},
    )
    tab.goto(f"{site.named}/login")
    tab.get_by_role("button", name="Sign in with a passkey").click()
    tab.wait_for_timeout(500)
    tab.goto(f"{site.named}/settings")
    assert "/login?next=/settings" in tab.url


@pytest.mark.feature("S1")
def test_answers_of_no_passkey_are_refused(site: Any) -> None:
    """Nonsense, a challenge of nobody, one used before, and an unknown key open nothing."""
    client = httpx.Client(base_url=site.named, timeout=30)

    def data(challenge: str) -> str:
        told = {"type": "webauthn.get", "challenge": challenge, "origin": site.named}
        return base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()

    asked = client.get("/login/passkey").json()
    assert asked["userVerification"] == "required" and asked["rpId"] == "localhost"
    fresh = {
        "id": "AAAA",
        "rawId": "AAAA",
        "type": "public-key",
        "response": {"clientDataJSON": data(asked["challenge"])},
    }
    for body, status in (
        ({}, 400),
        ({"credential": "text"}, 400),
        ({"credential": {}}, 401),
        ({"credential": {"response": {"clientDataJSON": "§"}}}, 401),
        ({"credential": {"id": "AAAA", "response": {"clientDataJSON": data("AAAA")}}}, 401),
        ({"credential": fresh}, 401),
        ({"credential": fresh}, 401),
    ):
        answer = client.post("/login/passkey", json=body)
        assert answer.status_code == status, answer.text
        assert "set-cookie" not in answer.headers
    assert client.get("/account/passkeys/options").status_code == 401
    by_address = httpx.get(f"{site.url}/login/passkey", timeout=30)
    assert by_address.status_code == 404 and "host name" in by_address.text
