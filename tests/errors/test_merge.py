"""Merging issues by hand, and taking it back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.errors.test_doors import issues
from tests.errors.test_issues import send, stack

pytestmark = pytest.mark.feature("E2")


def three(server: Any) -> None:
    """Three issues: of 3, 2 and 1 events, of users a b c, a d and e."""
    for kind, users in (("One", "abc"), ("Two", "ad"), ("Three", "e")):
        for user in users:
            send(
                server,
                exception=stack(("app", kind, "1"), kind=kind),
                user={"id": user},
                release=f"{kind.lower()}@1",
                tags={"kind": kind, "shared": "yes"},
            )


def merge(server: Any, *ids: int) -> Any:
    """Merge by the API."""
    return server.client.post("/api/mamimon/errors/issues/merge", json={"ids": ids})


def test_merged_issues_are_one_in_every_view(server: Any, clock: Any) -> None:
    """Counts, users, tags, events, charts, search and the old address all tell of one issue."""
    three(server)
    one = merge(server, 2, 1).json()

    assert (one["id"], one["count"], one["users"]) == (1, 5, 4)
    assert [(found["id"], found["count"]) for found in issues(server)] == [(3, 1), (1, 5)]
    assert sum(issues(server, "One")[0]["trend"]) == 5
    detail = server.client.get("/api/mamimon/errors/issues/1").json()
    assert sorted(detail["tags"]["kind"]) == [["One", 3], ["Two", 2]]
    assert [(part["id"], part["count"]) for part in detail["parts"]] == [(1, 3), (2, 2)]
    assert len(server.client.get("/api/mamimon/errors/issues/1/events").json()) == 5
    chart = server.client.get("/api/mamimon/errors/issues/1/histogram").json()
    assert sum(chart["series"][0]["values"]) == 5
    assert [found["id"] for found in issues(server, "kind:Two")] == [1]
    assert [found["id"] for found in issues(server, "is:merged")] == [1]
    assert [found["id"] for found in issues(server, "", sort="trend")] == [1, 3]
    assert server.client.get("/errors/2").headers["location"] == "/errors/1"
    page = server.client.get("/errors/1").text
    assert "Merged by hand" in page
    assert "Merged by hand" not in server.client.get("/errors/3").text
    assert "mamimon_errors_unresolved 2.0" in server.client.get("/metrics").text


def test_later_events_of_a_merged_issue_count_for_its_root(server: Any) -> None:
    """What would have been issue 2 counts for, and reopens, issue 1."""
    three(server)
    merge(server, 1, 2)
    server.client.post("/errors/1/status", data={"status": "resolved"})
    send(server, exception=stack(("app", "Two", "1"), kind="Two"), user={"id": "a"})
    (found,) = issues(server, "is:regressed")

    assert (found["id"], found["count"], found["users"]) == (1, 6, 4)
    assert "regressed" in [
        one["kind"] for one in server.client.get("/api/mamimon/errors/issues/1/activity").json()
    ]


def test_a_merge_can_be_taken_back(server: Any) -> None:
    """After splitting, each issue is as if it had always been alone, with what came in between."""
    three(server)
    merge(server, 1, 2)
    merge(server, 1, 3)
    send(server, exception=stack(("app", "Two", "1"), kind="Two"), user={"id": "z"})
    freed = server.client.post("/api/mamimon/errors/issues/1/split", json={"parts": [2]})

    assert freed.json() == {"issues": [2]}
    counts = {one["id"]: (one["count"], one["users"]) for one in issues(server)}
    assert counts == {1: (4, 4), 2: (3, 3)}
    assert server.client.post("/errors/1/split", data={"part": "3"}).status_code == 303
    assert {one["id"]: one["count"] for one in issues(server)} == {1: 3, 2: 3, 3: 1}
    assert "Merged by hand" not in server.client.get("/errors/1").text
    assert server.client.get("/errors/2").status_code == 200
    kinds = [one["kind"] for one in server.client.get("/api/mamimon/errors/issues/1/activity").json()]
    assert kinds == ["split", "split", "merged", "merged"]
    send(server, exception=stack(("app", "Two", "1"), kind="Two"))
    assert {one["id"]: one["count"] for one in issues(server)} == {1: 3, 2: 4, 3: 1}


def test_people_are_found_through_merges_and_splits(server: Any) -> None:
    """Who met a part is found with the whole, and with the part alone once it is taken out again."""
    three(server)
    merge(server, 1, 2)
    send(server, exception=stack(("app", "Two", "1"), kind="Two"), user={"id": "late"})

    def met(who: str) -> list[int]:
        return [one["id"] for one in issues(server, f"user.id:{who}")]

    assert [met(who) for who in ("b", "d", "late", "e")] == [[1], [1], [1], [3]]
    server.client.post("/api/mamimon/errors/issues/1/split", json={"parts": [2]}).raise_for_status()
    assert [met(who) for who in ("b", "d", "late", "e")] == [[1], [2], [2], [3]]


def test_merging_families_keeps_every_member(server: Any) -> None:
    """A merged issue may be merged again; its members move with it."""
    three(server)
    merge(server, 2, 3)
    assert merge(server, 2, 1).json()["id"] in {1, 2}
    (found,) = issues(server)

    assert (found["count"], found["users"]) == (6, 5)
    parts = server.client.get(f"/api/mamimon/errors/issues/{found['id']}").json()["parts"]
    assert sorted(part["id"] for part in parts) == [1, 2, 3]


def test_what_cannot_be_merged_or_split_is_refused(server: Any) -> None:
    """One issue alone, unknown ones, other projects' and members that are none."""
    three(server)
    server.client.post("/api/mamimon/errors/projects", json={"name": "other"}).raise_for_status()

    assert merge(server, 1, 99).status_code == 400
    assert merge(server, 1, 1).status_code == 400
    split = server.client.post("/api/mamimon/errors/issues/1/split", json={"parts": [2]})
    assert (split.status_code, "was not merged" in split.text) == (400, True)
    assert server.client.post("/api/mamimon/errors/issues/99/split", json={"parts": [2]}).status_code == 404
    gone = server.client.get("/errors/99")
    assert (gone.status_code, "merged" in gone.text) == (404, False)


def test_merging_in_the_list_and_on_the_page(server: Any) -> None:
    """The list's form merges what is ticked, the page's what looks alike."""
    three(server)
    done = server.client.post("/errors/status", data={"id": ["2", "3"], "do": "merge", "back": "/errors"})

    assert done.headers["location"] == "/errors/2#merged"
    again = server.client.post("/errors/2/merge", data={"other": "#1"})
    assert again.headers["location"] == "/errors/1#merged"
    assert len(issues(server)) == 1
