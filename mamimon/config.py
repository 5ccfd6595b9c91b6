"""Every setting: its name, type, default, unit, limits and meaning, in one table.

The table is the `Settings` struct itself: the file reader, the environment, the flags,
`mamimon config show` and the reference page all walk it. Precedence: file < `.env` <
environment < flag. Names carry their unit (`_s` seconds, `_bytes`, `_days`).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from mamimon.config_accounts import AccountSettings
from mamimon.config_checks import CheckSettings
from mamimon.config_forward import ForwardSettings
from mamimon.config_lines import line_of, place_in_table, read_env_file, table_lines
from mamimon.config_listeners import GelfSettings, SyslogSettings
from mamimon.config_meta import number, text

MIB = 1024 * 1024


class ConfigError(Exception):
    """A setting cannot be used; `str()` names the file, line and what to do."""


class ServerSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Listeners and limits of the process."""

    host: Annotated[str, text("Address to listen on; anything but loopback needs an account.")] = "127.0.0.1"
    port: Annotated[int, number("Main port; 0 picks a free one.", 0, 65535)] = 7007
    data_dir: Annotated[str, text("Data directory; empty picks ./mamimon-data or the platform's.")] = ""
    public_url: Annotated[str, text("URL that people reach the pages by; used in links of messages.")] = ""
    allowed_hosts: Annotated[list[str], text("Extra Host header values to accept besides own names.")] = []
    drop_in: Annotated[bool, text("Also listen on the ports of Elasticsearch, Prometheus and friends.")] = (
        False
    )
    drop_in_ports: Annotated[
        str,
        text("Ports of --drop-in: es=9200,prometheus=9090,alertmanager=9093,ui=3000,loki=3100,otlp=4318."),
    ] = ""
    max_body_bytes: Annotated[int, number("Largest request body accepted, as sent.", 1024)] = 64 * MIB
    max_decompressed_bytes: Annotated[int, number("Largest request body after decompression.", 1024)] = (
        256 * MIB
    )
    body_deadline_s: Annotated[float, number("Seconds a client has to send a whole body.", 1)] = 60.0
    stop_grace_s: Annotated[float, number("Seconds given to open requests when stopping.", 0, 60)] = 5.0
    self_log: Annotated[bool, text("Store mamimon's own log lines in the log store.")] = True
    locale: Annotated[str, text("Language of pages: auto (by browser), en or tr.")] = "auto"


class StorageSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """SQLite files and the disk they live on."""

    readers: Annotated[int, number("Reading connections a hot database file.", 1, 32)] = 3
    busy_timeout_s: Annotated[float, number("Seconds SQLite waits for a lock.", 0.1, 60)] = 5.0
    min_free_bytes: Annotated[int, number("Below this free disk space writes are refused.", 0)] = 128 * MIB
    ballast_bytes: Annotated[int, number("Reserve file removed when the disk is full.", 0)] = 16 * MIB


class LogSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The log store and its doors."""

    retention_days: Annotated[int, number("Days a log line is kept.", 1)] = 90
    default_dataset: Annotated[str, text("Dataset of lines that name none.")] = "default"
    block_rows: Annotated[int, number("Rows a compressed block.", 16, 8192)] = 256
    queue_rows: Annotated[int, number("Rows that may wait for the writer before 429.", 100)] = 200_000
    max_line_bytes: Annotated[int, number("Largest record; a larger one is refused alone.", 256)] = MIB
    future_limit_s: Annotated[int, number("Records further ahead than this are refused.", 60)] = 86_400
    query_timeout_s: Annotated[float, number("Seconds a search may take.", 0.1, 600)] = 10.0
    query_max_rows: Annotated[int, number("Most rows one search returns.", 1)] = 10_000
    mask: Annotated[bool, text("Mask secrets in records at the door.")] = True


class MetricSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Scraping, the series store and PromQL."""

    prometheus_config: Annotated[str, text("Path of a prometheus.yml to read targets and rules from.")] = ""
    retention_days: Annotated[int, number("Days full-resolution samples are kept.", 1)] = 30
    retention_5m_days: Annotated[
        int, number("Days samples are kept at 5 minutes; 0 makes no such history.", 0)
    ] = 180
    retention_1h_days: Annotated[
        int, number("Days samples are kept at an hour; 0 makes no such history.", 0)
    ] = 1825
    scrape_interval_s: Annotated[float, number("Default seconds between scrapes.", 0.1)] = 15.0
    scrape_timeout_s: Annotated[float, number("Default seconds a scrape may take.", 0.1)] = 10.0
    evaluation_interval_s: Annotated[float, number("Default seconds between rule evaluations.", 0.1)] = 15.0
    lookback_s: Annotated[float, number("How old a sample may be to count as current.", 1)] = 300.0
    max_series_per_target: Annotated[int, number("A target with more is refused whole.", 1)] = 200_000
    max_labels_per_series: Annotated[int, number("A series with more labels is refused.", 1)] = 64
    max_label_bytes: Annotated[int, number("Longest label name or value.", 16)] = 4096
    max_exposition_bytes: Annotated[int, number("Largest exposition read from a target.", 1024)] = 50 * MIB
    query_timeout_s: Annotated[float, number("Seconds a query may take.", 0.1)] = 30.0
    query_max_samples: Annotated[int, number("Samples one query may load.", 1000)] = 50_000_000
    query_max_concurrency: Annotated[
        int, number("Queries evaluated at once; more wait their turn.", 1, 1000)
    ] = 20
    out_of_order_s: Annotated[float, number("How late a pushed sample may be.", 0)] = 1800.0
    head_bytes: Annotated[
        int, number("Memory for open chunks; decoded older samples get half as much.", MIB)
    ] = 128 * MIB
    scrape_self: Annotated[bool, text("Scrape mamimon's own /metrics.")] = True
    statsd: Annotated[str, text("Port or address to take StatsD on by UDP (8125); empty is off.")] = ""
    otlp_convert_deltas: Annotated[bool, text("Sum up OTLP's delta points instead of refusing them.")] = False
    admin_api: Annotated[bool, text("Let admins delete series and take snapshots over HTTP.")] = False
    start_timestamps: Annotated[
        bool, text("Keep when counters began and let rate() use it, as Prometheus' use-start-timestamps.")
    ] = False
    strict_openmetrics: Annotated[
        bool, text("Refuse OpenMetrics bodies that break its rules although Prometheus reads them.")
    ] = False
    reload_check_s: Annotated[float, number("Seconds between looks at prometheus.yml for changes.", 0)] = 5.0
    dns_servers: Annotated[
        list[str], text("DNS servers (host or host:port) of dns_sd_configs; the system's if empty.")
    ] = []


class ErrorSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The Sentry-compatible door."""

    retention_days: Annotated[int, number("Days an error event is kept.", 1)] = 90
    dsn: Annotated[str, text("DSN that applications use; checked by doctor.", mission="VITE_SENTRY_DSN")] = ""
    max_envelope_bytes: Annotated[int, number("Largest envelope after decompression.", 1024)] = 50 * MIB
    max_event_bytes: Annotated[int, number("Largest event item.", 1024)] = MIB
    sourcemap_folder: Annotated[
        str, text("Folder of source maps, by <release>/<path>.map or <path>.map.")
    ] = ""
    sourcemap_bytes: Annotated[int, number("Disk for uploaded source maps; the oldest go.", MIB)] = 2048 * MIB
    events_per_minute: Annotated[int, number("Events a key may send a minute before 429.", 1)] = 60_000
    allowed_origins: Annotated[
        list[str], text("Sites whose pages may send: https://shop.example, *.shop.example; all if empty.")
    ] = []


class EventSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Product events."""

    retention_days: Annotated[int, number("Days an event is kept.", 1)] = 365
    pseudonym_days: Annotated[int, number("Days between pseudonym key rotations.", 1)] = 90
    respect_dnt: Annotated[bool, text("Drop browser events that carry Do-Not-Track or GPC.")] = True


class AlertSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Rules, routing and delivery."""

    alertmanager_config: Annotated[str, text("Path of an alertmanager.yml.")] = ""
    rule_files: Annotated[list[str], text("Rule files besides those of prometheus.yml; globs allowed.")] = []
    builtin_rules: Annotated[bool, text("Evaluate the five built-in rules.")] = True
    unacknowledged_timeout_s: Annotated[
        float, number("Seconds without an acknowledgement before the next person is told.", 1)
    ] = 300.0
    repeat_limit: Annotated[int, number("How often an escalation policy starts over.", 0, 5)] = 2
    slack_webhook_url: Annotated[
        str, text("Slack incoming webhook.", secret=True, mission="SLACK_WEBHOOK_URL")
    ] = ""
    smtp_server: Annotated[str, text("SMTP server for mail.", mission="SMTP_SERVER")] = ""
    smtp_port: Annotated[int, number("SMTP port.", 1, 65535, mission="SMTP_PORT")] = 587
    smtp_username: Annotated[str, text("SMTP user.", mission="SMTP_USERNAME")] = ""
    smtp_password: Annotated[str, text("SMTP password.", secret=True, mission="SMTP_PASSWORD")] = ""
    smtp_from: Annotated[str, text("Sender address; empty takes the SMTP user.")] = ""
    smtp_security: Annotated[str, text("auto, starttls, ssl or none.")] = "auto"
    email_to: Annotated[str, text("Who gets mail; commas separate people.", mission="ALERT_EMAIL_TO")] = ""
    escalate_email_to: Annotated[str, text("Who gets mail when nobody acknowledged.")] = ""
    deadman_url: Annotated[
        str, text("Address asked while all is well here; whoever keeps it misses us.", secret=True)
    ] = ""
    alertmanager_urls: Annotated[
        list[str],
        text(
            "Other Alertmanagers that get the alerts of our rules too, beside those of prometheus.yml.",
            secret=True,
        ),
    ] = []
    deadman_interval_s: Annotated[float, number("Seconds between asking it.", 5)] = 60.0


class HealthSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Checks and heartbeats."""

    checks: Annotated[list[CheckSettings], text("Checks, as [[health.checks]] tables.")] = []
    interval_s: Annotated[float, number("Default seconds between checks.", 1)] = 30.0
    timeout_s: Annotated[float, number("Default seconds a check may take.", 0.1)] = 10.0
    host_checks: Annotated[bool, text("Watch this machine's disk and memory.")] = True
    public_status_page: Annotated[bool, text("Show /status without signing in.")] = False


class DashboardSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Dashboards and Grafana."""

    folder: Annotated[str, text("Folder of dashboard files, read again when they change.")] = ""
    grafana_url: Annotated[str, text("Grafana to provision.", mission="GRAFANA_URL")] = ""
    grafana_user: Annotated[str, text("Grafana user.", mission="GRAFANA_ADMIN_USER")] = ""
    grafana_password: Annotated[
        str, text("Grafana password.", secret=True, mission="GRAFANA_ADMIN_PASSWORD")
    ] = ""
    prometheus_url: Annotated[
        str, text("Prometheus address that Grafana is given.", mission="PROMETHEUS_URL")
    ] = ""


class RetentionSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Nightly clean-up and backup."""

    hour: Annotated[int, number("Hour of the night (local time) of the clean-up.", 0, 23)] = 3
    backup_before_delete: Annotated[bool, text("Back a day up, and verify it, before deleting it.")] = True
    backup_dir: Annotated[str, text("Where backups go; empty is backups/ in the data directory.")] = ""
    backup_recipients: Annotated[list[str], text("age public keys; empty leaves backups unencrypted.")] = []
    backup_keep_days: Annotated[int, number("Days a backup is kept; 0 keeps all.", 0)] = 365


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings by section; a section is a table of `mamimon.toml`."""

    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    storage: StorageSettings = msgspec.field(default_factory=StorageSettings)
    logs: LogSettings = msgspec.field(default_factory=LogSettings)
    syslog: SyslogSettings = msgspec.field(default_factory=SyslogSettings)
    gelf: GelfSettings = msgspec.field(default_factory=GelfSettings)
    metrics: MetricSettings = msgspec.field(default_factory=MetricSettings)
    errors: ErrorSettings = msgspec.field(default_factory=ErrorSettings)
    events: EventSettings = msgspec.field(default_factory=EventSettings)
    alerts: AlertSettings = msgspec.field(default_factory=AlertSettings)
    health: HealthSettings = msgspec.field(default_factory=HealthSettings)
    dashboards: DashboardSettings = msgspec.field(default_factory=DashboardSettings)
    forward: ForwardSettings = msgspec.field(default_factory=ForwardSettings)
    retention: RetentionSettings = msgspec.field(default_factory=RetentionSettings)
    accounts: AccountSettings = msgspec.field(default_factory=AccountSettings)


class Row(msgspec.Struct, frozen=True):
    """One setting of the table: where it is, what it means and what it may be."""

    section: str
    key: str
    type: Any
    default: Any
    about: str
    secret: bool
    mission: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"MAMIMON_{self.section}__{self.key}".upper()


def table() -> Iterator[Row]:
    """Walk every setting in the order of the file."""
    for section in msgspec.structs.fields(Settings):
        kind: Any = section.default_factory
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            plain, *metas = get_args(hints[field.name])
            meta = next(m for m in metas if isinstance(m, Meta))
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            extra = meta.extra or {}
            yield Row(
                section=section.name,
                key=field.name,
                type=plain,
                default=default,
                about=meta.description or "",
                secret=bool(extra.get("secret")),
                mission=str(extra.get("mission", "")),
            )


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings from a file, a `.env`, the environment and flags, the later winning.

    `flags` maps `"section.key"` to a value; None means not given. Raises `ConfigError` with the
    place and a suggestion for anything unknown, mistyped or out of range.
    """
    merged: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, str], str] = {}
    if path is not None:
        _merge_file(path, merged, places)
    if env_file is not None and env_file.is_file():
        _merge_environment(read_env_file(env_file), merged, places, str(env_file))
    _merge_environment(os.environ if environ is None else environ, merged, places, "environment")
    for name, value in (flags or {}).items():
        if value is not None:
            section, key = name.split(".")
            merged.setdefault(section, {})[key] = value
            places[section, key] = f"--{key.replace('_', '-')}"
    return _convert(merged, places)


def _merge_file(path: Path, merged: dict[str, dict[str, Any]], places: dict[tuple[str, str], str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    known = {(row.section, row.key) for row in table()}
    sections = {section for section, _ in known}
    for section, values in raw.items():
        line = line_of(text, section, None)
        if section not in sections or not isinstance(values, dict):
            raise ConfigError(f"{path}:{line}: unknown section [{section}]{_suggest(section, sections)}")
        for key, value in values.items():
            line = line_of(text, section, key)
            if (section, key) not in known:
                keys = {k for s, k in known if s == section}
                raise ConfigError(f"{path}:{line}: unknown setting {section}.{key}{_suggest(key, keys)}")
            merged.setdefault(section, {})[key] = value
            places[section, key] = f"{path}:{line}"
            if isinstance(value, list):
                for name, number in table_lines(text, f"{section}.{key}").items():
                    places[section, f"{key}{name}"] = f"{path}:{number}"


def _merge_environment(
    environ: Mapping[str, str],
    merged: dict[str, dict[str, Any]],
    places: dict[tuple[str, str], str],
    source: str,
) -> None:
    rows = list(table())
    known = {row.variable for row in rows}
    for name in environ:
        if name.startswith("MAMIMON_") and "__" in name and name not in known:
            raise ConfigError(f"{source}: unknown variable {name}{_suggest(name, known)}")
    for row in rows:
        name = row.variable if row.variable in environ else row.mission
        value = environ.get(name, "") if name else ""
        if not value:
            continue
        kind = str(row.type)
        merged.setdefault(row.section, {})[row.key] = (
            [part.strip() for part in value.split(",") if part.strip()]
            if kind.startswith("list[str")
            else value
        )
        places[row.section, row.key] = f"{source}: {name}"


def _convert(merged: dict[str, dict[str, Any]], places: dict[tuple[str, str], str]) -> Settings:
    settings = Settings()
    for section in msgspec.structs.fields(Settings):
        values = merged.get(section.name, {})
        for key, value in values.items():
            try:
                one = msgspec.convert({key: value}, section.type, strict=False)
            except msgspec.ValidationError as error:
                reason, _, where = str(error).partition(" - at ")
                place = (
                    place_in_table(places, section.name, where.strip("`"), reason)
                    or places[section.name, key]
                )
                unknown = re.search(r"unknown field `([^`]+)`", reason)
                if unknown:
                    fields = {field.name for field in msgspec.structs.fields(CheckSettings)}
                    reason = f"unknown setting {unknown.group(1)}{_suggest(unknown.group(1), fields)}"
                raise ConfigError(f"{place}: {section.name}.{key}: {reason}") from None
            setattr(getattr(settings, section.name), key, getattr(one, key))
    return settings


def _suggest(name: str, choices: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
