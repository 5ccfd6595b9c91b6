"""The mission document, block by block, in its order: each command and snippet drives the real thing.

`covers(n)` says which fenced blocks of the document a test runs; the last test fails when one has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from mamimon.config import load, read_env_file
from tests.conftest import ROOT, wait_until
from tests.walkthrough.conftest import Mission, Place, query

COVERED: set[int] = set()
F = TypeVar("F", bound=Callable[..., Any])


def covers(*blocks: int) -> Callable[[F], F]:
    """Mark a test as running these blocks of the document."""

    def mark(test: F) -> F:
        COVERED.update(blocks)
        return test

    return mark


def _hits(place: Place, line: str) -> list[dict[str, Any]]:
    body = json.loads(place.run(line.replace("curl ", "curl -sS --fail ", 1)))
    return [hit["_source"] for hit in body["hits"]["hits"]]


@covers(0, 1, 8, 9, 10)
@pytest.mark.feature("O3")
def test_the_env_file_is_copied_and_every_variable_is_understood(mission: Mission, tmp_path: Path) -> None:
    """`cp .env.example .env`: all variables that the document shows reach their settings."""
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text(encoding="utf-8"), encoding="utf-8")
    shown = {line.split("=", 1)[0] for n in (1, 8, 9, 10) for line in mission.lines(n)}
    offered = read_env_file(tmp_path / ".env")
    (tmp_path / "mission.env").write_text(mission.blocks[1], encoding="utf-8")

    settings = load(environ={}, env_file=tmp_path / "mission.env")

    assert shown <= set(offered)
    assert settings.forward.elasticsearch_url == "http://localhost:9200"
    assert settings.forward.elasticsearch_username == "elastic"
    assert settings.forward.elasticsearch_password == "changeme"
    assert settings.dashboards.prometheus_url == "http://localhost:9090"
    assert settings.dashboards.grafana_url == "http://localhost:3000"
    assert (settings.dashboards.grafana_user, settings.dashboards.grafana_password) == ("admin", "admin")
    assert settings.errors.dsn == "https://your-sentry-dsn@sentry.io/project-id"
    assert settings.alerts.slack_webhook_url == "https://hooks.slack.com/services/YOUR/WEBHOOK/URL"
    assert (settings.alerts.smtp_server, settings.alerts.smtp_port) == ("smtp.gmail.com", 587)
    assert settings.alerts.smtp_username == "your-email@gmail.com"
    assert settings.alerts.smtp_password == "your-app-password"
    assert settings.alerts.email_to == "admin@example.com"


@covers(2)
@pytest.mark.feature("O2")
def test_one_command_stands_in_for_docker_compose(place: Place) -> None:
    """Instead of `docker-compose up`: Elasticsearch, Prometheus and the pages answer on their ports."""
    assert httpx.get("http://localhost:9200/").json()["tagline"] == "You Know, for Search"
    assert httpx.get("http://localhost:9090/api/v1/status/buildinfo").json()["status"] == "success"
    assert httpx.get("http://localhost:3000/").status_code == 200


@covers(3)
@pytest.mark.feature("C3")
def test_the_backend_runs_under_uvicorn_and_is_logged_and_measured(place: Place, traffic: float) -> None:
    """The document's FastAPI service: request ids go in and out, the six metrics are exposed."""
    answer = httpx.get("http://127.0.0.1:8000/api/chat", headers={"X-Request-ID": "walk-1"})
    text = httpx.get("http://127.0.0.1:8000/metrics/").text

    assert answer.headers["x-request-id"] == "walk-1"
    for name in (
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "http_requests_errors_total",
        "system_cpu_usage_percent",
        "system_memory_usage_percent",
        "system_disk_usage_percent",
    ):
        assert name in text
    assert 'path="/api/image/{name}"' in text


@covers(5)
@pytest.mark.feature("L2")
def test_elasticsearch_is_reached_and_searched(mission: Mission, place: Place, traffic: float) -> None:
    """The document's curl lines, word for word: the list of indices and a full-text search."""
    indices, search = mission.lines(5)
    place.python("mamimon.get_logger('w').error('an error on purpose')")

    def listed() -> str:
        text = place.run(indices.replace("curl ", "curl -sS --fail ", 1))
        return text if "logs-mami-ai-" in text else ""

    text = wait_until(listed, 60, "the index of today")
    assert re.search(r"health\s+status\s+index", text.splitlines()[0])
    assert wait_until(lambda: _hits(place, search), 60, "lines with the word error")


@covers(6)
@pytest.mark.feature("M4")
def test_prometheus_is_reached_and_queried(mission: Mission, place: Place, traffic: float) -> None:
    """The document's two Prometheus addresses: the page, and `http_requests_total` by the API."""
    page, api = mission.lines(6)

    assert httpx.get(page, follow_redirects=True, headers={"Accept": "text/html"}).status_code == 200
    body = httpx.get(api).json()
    assert body["data"]["resultType"] == "vector"
    assert {"mami-ai"} <= {one["metric"]["job"] for one in body["data"]["result"]}


@pytest.mark.feature("M3")
def test_the_usual_queries_work_on_scraped_data(place: Place, traffic: float) -> None:
    """rate, sum by, histogram_quantile and comparison over what was scraped from the service."""
    by_path = 'sum by (path) (rate(http_requests_total{job="mami-ai"}[5m]))'
    wanted = {"/api/chat", "/api/image/{name}"}
    # A rate needs two scrapes after the path's first request.
    wait_until(lambda: wanted <= {one["metric"]["path"] for one in query(by_path)}, 60, "both paths' rates")
    buckets = 'sum by (le) (rate(http_request_duration_seconds_bucket{job="mami-ai"}[5m]))'
    p95 = query(f"histogram_quantile(0.95, {buckets})")
    down = query("up == 0")

    assert 0 < float(p95[0]["value"][1]) < 5
    assert [one["metric"]["job"] for one in down] == ["gone"]


@covers(7, 21)
@pytest.mark.feature("D1")
def test_the_pages_answer_where_grafana_was(mission: Mission, place: Place, traffic: float) -> None:
    """http://localhost:3000 has the four dashboards, and none of them is empty."""
    (address,) = mission.lines(7)
    page = httpx.get(f"{address}/dashboards", headers={"Accept": "text/html"}).text

    for title in ("API Performance", "Error Rate", "System Metrics", "Top Errors"):
        assert title in page


@covers(11, 25)
@pytest.mark.feature("C1")
def test_the_logger_snippets_ship_what_they_log(mission: Mission, place: Place, traffic: float) -> None:
    """get_logger, extra=, exc_info and mask_sensitive_data as the document writes them."""
    place.python(mission.blocks[11])
    place.python("from app.core.logger import get_logger\nlogger = get_logger('mask')\n" + mission.blocks[25])
    search = 'curl -G "localhost:9200/logs-mami-ai-*/_search?size=100" --data-urlencode '

    plain = wait_until(lambda: _hits(place, f"{search}'q=message:başladı'"), 60, "the plain line")
    structured = wait_until(
        lambda: _hits(place, f"{search}'q=request_id:123 AND method:GET AND message:alındı'"), 15, "extra="
    )
    masked = wait_until(lambda: _hits(place, f"{search}'q=logger:mask'"), 60, "the masked line")
    assert plain[0]["message"] == "İşlem başladı"
    assert any(one["path"] == "/api/chat" for one in structured)
    assert "sk_live_123456" not in json.dumps(masked)
    assert masked[0]["message"].startswith("API key: ")


@covers(13, 17)
@pytest.mark.feature("U1")
def test_the_analytics_snippets_are_counted_without_the_person(mission: Mission, place: Place) -> None:
    """track_event as the document calls it is counted on the page; `user123` is nowhere on the disk."""
    place.python(mission.blocks[13])
    place.python(mission.blocks[17])

    def shown() -> bool:
        page = httpx.get("http://localhost:7007/events", headers={"Accept": "text/html"}).text
        return "message_sent" in page and "chat_start" in page

    wait_until(shown, 60, "both events on the page")
    kept = [p for p in (place.folder / "mamimon-data").rglob("*") if p.is_file()]
    assert not [p for p in kept if b"user123" in p.read_bytes()]


@covers(15)
@pytest.mark.feature("L3")
def test_logs_are_listed_filtered_and_followed_by_request(
    mission: Mission, place: Place, traffic: float
) -> None:
    """`?size=100`, `?q=level:ERROR` and `?q=request_id:123`, word for word."""
    all_, errors, request = mission.lines(15)

    assert len(wait_until(lambda: _hits(place, all_), 15, "lines")) > 20
    found = wait_until(lambda: _hits(place, errors), 60, "error lines")
    assert {one["level"] for one in found} == {"ERROR"}
    one_request = wait_until(lambda: _hits(place, request), 60, "the request's lines")
    assert {str(one["request_id"]) for one in one_request} == {"123"}


@covers(16)
@pytest.mark.feature("A1")
def test_the_alert_rules_are_read_unchanged(mission: Mission, place: Place) -> None:
    """The document's alert_rules.yml is the shipped example and is loaded; five rules are built in."""
    shipped = (ROOT / "examples" / "alert_rules.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(shipped) == yaml.safe_load(mission.blocks[16])

    groups = httpx.get("http://localhost:9090/api/v1/rules").json()["data"]["groups"]
    ours = next(group for group in groups if group["name"] == "mami_alerts")
    assert ours["rules"][0]["query"] == "rate(http_requests_errors_total[5m]) > 0.05"
    assert ours["rules"][0]["duration"] == 300
    assert ours["rules"][0]["annotations"] == {"summary": "Yüksek error rate"}
    builtin = [rule for group in groups if "builtin" in group["file"] for rule in group["rules"]]
    assert len([rule for rule in builtin if rule["type"] == "alerting"]) >= 5
    assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]


@covers(19)
@pytest.mark.feature("L2")
def test_troubleshooting_elasticsearch(mission: Mission, place: Place) -> None:
    """`curl -X GET "localhost:9200/"` says who answers; docker's lines have become `mamimon doctor`."""
    line = mission.lines(19)[0]

    assert json.loads(place.run(line.replace("curl ", "curl -sS --fail ", 1)))["version"]["number"]


@covers(20)
@pytest.mark.feature("M8")
def test_troubleshooting_scrapes(mission: Mission, place: Place, traffic: float) -> None:
    """http://localhost:9090/targets shows which target is down and why."""
    (address,) = mission.lines(20)

    page = httpx.get(address, headers={"Accept": "text/html"}).text

    assert "127.0.0.1:9" in page
    assert re.search(r"refused|connect", page, re.IGNORECASE)
    assert urlsplit(address).port == 9090


@covers(22, 23, 24)
@pytest.mark.feature("O4")
def test_troubleshooting_dsn_slack_and_mail(place: Place) -> None:
    """`mamimon doctor` names each variable of .env that is wrong, and what to do."""
    found = place.doctor()

    assert found.returncode == 1
    for name in ("VITE_SENTRY_DSN", "SLACK_WEBHOOK_URL", "SMTP_SERVER"):
        assert name in found.stdout
    assert "your-app-password" not in found.stdout + found.stderr


def test_every_block_of_the_document_is_covered(mission: Mission) -> None:
    """No fenced block of the document is without a test that runs it."""
    from tests.walkthrough import test_browser  # its marks are made on import

    assert set(range(len(mission.blocks))) == COVERED | test_browser.COVERED
