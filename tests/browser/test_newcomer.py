"""A newcomer's path: from a started server to a shared dashboard with an alert, in few clicks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from tests.browser.pages import DESKTOP
from tests.conftest import Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D1", "D2")]
CLICKS = 25


class Hand:
    """A page whose clicks and choices are counted."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = 0

    def click(self, what: str) -> None:
        """Press something."""
        self.clicks += 1
        self.page.click(what)

    def choose(self, what: str, value: str) -> None:
        """Open a list and take a value of it."""
        self.clicks += 2
        self.page.select_option(what, value)


@pytest.fixture
def application() -> Iterator[int]:
    """An application with metrics of its own; its port."""
    registry = CollectorRegistry()
    requests = Counter("shop_orders", "Orders.", ["shop"], registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.1):
            requests.labels("izmir").inc(2)
            requests.labels("ankara").inc()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    yield server.server_port
    done.set()
    server.shutdown()
    thread.join(5)
    worker.join(5)


def test_from_nothing_to_a_shared_dashboard(browser: Any, application: int, tmp_path: Any) -> None:
    """Own data seen, a dashboard of two panels and a variable, an alert, a link: under 25 clicks."""
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{application}']}}]}}]\n"
    )
    server = Process(tmp_path / "data", "--prometheus-config", str(tmp_path / "prometheus.yml"))
    page = browser.new_page(viewport=DESKTOP)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    hand = Hand(page)
    try:
        _walk(server, browser, hand)
    finally:
        page.close()
        server.kill()
    print(hand.clicks, "clicks")
    assert hand.clicks < CLICKS
    assert not problems


def _walk(server: Process, browser: Any, hand: Hand) -> None:
    page = hand.page
    with httpx.Client(base_url=server.url) as client:
        asked = {"query": "rate(shop_orders_total[1m])"}
        wait_until(lambda: client.get("/api/v1/query", params=asked).json()["data"]["result"], 60, "data")
    page.goto(server.url)

    hand.click("nav >> text=Explore")
    page.fill("input[name=q]", "shop_orders_total")
    page.keyboard.press("Enter")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert "izmir" in page.inner_text("main")

    hand.click("nav >> text=Dashboards")
    page.fill("input[name=title]", "Shop")
    hand.click("text=Make a dashboard")
    dialog = "#panel-dialog"
    # The head of the page comes before its panels, its scripts run after them.
    page.wait_for_selector("#add-panel")
    page.wait_for_load_state()
    hand.click("#add-panel")
    page.fill(f"{dialog} [name=title]", "Orders a second")
    page.fill(
        f"{dialog} [name=queries]", 'sum by (shop) (rate(shop_orders_total{shop=~"$shop"}[1m])) | {{shop}}'
    )
    hand.click(f"{dialog} button.p")
    hand.click("#add-panel")
    page.fill(f"{dialog} [name=title]", "Orders")
    hand.choose(f"{dialog} [name=kind]", "stat")
    page.fill(f"{dialog} [name=queries]", 'sum(shop_orders_total{shop=~"$shop"})')
    page.fill(f"{dialog} [name=crit]", "1")
    hand.click(f"{dialog} button.p")
    hand.click("#open-settings")
    hand.click("#add-variable")
    page.fill("#variables [name=name]", "shop")
    page.fill("#variables [name=metric]", "shop_orders_total")
    page.fill("#variables [name=value_of]", "shop")
    hand.click("#settings-dialog button.p")
    hand.click("#done")
    page.wait_for_url("**/dashboards/shop")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert "ankara" in page.inner_text(".board")
    hand.choose("select[name=var-shop]", "izmir")
    page.wait_for_url("**var-shop=izmir**")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert "ankara" not in page.inner_text(".board")

    hand.click("section[data-key='1'] summary")
    hand.click("section[data-key='1'] >> text=Alert on this")
    page.wait_for_selector(".tried", timeout=30_000)
    assert page.input_value("#r-expr") == 'sum(shop_orders_total{shop=~"izmir"}) > 1'
    page.fill("#r-for", "1s")
    hand.click("button:has-text('Save')")
    page.wait_for_url("**/alerts#rule-*")

    hand.click("nav >> text=Dashboards")
    hand.click("main >> text=Shop")
    hand.click("summary:has-text('Share')")
    hand.click("text=Link for others")
    hand.click("text=Make a link")
    link = page.input_value("#link")
    guest = browser.new_page(viewport=DESKTOP)
    guest.goto(link if link.startswith("http") else server.url + link)
    guest.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert float(guest.inner_text(".stat").replace(",", "").split()[0]) > 0
    guest.close()
