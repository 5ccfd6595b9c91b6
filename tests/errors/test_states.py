"""States of issues: new, ongoing, regressed, resolved now or in the next release, ignored until."""

from __future__ import annotations

from typing import Any

import pytest

from tests.errors.test_doors import issues
from tests.errors.test_issues import send, stack

pytestmark = pytest.mark.feature("E2")
DAY = 86400


def status(server: Any, **fields: Any) -> None:
    """Change issue 1 by the API."""
    answer = server.client.post("/api/mamimon/errors/issues/status", json={"ids": [1], **fields})
    assert answer.json() == {"changed": 1}, answer.text


def test_new_becomes_ongoing_after_a_week(server: Any, clock: Any) -> None:
    """`is:new` and `is:ongoing` part what waits by age; a regressed one is neither."""
    send(server)
    assert len(issues(server, "is:new")) == 1
    assert '<span class="pill info">new</span>' in server.client.get("/errors").text
    clock.advance(8 * DAY)
    assert issues(server, "is:new") == []
    assert len(issues(server, "is:ongoing")) == 1
    assert "ongoing" in server.client.get("/errors/1").text
    status(server, status="resolved")
    send(server)
    assert issues(server, "is:ongoing") == []
    assert len(issues(server, "is:regressed is:unresolved")) == 1


def test_resolved_in_the_next_release(server: Any, clock: Any) -> None:
    """Events of known releases count and change nothing; one of a new release is a regression."""
    send(server, release="shop@1")
    send(server, release="shop@2", exception=stack(("app", "other", "1")))
    clock.advance(60)
    status(server, status="resolved", next_release=True)
    clock.advance(60)
    for release in ("shop@1", "shop@2", ""):
        send(server, release=release)
    assert [one["status"] for one in issues(server, "is:resolved")] == ["resolved"]
    assert "resolved in the release after" in server.client.get("/errors/1").text
    send(server, release="shop@3")
    (found,) = issues(server, "is:regressed")

    assert (found["count"], found["last_release"]) == (5, "shop@3")
    activity = server.client.get("/api/mamimon/errors/issues/1/activity").json()
    assert [(one["kind"], one["detail"]) for one in activity] == [
        ("regressed", "shop@3"),
        ("resolved", "in the next release"),
    ]


@pytest.mark.parametrize(
    ("limit", "quiet", "loud"),
    [
        ({"more": 3}, [("a", 0), ("b", 0)], ("c", 0)),
        ({"users": 2}, [("a", 0), ("a", 0), ("a", 0)], ("b", 0)),
        ({"hours": 2}, [("a", 3600)], ("a", 3700)),
    ],
    ids=["events", "users", "time"],
)
def test_ignored_until(server: Any, clock: Any, limit: dict[str, int], quiet: Any, loud: Any) -> None:
    """An ignored issue comes back with its nth event, its nth user or after a time, and says so."""
    send(server, user={"id": "first"})
    form = {"status": "ignored", **{name: str(value) for name, value in limit.items()}}
    assert server.client.post("/errors/1/status", data=form).status_code == 303
    assert "until" in server.client.get("/errors/1").text
    for user, wait in quiet:
        clock.advance(wait)
        send(server, user={"id": user})
        assert issues(server, "is:unresolved") == []
    clock.advance(loud[1])
    send(server, user={"id": loud[0]})

    assert len(issues(server, "is:unresolved")) == 1
    kinds = [one["kind"] for one in server.client.get("/api/mamimon/errors/issues/1/activity").json()]
    assert kinds == ["returned", "ignored"]


def test_assigning_commenting_and_activity(server: Any) -> None:
    """Who has it, what people wrote and what happened, by the API and by the page."""
    send(server)
    url = "/api/mamimon/errors/issues/1"
    assert server.client.post(f"{url}/assign", json={"assignee": "ada"}).json()["assignee"] == "ada"
    assert server.client.post("/errors/1/comment", data={"text": "seen <b>it</b>"}).status_code == 303
    server.client.post(f"{url}/comments", json={"text": "fixed in 2"}).raise_for_status()
    page = server.client.get("/errors/1").text

    assert "seen &lt;b&gt;it&lt;/b&gt;" in page
    assert '<option value="ada">' in page
    kinds = [(one["kind"], one["detail"]) for one in server.client.get(f"{url}/activity").json()]
    assert kinds == [("comment", "fixed in 2"), ("comment", "seen <b>it</b>"), ("assigned", "ada")]
    assert [one["id"] for one in issues(server, "assigned:ada is:assigned")] == [1]
    assert server.client.post("/api/mamimon/errors/issues/9/comments", json={"text": "x"}).status_code == 404
    assert server.client.post(f"{url}/comments", json={"text": ""}).status_code == 400
    assert server.client.post("/errors/1/status", data={"status": "ignored", "more": "x"}).status_code == 400


def test_people_are_found_by_what_they_are_called(server: Any) -> None:
    """A whole id, address or name finds a person's issues, though only pseudonyms are kept."""
    send(server, user={"id": "17", "email": "ada@example.com", "username": "Ada Lovelace"})
    send(server, user={"id": "18", "email": "bob@example.com"}, exception=stack(("app", "b", "1")))
    send(server, user={"email": "ada@example.com"}, exception=stack(("app", "c", "1")))

    def found(query: str) -> list[int]:
        return sorted(one["id"] for one in issues(server, query))

    assert found("user.email:ada@example.com") == [1, 3]
    assert found("!user.email:ada@example.com") == [2]
    assert found("user.id:18") == [2]
    assert found('user.username:"Ada Lovelace"') == [1]
    assert found("user.email:nobody@example.com") == []
    refused = server.client.get("/api/mamimon/errors/issues?query=user.email:ada*")
    assert (refused.status_code, "hash" in refused.text) == (400, True)
    assert "ada@example.com" not in server.client.get("/errors/1").text
