"""What the list and the page of an issue say besides its stack."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from tests.conftest import settled
from tests.errors.test_doors import issues
from tests.errors.test_issues import send, stack

pytestmark = pytest.mark.feature("E5")


def shop(server: Any) -> None:
    """Five events of one issue, two of one that looks like it, one of another."""
    for number in range(5):
        send(
            server,
            exception=stack(("app", "pay", "1"), kind="PaymentError", value=f"order {number} was declined"),
            tags={"plan": "pro" if number else "free"},
            release=f"shop@{number % 2}",
            user={"id": f"u{number}"},
        )
    for number in range(2):
        send(
            server,
            exception=stack(
                ("app", "refund", "2"), kind="PaymentError", value=f"order {number} was declined"
            ),
        )
    send(server, exception=stack(("app", "ship", "3"), kind="AddressError", value="no street"))


def plain(page: str) -> str:
    """A page's words."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def test_shares_of_tags_and_releases_and_what_looks_alike(server: Any) -> None:
    """Exact shares of each tag's values and each release, the similar issue, users, why it is one issue."""
    shop(server)
    first = next(one for one in issues(server) if one["count"] == 5)
    page = server.client.get(first["url"]).text
    words = plain(page)

    assert "pro 80 %" in words
    assert "free 20 %" in words
    assert "shop@0 60 %" in words
    assert "shop@1 40 %" in words
    similar = words.split("Similar issues")[1].split("Recent events")[0]
    assert "PaymentError: order 0 was declined refund in app 2" in similar
    assert "AddressError" not in similar
    assert (first["users"], first["first_release"], first["last_release"]) == (5, "shop@0", "shop@0")
    assert "Grouped by stack trace : these frames" in words
    assert "of this second" in words
    found = re.search(r'href="(/errors\?query=plan[^"]*)"', page)
    assert found is not None
    assert "PaymentError" in server.client.get(html.unescape(found[1])).text


def test_the_list_draws_trends_and_sorts_by_them(server: Any, clock: Any) -> None:
    """Sparklines of the last day; by trend what happened most in it comes first, whatever is newer."""
    shop(server)
    by_trend = server.client.get("/errors?sort=trend").text
    titles = re.findall(r"(AddressError|PaymentError)", plain(by_trend.split("<main", 1)[1]))

    assert titles[0] == "PaymentError"
    assert [sum(one["trend"]) for one in issues(server, sort="trend")] == [5, 2, 1]
    assert len(re.findall(r'class="spark".*?<path d="M[^"]+z"', by_trend)) == 3
    settled(clock)
    clock.advance(2 * 86400)
    later = server.client.get("/errors?sort=trend").text
    assert re.findall(r'class="spark".*?<path d="([^"]+)"', later) == ["M0,19H96"] * 3
