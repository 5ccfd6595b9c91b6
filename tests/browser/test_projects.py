"""A person makes a project, a team and a member, and moves between projects: clicked in a real browser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.browser.pages import DESKTOP, PHONE
from tests.conftest import wait_until
from tests.errors.sites import serve

pytestmark = [pytest.mark.browser, pytest.mark.feature("S2")]
PASSWORD = "correct horse"


def _sign_in(page: Any, url: str, name: str) -> None:
    page.goto(f"{url}/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button.p, main button.btn >> nth=0")
    page.wait_for_selector("nav.nav")


def _line(server: Any, prefix: str, text: str) -> None:
    answer = httpx.post(
        f"{server.url}{prefix}/es/logs-a/_doc", json={"message": text}, auth=("Ada", PASSWORD), timeout=60
    )
    assert answer.status_code == 201, answer.text


def test_a_project_a_team_and_somebody_invited(server: Any, browser: Any) -> None:
    """Made on the settings page; who is invited to one project sees only that; the switch leads between."""
    body = {"name": "Ada", "role": "admin", "password": PASSWORD}
    assert server.client.post("/api/mamimon/users", json=body).status_code == 201
    context = browser.new_context(viewport=DESKTOP, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    _sign_in(page, server.url, "Ada")
    assert page.locator("nav .switch").count() == 0

    page.click("nav >> text=Settings")
    page.click("text=Projects and teams")
    page.fill("#p-slug", "shop")
    page.fill("#p-name", "The shop")
    page.click("form[action$='/projects/add'] button")
    page.wait_for_selector("a[href='/p/shop/']")
    page.fill("#m-name", "Sellers")
    page.click("form[action$='/add-team'] button")
    page.wait_for_selector("b:has-text('Sellers')")
    page.select_option("form[action$='/team-role']:has-text('The shop') select", "editor")
    page.wait_for_selector("form:has-text('The shop') option[selected]:has-text('editor')", state="attached")

    page.click("text=Members and tokens")
    page.wait_for_url("**/p/shop/settings")
    assert "Sellers" in page.inner_text("main table")
    page.fill("#i-name", "Vera")
    page.click("form[action='/p/shop/settings/invite'] button")
    link = page.inner_text("pre.break")

    _line(server, "", "apfelmond in the first")
    _line(server, "/p/shop", "birnstern in the shop")
    page.click("nav >> text=Logs")
    page.wait_for_url("**/p/shop/logs**")
    assert "birnstern" in page.inner_text("main")
    assert "apfelmond" not in page.inner_text("main")
    page.select_option("nav .switch select", "default")
    page.wait_for_url("**/p/default/")
    page.click("nav >> text=Logs")
    page.wait_for_url("**/logs**")
    assert "apfelmond" in page.inner_text("main")
    page.select_option("nav .switch select", "shop")
    page.wait_for_url("**/p/shop/")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/p/shop/logs**")

    phone = browser.new_context(viewport=PHONE, locale="tr-TR")
    guest = phone.new_page()
    guest.set_default_timeout(60_000)
    guest.goto(link)
    assert "The shop" in guest.inner_text("main")
    guest.fill("#password", PASSWORD)
    guest.fill("#again", PASSWORD)
    guest.click("main form button")
    guest.wait_for_url("**/login**")
    _sign_in(guest, server.url, "Vera")
    guest.wait_for_url("**/p/shop/**")
    assert guest.locator("nav .switch").count() == 0
    guest.goto(f"{server.url}/logs")
    guest.wait_for_url("**/p/shop/logs")
    assert "birnstern" in guest.inner_text("main")
    assert guest.goto(f"{server.url}/p/nowhere/logs").status == 404
    assert guest.goto(f"{server.url}/p/default/logs").status == 404
    assert guest.goto(f"{server.url}/p/shop/settings").status == 403

    page.goto(f"{server.url}/settings/projects")
    page.click("text=Archive")
    page.fill("input[name=confirm]", "shop")
    page.click("button.danger:has-text('Delete')")
    folder = server.data_dir / "projects" / "shop"
    wait_until(lambda: not folder.exists(), 60.0, "the end of its data")
    page.wait_for_selector("input[name=confirm]", state="detached")
    assert not problems
    context.close()
    phone.close()


def test_the_browser_sdk_of_a_project_reports_to_it(server: Any, browser: Any) -> None:
    """A page that loads `/p/shop/sdk/mamimon.js` needs no DSN; its errors are the shop's."""
    assert server.client.post("/api/mamimon/projects", json={"slug": "shop"}).status_code == 201
    with serve() as site:
        site.pages["/"] = (
            f'<script src="{server.url}/p/shop/sdk/mamimon.js"></script>'
            "<script>mamimon.initializeErrorTracking();"
            'setTimeout(() => { throw new Error("birnstern fell"); }, 0);</script>'
        )
        page = browser.new_page()
        page.goto(site.url)

        def titles(prefix: str) -> str:
            return str(server.client.get(f"{prefix}/api/mamimon/errors/issues").text)

        wait_until(lambda: "birnstern" in titles("/p/shop"), 60.0, "the error")
        assert "birnstern" not in titles("")
        page.close()
