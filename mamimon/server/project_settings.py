"""The settings of a further project: the server's limits, and nothing that leads to the first project.

Addresses of receivers, targets, checks, listeners and forwarding are the first project's own; another one
has them in its folder: `mamimon.toml`, `prometheus.yml`, `alertmanager.yml`, `rules/*.yml`, `dashboards/`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from mamimon.config import ConfigError, Settings, load, table

# The server's, whatever a project's file says.
_SERVER = {"server", "storage", "accounts"}
# What a project takes from the server unless its file says otherwise: limits and times, and how mail is sent.
_SHARED = {
    "logs": None,
    "events": None,
    "metrics": None,
    "errors": None,
    "retention": None,
    "alerts": {
        "builtin_rules",
        "unacknowledged_timeout_s",
        "repeat_limit",
        "smtp_server",
        "smtp_port",
        "smtp_username",
        "smtp_password",
        "smtp_from",
        "smtp_security",
    },
    "health": {"interval_s", "timeout_s"},
}
_OWN = {
    ("metrics", "prometheus_config"),
    ("metrics", "scrape_self"),
    ("metrics", "statsd"),
    ("errors", "dsn"),
    ("errors", "sourcemap_folder"),
    ("retention", "backup_dir"),
}


def project_settings(server: Settings, folder: Path) -> Settings:
    """The settings of the project in `folder`; raises `ConfigError` for a file that cannot be used."""
    path = folder / "mamimon.toml"
    said: set[tuple[str, str]] = set()
    made = Settings()
    if path.is_file():
        made = load(path, environ={})
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        said = {(section, key) for section, values in raw.items() for key in values}
        if foreign := sorted(_SERVER & set(raw)):
            raise ConfigError(f"{path}: [{foreign[0]}] belongs into the server's own mamimon.toml")
    for row in table():
        place = (row.section, row.key)
        if row.section in _SERVER or (place not in said and _is_shared(*place)):
            value = getattr(getattr(server, row.section), row.key)
            # A copy: lists must not be shared between two projects.
            value = msgspec.convert(msgspec.to_builtins(value), row.type)
            setattr(getattr(made, row.section), row.key, value)
    if ("metrics", "scrape_self") not in said:
        made.metrics.scrape_self = False
    if ("health", "host_checks") not in said:
        made.health.host_checks = False
    if server.retention.backup_dir and ("retention", "backup_dir") not in said:
        made.retention.backup_dir = str(Path(server.retention.backup_dir) / "projects" / folder.name)
    _files_beside(made, folder)
    return made


def _is_shared(section: str, key: str) -> bool:
    keys = _SHARED.get(section, set())
    return (section, key) not in _OWN and (keys is None or key in keys)


def _files_beside(made: Settings, folder: Path) -> None:
    """The usual files are found without naming them."""
    if not made.metrics.prometheus_config and (folder / "prometheus.yml").is_file():
        made.metrics.prometheus_config = str(folder / "prometheus.yml")
    if not made.alerts.alertmanager_config and (folder / "alertmanager.yml").is_file():
        made.alerts.alertmanager_config = str(folder / "alertmanager.yml")
    if not made.alerts.rule_files:
        made.alerts.rule_files = [str(folder / "rules" / "*.yml")]
    if not made.dashboards.folder and (folder / "dashboards").is_dir():
        made.dashboards.folder = str(folder / "dashboards")
