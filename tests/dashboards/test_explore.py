"""Explore reads plain words as the queries that a person means, and leaves everything else alone."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from mamimon.dashboards.plain import meant, offers

pytestmark = pytest.mark.feature("D5")
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize(
    ("text", "subject", "path", "service", "since"),
    [
        ("errors in /api/chat last hour", "errors", "/api/chat", "", "1h"),
        ("failed requests of mami-ai in the last 30 minutes", "errors", "", "mami-ai", "30m"),
        ("slow /api/image today", "slow", "/api/image", "", "24h"),
        ("traffic past 2 days", "traffic", "", "", "2d"),
        ("memory last half hour", "memory", "", "", "30m"),
        ("hatalar /api/chat son bir saat", "errors", "/api/chat", "", "1h"),
        ("yavaş /api/chat bugün", "slow", "/api/chat", "", "24h"),
    ],
)
def test_plain_words(text: str, subject: str, path: str, service: str, since: str) -> None:
    """What is asked, where and when is found in English and Turkish words."""
    found = meant(text)
    assert found is not None
    assert (found.subject, found.path, found.service, found.since) == (subject, path, service, since)
    assert all(one.since == since for one in offers(found))


@pytest.mark.parametrize(
    "text",
    ["errors", "timeout", "level:ERROR in /api/chat", '"errors last hour"', "rate(errors[5m])",
     "a -errors /x", "the service said that it had many errors while it was starting last hour on this host"],
)  # fmt: skip
def test_what_is_no_plain_question(text: str) -> None:
    """Single words, Lucene, PromQL and sentences stay searches."""
    assert meant(text) is None


def test_offers_are_shown_and_the_first_is_run(server: Any) -> None:
    """The page answers by the first query, shows every query it could run, and each of them runs."""
    lines = [
        ("ERROR", "/api/chat", "model is away"),
        ("ERROR", "/api/image", "other"),
        ("INFO", "/api/chat", "fine"),
    ]
    for level, path, message in lines:
        body = {"level": level, "path": path, "message": message}
        assert server.client.post("/es/logs-app/_doc", json=body).status_code == 201
    page = server.client.get("/explore", params={"q": "errors in /api/chat last hour"}, headers=HTML)
    text = unescape(page.text)
    assert "model is away" in text
    assert "fine" not in text.split("Newest lines")[1]
    assert "other" not in text.split("Newest lines")[1]
    assert 'level:(ERROR OR CRITICAL) AND path:"/api/chat"' in text
    assert 'http_requests_errors_total{path="/api/chat"}' in text
    found = meant("errors in /api/chat last hour")
    assert found is not None
    for one in offers(found):
        answer = server.client.get(one.href, headers=HTML)
        assert answer.status_code == 200
        assert "error-box" not in answer.text, one.query


def test_two_answers_stand_beside_each_other(server: Any) -> None:
    """Split shows a second query over the same time."""
    page = server.client.get(
        "/explore", params={"q": "up", "kind": "metrics", "beside": "level:ERROR"}, headers=HTML
    ).text
    assert "/api/mamimon/chart?" in page
    assert "/api/mamimon/dashboards/log-chart?" in page
