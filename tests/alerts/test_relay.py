"""Alerts of our rules in a real Alertmanager: there when they fire, over when they end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import App, live, step
from tests.alerts.test_amtool import free_port
from tests.conftest import peer, settled, wait_until


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """Alertmanager 0.34 on loopback; its address."""
    config = tmp_path / "peer.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    url = f"http://127.0.0.1:{free_port()}"
    with (tmp_path / "alertmanager.log").open("w") as log:
        one = subprocess.Popen(
            [
                peer("alertmanager"),
                f"--config.file={config}",
                f"--storage.path={tmp_path / 'am'}",
                f"--web.listen-address={url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ],
            stderr=log,
        )
        try:
            wait_until(lambda: _answers(url), 60, "Alertmanager")
            yield url
        finally:
            one.terminate()
            one.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.feature("A2")
def test_a_real_alertmanager_gets_our_alerts(
    start: Callable[..., Any],
    clock: ManualClock,
    app: App,
    prometheus_yml: str,
    alertmanager: str,
    tmp_path: Path,
) -> None:
    """By the `alerting` of prometheus.yml; after a restart too; resolved when it is over here."""
    clock.jump(-200)  # the peer's clock runs by itself; ours stays behind it
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{alert: LoadHigh, expr: load > 5, labels: {severity: page},"
        " annotations: {summary: 'load is {{ $value }}'}}]}]\n"
    )
    with Path(prometheus_yml).open("a") as file:
        file.write(
            f"alerting:\n  alertmanagers:\n  - static_configs:\n"
            f"    - targets: ['{alertmanager.removeprefix('http://')}']\n"
        )
    settings = {
        "metrics": {"prometheus_config": prometheus_yml, "scrape_self": False},
        "alerts": {"builtin_rules": False, "rule_files": [str(rules)]},
    }

    def seen(**params: Any) -> list[dict[str, Any]]:
        found = httpx.get(f"{alertmanager}/api/v2/alerts", params=params).json()
        return [one for one in found if one["labels"]["alertname"] == "LoadHigh"]

    server = start(**settings)
    settled(clock)
    app.load = 9.0
    live(clock, app, 45)
    found = wait_until(seen, 60, "the alert at Alertmanager")
    assert found[0]["labels"] == {
        "alertname": "LoadHigh",
        "severity": "page",
        "job": "chat",
        "instance": f"127.0.0.1:{app.server.server_port}",
    }
    assert found[0]["annotations"] == {"summary": "load is 9"}
    assert "/graph?query=load" in found[0]["generatorURL"]
    # The peer has the alert a moment before its answer is noted here.
    wait_until(
        lambda: (
            (text := server.client.get("/settings/alerts").text)
            and alertmanager in text
            and "HTTP 200" in text
        ),
        what="its answer on the page",
    )
    active = server.client.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
    assert {"url": f"{alertmanager}/api/v2/alerts"} in active

    server.stop()
    server = start(**settings)
    settled(clock)
    live(clock, app, 30)
    app.load = 0.0
    live(clock, app, 75)  # nothing resolves in the first minute after a start
    wait_until(lambda: (step(clock, 5), not seen())[1], 60, "its end at Alertmanager")


@pytest.mark.feature("A2")
def test_what_points_at_ourselves_goes_round_once(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str
) -> None:
    """Our own door drops what we sent; an address that is dead is said on the page and breaks nothing."""
    server = start(
        metrics={"prometheus_config": prometheus_yml, "scrape_self": False},
        alerts={"builtin_rules": False, "alertmanager_urls": ["http://ada:secretword@127.0.0.1:9"]},
    )
    server.server.settings.alerts.alertmanager_urls.append(f"{server.url}/alertmanager")
    settled(clock)
    app.requests, app.errors = 100, 50
    body = {"name": "LoadHigh", "expr": "load > 5"}
    assert server.client.post("/api/mamimon/alerts/rules", json=body).status_code == 201
    app.load = 9.0
    live(clock, app, 60)
    page = wait_until(
        lambda: (text := server.client.get("/settings/alerts").text) and "HTTP 200" in text and text,
        what="our own answer",
    )
    assert "secretword" not in page
    assert "http://127.0.0.1:9 " in page
    sources = [one["receivers"] for one in server.client.get("/alertmanager/api/v2/alerts").json()]
    assert len(sources) == 1


@pytest.mark.feature("A2")
def test_alerts_go_out_relabelled(
    start: Callable[..., Any],
    clock: ManualClock,
    app: App,
    prometheus_yml: str,
    alertmanager: str,
    tmp_path: Path,
) -> None:
    """With the external labels they lack, then by `alert_relabel_configs`; what is dropped stays here."""
    clock.jump(-200)
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: ["
        "{alert: LoadHigh, expr: load > 5, labels: {severity: page}},"
        "{alert: LoadSeen, expr: load > 5, labels: {audience: us}}]}]\n"
    )
    file = Path(prometheus_yml)
    text = file.read_text().replace("global: {", "global: {external_labels: {site: izmir, severity: none}, ")
    file.write_text(
        f"{text}alerting:\n  alert_relabel_configs:\n"
        "  - {action: drop, source_labels: [audience], regex: us}\n"
        "  - {source_labels: [severity], target_label: priority, replacement: p-$1}\n"
        "  - {action: labeldrop, regex: instance|severity}\n"
        f"  alertmanagers:\n  - static_configs: [{{targets: ['{alertmanager.removeprefix('http://')}']}}]\n"
    )
    server = start(
        metrics={"prometheus_config": prometheus_yml, "scrape_self": False},
        alerts={"builtin_rules": False, "rule_files": [str(rules)]},
    )
    settled(clock)
    app.load = 9.0
    live(clock, app, 45)
    found = wait_until(
        lambda: httpx.get(f"{alertmanager}/api/v2/alerts").json(), 30, "the alerts at Alertmanager"
    )
    assert [one["labels"] for one in found] == [
        {"alertname": "LoadHigh", "site": "izmir", "priority": "p-page", "job": "chat"}
    ]
    own = server.client.get("/alertmanager/api/v2/alerts").json()
    assert {one["labels"]["alertname"] for one in own} >= {"LoadHigh", "LoadSeen"}
