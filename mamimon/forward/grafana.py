"""Grafana in front of mamimon: data sources and dashboards, as provisioning files or through its API."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mamimon.forward.grafana_dashboards import (
    ALERTMANAGER_UID,
    ELASTICSEARCH_UID,
    PROMETHEUS_UID,
    dashboards,
)

FOLDER_UID = "mamimon"


class Addresses(msgspec.Struct, frozen=True):
    """Where Grafana reaches mamimon, and the token it presents there (empty: the server is open)."""

    prometheus: str
    elasticsearch: str
    alertmanager: str
    token: str = ""

    @classmethod
    def of(cls, server: str, prometheus: str = "", token: str = "") -> Addresses:
        """All three on mamimon's main port at `server`, Prometheus elsewhere where that is given."""
        server = server.rstrip("/")
        return cls(prometheus or server, f"{server}/es", f"{server}/alertmanager", token)


class GrafanaError(Exception):
    """Grafana refused something; the message has its answer."""


def data_sources(addresses: Addresses) -> list[dict[str, Any]]:
    """The three data sources, in the form of both a provisioning file and the API."""
    rows: list[tuple[str, str, str, str, dict[str, Any]]] = [
        (
            "mamimon Prometheus",
            "prometheus",
            PROMETHEUS_UID,
            addresses.prometheus,
            {
                "httpMethod": "POST",
                "timeInterval": "15s",
                "prometheusType": "Prometheus",
                "manageAlerts": False,
                "alertmanagerUid": ALERTMANAGER_UID,
            },
        ),
        (
            "mamimon Elasticsearch",
            "elasticsearch",
            ELASTICSEARCH_UID,
            addresses.elasticsearch,
            {
                "index": "logs-*",
                "timeField": "@timestamp",
                "logMessageField": "message",
                "logLevelField": "level",
                "maxConcurrentShardRequests": 5,
            },
        ),
        (
            "mamimon Alertmanager",
            "alertmanager",
            ALERTMANAGER_UID,
            addresses.alertmanager,
            {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
        ),
    ]
    found = []
    for name, kind, uid, url, options in rows:
        source: dict[str, Any] = {
            "name": name,
            "type": kind,
            "uid": uid,
            "access": "proxy",
            "url": url,
            "isDefault": kind == "prometheus",
            "jsonData": options,
        }
        if kind == "elasticsearch":
            # Grafana before 10 reads the index from here.
            source["database"] = options["index"]
        if addresses.token:
            options["httpHeaderName1"] = "Authorization"
            source["secureJsonData"] = {"httpHeaderValue1": f"Bearer {addresses.token}"}
        found.append(source)
    return found


def write_files(output: Path, addresses: Addresses, dashboards_path: str = "") -> list[Path]:
    """Write Grafana's provisioning folder; returns the files.

    `dashboards_path` is where Grafana will see the dashboard files, where that is not `output`.
    Files are 0600 while they hold a token.
    """
    folder = output / "dashboards" / "mamimon"
    provider = {
        "name": "mamimon",
        "folder": "mamimon",
        "folderUid": FOLDER_UID,
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": True,
        "updateIntervalSeconds": 30,
        "options": {"path": dashboards_path or str(folder.resolve())},
    }
    texts = {
        output / "datasources" / "mamimon.yaml": _yaml({"datasources": data_sources(addresses)}),
        output / "dashboards" / "mamimon.yaml": _yaml({"providers": [provider]}),
    }
    for dashboard in dashboards():
        name = f"{dashboard['uid'].removeprefix('mamimon-')}.json"
        texts[folder / name] = json.dumps(dashboard, indent=2) + "\n"
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        mode = 0o600 if addresses.token and path.parent.name == "datasources" else 0o644
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return list(texts)


def push(url: str, user: str, password: str, addresses: Addresses) -> list[str]:
    """Create or update everything through Grafana's HTTP API; returns what was done, a line each.

    Raises `GrafanaError` where that is no Grafana or it refuses.
    """
    import httpx

    done: list[str] = []
    auth = (user, password) if user else None
    with httpx.Client(base_url=url.rstrip("/"), auth=auth, timeout=20, trust_env=False) as client:
        try:
            health = client.get("/api/health")
            if health.status_code != 200 or "database" not in _object(health):
                raise GrafanaError(f"{url} is not Grafana (its /api/health says {health.status_code})")
            for source in data_sources(addresses):
                known = client.get(f"/api/datasources/uid/{source['uid']}").status_code == 200
                if known:
                    _check(client.put(f"/api/datasources/uid/{source['uid']}", json=source))
                else:
                    _check(client.post("/api/datasources", json=source))
                done.append(f"{'updated' if known else 'created'} data source {source['name']}")
            if client.get(f"/api/folders/{FOLDER_UID}").status_code != 200:
                _check(client.post("/api/folders", json={"uid": FOLDER_UID, "title": "mamimon"}))
                done.append("created folder mamimon")
            for dashboard in dashboards():
                body = {"dashboard": dashboard, "folderUid": FOLDER_UID, "overwrite": True}
                _check(client.post("/api/dashboards/db", json=body))
                done.append(f"saved dashboard {dashboard['title']}")
        except httpx.HTTPError as error:
            raise GrafanaError(f"{url} cannot be reached: {error}") from None
    return done


def _object(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _check(answer: Any) -> None:
    if answer.status_code >= 300:
        reason = _object(answer).get("message") or answer.text[:200]
        raise GrafanaError(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {reason}"
        )


def _yaml(body: dict[str, Any]) -> str:
    return "# Written by `mamimon grafana provision`.\n" + yaml.safe_dump(
        {"apiVersion": 1, **body}, sort_keys=False
    )
