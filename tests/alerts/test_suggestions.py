"""Ten faults planted in the sample service: its incident names what is to blame among the first three."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import step
from tests.alerts.replay import FAULTS, RULES, plant, verdict
from tests.alerts.test_life import forever, send
from tests.conftest import settled, wait_until


@pytest.fixture
def server(start: Callable[..., Any], tmp_path: Path) -> Any:
    """A server with two rules on the whole service, which name neither endpoint nor cause."""
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    return start(metrics={"scrape_self": False}, alerts={"builtin_rules": False, "rule_files": [str(rules)]})


@pytest.mark.feature("A7", "M9")
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str, server: Any, clock: ManualClock) -> None:
    """The right endpoint and pattern, and the right deploy or none; the page shows the same list."""
    clues = plant(server, clock, name)
    for one in clues[:6]:
        print(f"{one['weight']:.2f} {one['kind']:<8} {one['name'][:70]}  {one['before']} → {one['now']}")
    found = verdict(FAULTS[name], clues)
    assert all(found.values()), found
    page = server.client.get("/incidents/1/suggestions").text
    heads = html.unescape(page.split("<details>")[0])
    places = [heads.find(one["name"].replace("<*>", "•")) for one in clues[:3]]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.feature("A7")
def test_who_is_hit(server: Any, clock: ManualClock) -> None:
    """Endpoints and users that the error lines name, with their counts and links to their lines."""
    plant(server, clock, "expired-certificate")
    found = server.client.get("/api/mamimon/incidents/1/hit").json()
    assert found["fields"] == {"endpoints": "route", "users": "user"}
    assert found["endpoints"][0]["value"] == "/api/login"
    assert sum(one["count"] for one in found["users"]) > 10
    page = html.unescape(server.client.get("/incidents/1/hit").text)
    assert found["users"][0]["value"] in page
    written = server.client.get("/incidents/1/postmortem.md").text
    assert "| Endpoint | /api/login | 0 | 1 |" in written
    link = page.split('title="/api/login" href="')[1].split('"')[0]
    assert "/api/login" in server.client.get(link).text


@pytest.mark.feature("A7")
def test_an_incident_without_figures(server: Any, clock: ManualClock) -> None:
    """Without a rule and without a sample the list says that nothing differs; an unknown incident is 404."""
    send(server, {"alertname": "FromOutside"}, endsAt=forever(clock))
    settled(clock)
    step(clock, 40)
    wait_until(lambda: server.client.get("/api/mamimon/incidents").json(), 60, "the incident")
    assert server.client.get("/incidents/1/suggestions").status_code == 200
    answer = server.client.get("/api/mamimon/incidents/1/suggestions").json()
    assert not [one for one in answer["clues"] if one["kind"] in {"endpoint", "deploy", "error"}]
    assert server.client.get("/api/mamimon/incidents/99/suggestions").status_code == 404
