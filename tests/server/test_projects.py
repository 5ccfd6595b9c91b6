"""Several projects on one server: real clients into two, and nothing of one seen through the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest
from elasticsearch import Elasticsearch, helpers
from litestar.handlers import HTTPRouteHandler
from prometheus_api_client import PrometheusConnect

from mamimon.config import ConfigError, Settings
from mamimon.server.project_settings import project_settings
from tests.conftest import ROOT, settled, wait_until
from tests.errors.packages import python
from tests.errors.test_clients import SDK_2, run
from tests.metrics.test_remote_write import request

pytestmark = pytest.mark.feature("S2")
ADA = ("Ada", "correct horse")
# What only the data of the one and of the other project say.
FIRST, SHOP = "apfelmond", "birnstern"
RULES = """
groups:
  - name: own
    interval: 5s
    rules:
      - alert: WORD_rule
        expr: vector(1)
"""


@pytest.fixture
def town(server: Any) -> Any:
    """A closed server with the project "shop" beside the first."""
    body = {"name": ADA[0], "role": "admin", "password": ADA[1]}
    assert server.client.post("/api/mamimon/users", json=body).status_code == 201
    made = server.client.post("/api/mamimon/projects", json={"slug": "shop", "name": "Shop"}, auth=ADA)
    assert made.status_code == 201, made.text
    return server


class Door:
    """One project, spoken to by an administrator or by its token, and the word that its data say."""

    def __init__(self, town: Any, prefix: str, word: str) -> None:
        self.prefix = prefix
        self.word = word
        self.clock = town.server.clock
        self.url = town.url + prefix
        body = {"name": "programs", "scope": "write"}
        made = town.client.post(f"{prefix}/api/mamimon/tokens", json=body, auth=ADA)
        self.token = {"Authorization": f"Bearer {made.json()['token']}"}
        self.client = httpx.Client(base_url=self.url, auth=ADA, timeout=60)

    def elasticsearch(self) -> Elasticsearch:
        """elasticsearch-py as people make it."""
        return Elasticsearch(f"{self.url}/es", headers=self.token, request_timeout=60)

    def fill(self, folder: Path) -> None:
        """Send every signal by real clients and doors."""
        word, now = self.word, self.clock.now()
        with self.elasticsearch() as es:
            line = {
                "@timestamp": int(now * 1000),
                "level": "ERROR",
                "service": word,
                "message": f"{word} broke",
            }
            assert helpers.bulk(es, [{"_op_type": "create", "_index": f"logs-{word}", **line}])[0] == 1
        samples = request(({"__name__": f"{word}_total", "job": word}, [(int(now * 1000), 7.0)]))
        packed = bytes(cramjam.snappy.compress_raw(samples.SerializeToString()))
        kind = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        self._sent("/api/v1/write", content=packed, headers={**self.token, **kind})
        dsn = self.client.get("/api/mamimon/errors/dsn").json()["dsn"]
        code = f"sentry_sdk.init({dsn!r})\nsentry_sdk.capture_message({word!r})\nsentry_sdk.flush()"
        run(python(*SDK_2), folder, f"import sentry_sdk\n{code}")
        event = {"event": word, "distinct_id": "u1", "properties": {"plan": word}}
        # The event door carries no token: the address alone says whose it is.
        answer = httpx.post(f"{self.url}/batch/", json={"batch": [event]}, timeout=60)
        assert answer.json()["accepted"] == 1, answer.text
        self._sent("/alertmanager/api/v2/alerts", json=[{"labels": {"alertname": word}}])
        self._sent("/api/mamimon/heartbeats", json={"name": word})
        self._sent("/api/mamimon/deploys", json={"version": word})
        self._sent("/v1/logs", json=_otlp(word, now))
        board = {"title": word, "panels": []}
        put = httpx.put(
            f"{self.url}/api/mamimon/dashboards/{word}", json=board, headers=self.token, timeout=60
        )
        assert put.status_code == 200, put.text

    def _sent(self, path: str, **what: Any) -> None:
        answer = httpx.post(self.url + path, **{"headers": self.token, **what}, timeout=60)
        assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"

    def seen(self) -> dict[str, str]:
        """What answers say of each signal."""
        get = self.client.get
        with self.elasticsearch() as es:
            lines = str(es.search(index="*", size=100)["hits"]["hits"])
        prometheus = PrometheusConnect(url=self.url, headers=self.token)
        names = " ".join([*prometheus.all_metrics(), *prometheus.get_label_values("job")])
        return {
            "logs": lines,
            "metrics": names,
            "issues": get("/api/mamimon/errors/issues").text,
            "events": get("/api/mamimon/events/summary?since=7d").text,
            "alerts": get("/alertmanager/api/v2/alerts").text,
            "checks": get("/api/mamimon/heartbeats").text,
            "deploys": get("/api/mamimon/deploys").text,
            "dashboards": get("/api/mamimon/dashboards").text,
        }


def _otlp(word: str, now: float) -> dict[str, Any]:
    record = {"timeUnixNano": str(int(now * 1e9)), "body": {"stringValue": f"{word} by otlp"}}
    service = {"key": "service.name", "value": {"stringValue": word}}
    return {
        "resourceLogs": [
            {"resource": {"attributes": [service]}, "scopeLogs": [{"logRecords": [record]}]},
        ]
    }


def _pages(house: Any) -> Iterator[str]:
    """Every address that is read without naming a thing."""
    for handler in house.handlers():
        if isinstance(handler, HTTPRouteHandler) and "GET" in handler.http_methods:
            yield from (path for path in handler.paths if "{" not in path)


def test_no_bit_of_one_project_is_seen_through_the_other(town: Any, tmp_path: Path) -> None:
    """elasticsearch-py, remote write, OTLP, sentry-sdk, events, alerts: each finds its own and no other's."""
    first, shop = Door(town, "", FIRST), Door(town, "/p/shop", SHOP)
    for door in (first, shop):
        folder = tmp_path / door.word
        folder.mkdir()
        door.fill(folder)
    town.server.clock.advance(1)
    houses = list(town.server.houses.open_houses())
    assert len(houses) == 2

    for door, foreign, house in ((first, SHOP, houses[0]), (shop, FIRST, houses[1])):
        for signal, text in wait_until(lambda door=door: _all_there(door), 120.0, "every signal").items():
            assert door.word in text, f"{signal} of {door.word}"
            assert foreign not in text, f"{signal} of {door.word} shows {foreign}"
        for path in sorted(set(_pages(house)) - {"/logs/tail", "/overview/stream", "/logout"}):
            with door.client.stream("GET", path, headers={"Accept": "text/html"}) as answer:
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    continue
                text = answer.read().decode("utf-8", "replace")
                # Prometheus' search API is off, as there, and says so by 500.
                assert answer.status_code < 500 or "disabled" in text, door.prefix + path
                assert foreign not in text, door.prefix + path
    # An id of the one is none in the other.
    beat = shop.client.get("/api/mamimon/heartbeats").json()[0]["id"]
    assert httpx.get(f"{town.url}/p/shop/ping/{beat}").status_code == 200
    assert httpx.get(f"{town.url}/ping/{beat}").status_code == 404
    # On the disk: the folder of one has no word of the other.
    for path in town.data_dir.rglob("*"):
        if path.is_file():
            inside = path.is_relative_to(town.data_dir / "projects")
            assert (FIRST if inside else SHOP).encode() not in path.read_bytes(), path


def _all_there(door: Door) -> dict[str, str] | None:
    found = door.seen()
    return found if all(door.word in text for text in found.values()) else None


def test_pages_stay_in_their_project(town: Any) -> None:
    """Every address on a further project's page is below its prefix, or the server's own."""
    shop = Door(town, "/p/shop", SHOP)
    for path in (
        "/",
        "/logs",
        "/graph",
        "/alerts",
        "/errors",
        "/checks",
        "/dashboards/api-performance",
        "/settings",
    ):
        page = shop.client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200, path
        assert '<html lang="en" data-root="/p/shop">' in page.text
        addresses = re.findall(r'\s(?:href|src|action|hx-get|sse-connect|data-src)="(/[^"]*)', page.text)
        astray = [a for a in addresses if not re.match(r"/(p/shop/|static/|account|logout|language/|p/)", a)]
        assert not astray, path
        assert any(a.startswith("/p/shop/") for a in addresses), path
    made = shop.client.post("/checks/heartbeats", data={"name": "nightly", "every": "3600", "grace": "60"})
    assert (made.status_code, made.headers["location"].partition("#")[0]) == (303, "/p/shop/checks")


def test_every_live_project_works_after_a_restart(start: Callable[..., Any], clock: Any) -> None:
    """Rules of a project's own folder fire after a restart that nobody visits; an archived one rests."""
    one = start()
    for slug in ("shop", "old"):
        assert one.client.post("/api/mamimon/projects", json={"slug": slug}).status_code == 201
        rules = one.data_dir / "projects" / slug / "rules"
        rules.mkdir()
        (rules / "own.yml").write_text(RULES.replace("WORD", SHOP))
    assert one.client.post("/api/mamimon/projects/old/archive").status_code == 200
    assert one.client.get("/p/old/healthz").status_code == 404
    one.stop()

    again = start()
    shop = wait_until(
        lambda: next(iter(list(again.server.houses.open_houses())[1:]), None), 60.0, "the house"
    )

    def fires() -> bool:
        settled(clock)
        clock.advance(5)
        return any(rule.name == f"{SHOP}_rule" for rule, _, _ in _alerts(shop).service.engine.firing())

    wait_until(fires, 120.0, "the project's own rule")
    assert len(list(again.server.houses.open_houses())) == 2
    assert SHOP not in again.client.get("/alerts").text
    assert SHOP in again.client.get("/p/shop/alerts").text
    assert again.client.post("/api/mamimon/projects/old/return").status_code == 200
    assert again.client.get("/p/old/alerts").status_code == 200


def _alerts(house: Any) -> Any:
    return next(room for room in house.rooms if room.name == "alerts")


def test_what_mamimon_says_of_a_project_is_in_its_own_lines(start: Callable[..., Any], clock: Any) -> None:
    """A check of the one that fails is a log line there and none in the other."""
    one = start()
    assert one.client.post("/api/mamimon/projects", json={"slug": "shop"}).status_code == 201
    for prefix, word in (("", FIRST), ("/p/shop", SHOP)):
        body = {"name": word, "period_s": 60, "grace_s": 60}
        made = one.client.post(f"{prefix}/api/mamimon/heartbeats", json=body)
        assert one.client.get(made.json()["ping_url"]).status_code == 200

    def lines(prefix: str) -> str:
        settled(clock)
        clock.advance(60)
        found = one.client.post(f"{prefix}/es/_search", json={"size": 1000}).json()["hits"]["hits"]
        return str([hit["_source"]["message"] for hit in found])

    assert "down" in wait_until(lambda: _with(f"check {SHOP}", lines("/p/shop")), 120.0, "the shop's line")
    assert "down" in wait_until(lambda: _with(f"check {FIRST}", lines("")), 120.0, "the first one's line")
    assert SHOP not in lines("")
    assert FIRST not in lines("/p/shop")


def _with(words: str, text: str) -> str:
    return text if words in text and "down" in text else ""


def test_drop_in_ports_lead_into_projects(start: Callable[..., Any]) -> None:
    """`/p/<slug>` stands before what a port shows as its root."""
    ports = "es=0,prometheus=0,alertmanager=0,ui=0,loki=0,otlp=0"
    one = start(server={"drop_in": True, "drop_in_ports": ports})
    assert one.client.post("/api/mamimon/projects", json={"slug": "shop"}).status_code == 201
    port = one.server.ports()["es"]
    with Elasticsearch(f"http://127.0.0.1:{port}/p/shop", request_timeout=60) as es:
        es.index(index="logs-a", document={"message": SHOP})
    assert one.client.get("/p/shop/es/_count").json()["count"] == 1
    assert httpx.get(f"http://127.0.0.1:{port}/_count", timeout=60).json()["count"] == 0
    port = one.server.ports()["alertmanager"]
    assert httpx.get(f"http://127.0.0.1:{port}/p/shop/api/v2/status", timeout=60).status_code == 200


def test_a_project_that_is_deleted_is_gone(town: Any) -> None:
    """Only with its name typed; then its folder, tokens and roles are gone and the name is free again."""
    shop = Door(town, "/p/shop", SHOP)
    with shop.elasticsearch() as es:
        es.index(index="logs-a", document={"message": SHOP})
    folder = town.data_dir / "projects" / "shop"
    assert folder.is_dir()
    wrong = town.client.delete("/api/mamimon/projects/shop?confirm=shops", auth=ADA)
    assert (wrong.status_code, folder.is_dir()) == (400, True)
    assert town.client.delete("/api/mamimon/projects/default?confirm=default", auth=ADA).status_code == 409

    assert town.client.delete("/api/mamimon/projects/shop?confirm=shop", auth=ADA).status_code == 204

    assert not folder.exists()
    assert town.client.get("/p/shop/es/_count", auth=ADA).status_code == 404
    assert town.client.get("/es/_count", headers=shop.token).status_code == 401
    assert town.client.post("/api/mamimon/projects", json={"slug": "shop"}, auth=ADA).status_code == 201
    assert town.client.get("/p/shop/es/_count", auth=ADA).json()["count"] == 0
    audit = town.client.get("/api/mamimon/settings/audit", auth=ADA).json()
    assert [one["action"] for one in audit[:3]] == ["project.add", "project.delete", "project.archive"]


def test_a_project_that_cannot_be_opened_leaves_the_others_alone(start: Callable[..., Any]) -> None:
    """A broken file of one project's folder is named in its answers; the first project works."""
    one = start()
    assert one.client.post("/api/mamimon/projects", json={"slug": "shop"}).status_code == 201
    one.stop()
    (one.data_dir / "projects" / "shop" / "mamimon.toml").write_text("[server]\nport = 1\n")

    again = start()

    answer = again.client.get("/p/shop/logs")
    assert answer.status_code == 503
    assert "belongs into the server's own" in answer.json()["error"]
    assert again.client.get("/logs").status_code == 200


def test_settings_of_a_project_lead_to_nobody_elses_receivers(tmp_path: Path) -> None:
    """Limits come from the server; receivers, targets, listeners and forwarding do not."""
    server = Settings()
    server.logs.retention_days = 7
    server.alerts.email_to = "first@example.com"
    server.alerts.smtp_server = "mail.example.com"
    server.alerts.slack_webhook_url = "https://hooks.example.com/x"
    server.forward.elasticsearch_url = "https://es.example.com"
    server.metrics.prometheus_config = "prometheus.yml"
    server.syslog.udp = "5514"
    server.retention.backup_dir = str(tmp_path / "backups")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    (folder / "mamimon.toml").write_text('[alerts]\nemail_to = "shop@example.com"\n[logs]\nblock_rows = 64\n')

    made = project_settings(server, folder)

    assert (made.logs.retention_days, made.logs.block_rows) == (7, 64)
    assert (made.alerts.email_to, made.alerts.smtp_server) == ("shop@example.com", "mail.example.com")
    assert made.metrics.prometheus_config == str(folder / "prometheus.yml")
    assert made.retention.backup_dir == str(tmp_path / "backups" / "projects" / "shop")
    closed = (made.alerts.slack_webhook_url, made.forward.elasticsearch_url, made.syslog.udp)
    assert closed == ("", "", "")
    assert not (made.metrics.scrape_self or made.health.host_checks)
    (folder / "mamimon.toml").write_text('[accounts]\noidc_issuer = "https://id.example.com"\n')
    with pytest.raises(ConfigError, match=r"\[accounts\] belongs"):
        project_settings(server, folder)


def test_no_page_or_script_can_lead_out_of_its_project() -> None:
    """Addresses stand in attributes that get the prefix, and scripts put `root` before theirs."""
    moved = {"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"}
    moved |= {"sse-connect", "data-src", "data-live", "data-complete", "data-copy-from"}
    used = set()
    for path in (ROOT / "web" / "templates").rglob("*.html"):
        used |= set(re.findall(r"""\s([a-z-]+)=["']/""", path.read_text(encoding="utf-8")))
    astray = [
        (path.name, line.strip())
        for path in (ROOT / "web" / "static").glob("*.js")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"""["'`]/(?!account|login|static)[a-z]{3,}""", line)
        and "root + " not in line
        and "${root}/" not in line
        and not line.lstrip().startswith(("//", "const go ="))
    ]

    assert used <= moved
    assert not astray
