"""`prometheus.yml` as it is: what we scrape, the rule files, where Prometheus would send alerts.

What Prometheus knows and we do not do is named in `warnings`, not ignored; what nobody knows is an
error with file, line and a suggestion. Source: Prometheus 3, configuration reference.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mamimon.config import ConfigError, MetricSettings
from mamimon.metrics.scrape.relabel import ACTIONS, Relabel, compiled
from mamimon.metrics.scrape.yaml_file import Node, YamlFile

DISCOVERIES = {"static_configs", "file_sd_configs", "dns_sd_configs"}
# Prometheus' own keys that change nothing here, or that we do not do; the second kind is warned of.
_GLOBAL_UNSUPPORTED = {"query_log_file", "scrape_failure_log_file", "scrape_native_histograms"}
_NO_DIFFERENCE = {
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
    "scrape_protocols",
    "scrape_fallback_protocol",
    "enable_compression",
    "enable_http2",
    "keep_dropped_targets",
    "runtime",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "track_timestamps_staleness",
}
_TOP_UNSUPPORTED = {
    "remote_write",
    "remote_read",
    "storage",
    "tracing",
    "otlp",
    "scrape_config_files",
}
_JOB_UNSUPPORTED = {
    "oauth2",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "scrape_native_histograms",
    "scrape_failure_log_file",
}
_HTTP = {
    "basic_auth",
    "authorization",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "proxy_url",
    "follow_redirects",
    "http_headers",
}
_LIMITS = (
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one scrape; 0 is no bound of its own. Bytes, samples, labels, characters, targets."""

    body_size_limit: int = 0
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    target_limit: int = 0


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """`tls_config`; paths are absolute."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask: credentials (inline or from files that are read each time), TLS, proxy, headers."""

    username: str = ""
    password: str = ""
    password_file: str = ""
    authorization_type: str = ""
    credentials: str = ""
    credentials_file: str = ""
    headers: dict[str, str] = {}
    tls: Tls = Tls()
    proxy_url: str = ""
    follow_redirects: bool = True


class Group(msgspec.Struct, frozen=True):
    """Targets (`host:port`) that share labels."""

    targets: list[str]
    labels: dict[str, str] = {}
    source: str = ""


class FileDiscovery(msgspec.Struct, frozen=True):
    """`file_sd_configs`: absolute globs and how often they are read again."""

    files: list[str]
    refresh_s: float = 300.0


class DnsDiscovery(msgspec.Struct, frozen=True):
    """`dns_sd_configs`: names of one record type (A or AAAA), the port, the refresh interval."""

    names: list[str]
    type: str
    port: int
    refresh_s: float = 30.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One `scrape_config`; times in seconds."""

    name: str
    interval_s: float
    timeout_s: float
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: dict[str, list[str]] = {}
    honor_labels: bool = False
    honor_timestamps: bool = True
    http: Http = Http()
    static: list[Group] = []
    files: list[FileDiscovery] = []
    dns: list[DnsDiscovery] = []
    relabel: list[Relabel] = []
    metric_relabel: list[Relabel] = []
    limits: Limits = Limits()


class PrometheusConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    path: Path
    text: str
    scrape_interval_s: float
    scrape_timeout_s: float
    evaluation_interval_s: float
    external_labels: dict[str, str] = {}
    rule_files: list[Path] = []
    alertmanagers: list[str] = []
    jobs: list[Job] = []
    warnings: list[str] = []


def read(path: Path, settings: MetricSettings) -> PrometheusConfig:
    """Read a file; `settings` gives the defaults. Raises `ConfigError` with file and line."""
    file = YamlFile(path)
    return _Reading(file, settings).whole()


class _Reading:
    """One pass over a file, collecting warnings."""

    def __init__(self, file: YamlFile, settings: MetricSettings) -> None:
        self.file = file
        self.settings = settings
        self.warnings: list[str] = []

    def whole(self) -> PrometheusConfig:
        root = self.file.root
        root.only({"global", "scrape_configs", "rule_files", "alerting"} | _TOP_UNSUPPORTED | _NO_DIFFERENCE)
        self._warn(root, _TOP_UNSUPPORTED)
        shared = root.get("global")
        shared.only(
            {"scrape_interval", "scrape_timeout", "evaluation_interval", "external_labels"}
            | {"rule_query_offset"}
            | set(_LIMITS)
            | _GLOBAL_UNSUPPORTED
            | _NO_DIFFERENCE
        )
        self._warn(shared, _GLOBAL_UNSUPPORTED)
        interval = shared.get("scrape_interval").duration(self.settings.scrape_interval_s)
        timeout = shared.get("scrape_timeout").duration(min(self.settings.scrape_timeout_s, interval))
        defaults = (interval, timeout, _limits(shared, Limits()))
        jobs: list[Job] = []
        for node in root.get("scrape_configs").items():
            job = self._job(node, *defaults)
            if any(job.name == other.name for other in jobs):
                node.fail(f"two scrape_configs are named {job.name!r}")
            jobs.append(job)
        return PrometheusConfig(
            path=self.file.path,
            text=self.file.text,
            scrape_interval_s=interval,
            scrape_timeout_s=timeout,
            evaluation_interval_s=shared.get("evaluation_interval").duration(
                self.settings.evaluation_interval_s
            ),
            external_labels=shared.get("external_labels").texts(),
            rule_files=self._rule_files(root.get("rule_files")),
            alertmanagers=self._alertmanagers(root.get("alerting")),
            jobs=jobs,
            warnings=self.warnings,
        )

    def _warn(self, node: Node, names: set[str]) -> None:
        for name in sorted(names & set(node.names())):
            child = node.get(name)
            if child.value not in (None, [], {}):
                self.warnings.append(f"{child.place}: {name} is not supported and has no effect")

    def _rule_files(self, node: Node) -> list[Path]:
        found: list[Path] = []
        for item in node.items():
            pattern = self.file.path.parent / item.text()
            hits = sorted(pattern.parent.glob(pattern.name)) if "*" in pattern.name else [pattern]
            if not hits or not all(path.is_file() for path in hits):
                self.warnings.append(f"{item.place}: no rule file matches {item.text()!r}")
            found += [path for path in hits if path.is_file()]
        return found

    def _alertmanagers(self, node: Node) -> list[str]:
        node.only({"alertmanagers", "alert_relabel_configs"})
        self._warn(node, {"alert_relabel_configs"})
        urls = []
        for one in node.get("alertmanagers").items():
            scheme = one.get("scheme").text("http")
            prefix = one.get("path_prefix").text("").rstrip("/")
            for group in one.get("static_configs").items():
                urls += [f"{scheme}://{target.text()}{prefix}" for target in group.get("targets").items()]
        return urls

    def _job(self, node: Node, interval: float, timeout: float, limits: Limits) -> Job:
        known = {
            "job_name",
            "scrape_interval",
            "scrape_timeout",
            "metrics_path",
            "scheme",
            "params",
            "honor_labels",
            "honor_timestamps",
            "relabel_configs",
            "metric_relabel_configs",
        }
        others = {key for key in node.names() if key.endswith("_sd_configs")} - DISCOVERIES
        node.only(known | _HTTP | DISCOVERIES | others | set(_LIMITS) | _JOB_UNSUPPORTED | _NO_DIFFERENCE)
        self._warn(node, _JOB_UNSUPPORTED | others)
        name = node.get("job_name").text("")
        if not name:
            node.fail("a scrape_config needs a job_name")
        every = node.get("scrape_interval").duration(interval)
        within = node.get("scrape_timeout").duration(min(timeout, every))
        if within > every:
            node.get("scrape_timeout").fail("scrape_timeout is longer than scrape_interval")
        return Job(
            name=name,
            interval_s=every,
            timeout_s=within,
            scheme=node.get("scheme").choice(("http", "https"), "http"),
            metrics_path=node.get("metrics_path").text("/metrics"),
            params={key: node.get("params").get(key).text_list() for key in node.get("params").names()},
            honor_labels=node.get("honor_labels").flag(False),
            honor_timestamps=node.get("honor_timestamps").flag(True),
            http=_http(node),
            static=[_group(group, node) for group in node.get("static_configs").items()],
            files=[_files(one) for one in node.get("file_sd_configs").items()],
            dns=[_dns(one) for one in node.get("dns_sd_configs").items()],
            relabel=[_rule(rule) for rule in node.get("relabel_configs").items()],
            metric_relabel=[_rule(rule) for rule in node.get("metric_relabel_configs").items()],
            limits=_limits(node, limits),
        )


def _group(node: Node, job: Node) -> Group:
    node.only({"targets", "labels"})
    targets = node.get("targets").text_list()
    for target in node.get("targets").items():
        if "/" in target.text():
            target.fail(f"{target.text()!r} is not host:port; paths go to metrics_path")
    return Group(targets, node.get("labels").texts(), f"{job.get('job_name').text()}/static")


def _files(node: Node) -> FileDiscovery:
    node.only({"files", "refresh_interval"})
    folder = node.file.path.parent
    return FileDiscovery(
        [str(folder / item.text()) for item in node.get("files").items()],
        node.get("refresh_interval").duration(300.0),
    )


def _dns(node: Node) -> DnsDiscovery:
    node.only({"names", "type", "port", "refresh_interval"})
    kind = node.get("type").choice(("SRV", "A", "AAAA"), "SRV")
    if kind == "SRV":
        node.fail("dns_sd_configs of type SRV are not supported; use type A or AAAA with a port")
    port = node.get("port").number(0)
    if not port:
        node.fail(f"dns_sd_configs of type {kind} need a port")
    return DnsDiscovery(
        node.get("names").text_list(), kind, port, node.get("refresh_interval").duration(30.0)
    )


def _rule(node: Node) -> Relabel:
    node.only({"action", "source_labels", "separator", "regex", "modulus", "target_label", "replacement"})
    rule = Relabel(
        action=node.get("action").choice(ACTIONS, "replace", any_case=True),
        source_labels=tuple(node.get("source_labels").text_list()),
        separator=node.get("separator").text(";"),
        regex=node.get("regex").text("(.*)"),
        modulus=node.get("modulus").number(0),
        target_label=node.get("target_label").text(""),
        replacement=node.get("replacement").text("$1"),
    )
    try:
        compiled(rule.regex)
    except ValueError as error:
        node.get("regex").fail(str(error))
    needs_target = {"replace", "hashmod", "keepequal", "dropequal", "lowercase", "uppercase"}
    if rule.action in needs_target and not rule.target_label:
        node.fail(f"relabel action {rule.action} needs target_label")
    if rule.action == "hashmod" and rule.modulus < 1:
        node.fail("relabel action hashmod needs a modulus")
    return rule


def _http(node: Node) -> Http:
    basic, bearer, tls = node.get("basic_auth"), node.get("authorization"), node.get("tls_config")
    basic.only({"username", "password", "password_file"})
    bearer.only({"type", "credentials", "credentials_file"})
    tls.only({"ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"})
    if basic.names() and bearer.names():
        node.fail("basic_auth and authorization exclude each other")
    headers = {}
    for name in node.get("http_headers").names():
        headers[name] = ",".join(node.get("http_headers").get(name).get("values").text_list())
    old = node.get("bearer_token").text(""), _path(node.get("bearer_token_file"))
    return Http(
        username=basic.get("username").text(""),
        password=basic.get("password").text(""),
        password_file=_path(basic.get("password_file")),
        authorization_type=bearer.get("type").text("Bearer") if bearer.names() or any(old) else "",
        credentials=bearer.get("credentials").text("") or old[0],
        credentials_file=_path(bearer.get("credentials_file")) or old[1],
        headers=headers,
        tls=Tls(
            ca_file=_path(tls.get("ca_file")),
            cert_file=_path(tls.get("cert_file")),
            key_file=_path(tls.get("key_file")),
            server_name=tls.get("server_name").text(""),
            insecure_skip_verify=tls.get("insecure_skip_verify").flag(False),
        ),
        proxy_url=node.get("proxy_url").text(""),
        follow_redirects=node.get("follow_redirects").flag(True),
    )


def _path(node: Node) -> str:
    text = node.text("")
    return str(node.file.path.parent / text) if text else ""


def _limits(node: Node, default: Limits) -> Limits:
    values = {name: node.get(name).number(getattr(default, name)) for name in _LIMITS[1:]}
    size = node.get("body_size_limit").byte_size(default.body_size_limit)
    return Limits(body_size_limit=size, **values)


__all__ = ["ConfigError", "Group", "Job", "PrometheusConfig", "read"]
