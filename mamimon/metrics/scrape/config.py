"""`prometheus.yml` as it is: what we scrape, the rule files, where Prometheus would send alerts.

What Prometheus knows and we do not do is named in `warnings`, not ignored; what nobody knows is an
error with file, line and a suggestion. Source: Prometheus 3, configuration reference.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mamimon.config import ConfigError, MetricSettings
from mamimon.metrics.scrape.job import Formats, Group, Job, Limits
from mamimon.metrics.scrape.read_job import (
    FORMATS,
    LIMITS,
    Defaults,
    read_formats,
    read_job,
    read_limits,
    read_protocols,
    read_rules,
)
from mamimon.metrics.scrape.read_otlp import read_otlp
from mamimon.metrics.scrape.read_remote_write import RemoteWrite, read_remote_writes
from mamimon.metrics.scrape.relabel import Relabel
from mamimon.metrics.scrape.yaml_file import Node, YamlFile
from mamimon.metrics.wire.otlp.model import OtlpSettings

_GLOBAL = {
    "scrape_interval",
    "scrape_timeout",
    "evaluation_interval",
    "external_labels",
    "body_size_limit",
    "rule_query_offset",
}
_GLOBAL_UNSUPPORTED = {"query_log_file", "scrape_failure_log_file"}
_TOP = {
    "global",
    "scrape_configs",
    "scrape_config_files",
    "rule_files",
    "alerting",
    "storage",
    "otlp",
    "remote_write",
}
_TOP_UNSUPPORTED = {"remote_read", "tracing"}
# Tunes Go's garbage collector.
_NO_DIFFERENCE = {"runtime"}


class PrometheusConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    path: Path
    text: str
    scrape_interval_s: float
    scrape_timeout_s: float
    evaluation_interval_s: float
    external_labels: dict[str, str] = {}
    rule_query_offset_s: float = 0.0
    rule_files: list[Path] = []
    alertmanagers: list[str] = []
    alert_relabel: list[Relabel] = []
    """What is changed in, or keeps back, alerts that go to Alertmanagers."""
    jobs: list[Job] = []
    otlp: OtlpSettings = OtlpSettings()
    remote_writes: list[RemoteWrite] = []
    out_of_order_s: float | None = None
    """How late a pushed sample may be, where the file says so."""
    files: list[Path] = []
    """Every file that was read, this one first."""
    patterns: list[str] = []
    """Absolute globs of rule files and scrape config files."""
    warnings: list[str] = []


def read(path: Path, settings: MetricSettings) -> PrometheusConfig:
    """Read a file; `settings` gives the defaults. Raises `ConfigError` with file and line."""
    return _Reading(YamlFile(path), settings).whole()


class _Reading:
    """One pass over a file and those it names, collecting warnings."""

    def __init__(self, file: YamlFile, settings: MetricSettings) -> None:
        self.file = file
        self.settings = settings
        self.warnings: list[str] = []
        self.files = [file.path]
        self.patterns: list[str] = []

    def whole(self) -> PrometheusConfig:
        root = self.file.root
        root.only(_TOP | _TOP_UNSUPPORTED | _NO_DIFFERENCE)
        self._warn(root, _TOP_UNSUPPORTED)
        shared = root.get("global")
        shared.only(_GLOBAL | set(LIMITS) | FORMATS | _GLOBAL_UNSUPPORTED)
        self._warn(shared, _GLOBAL_UNSUPPORTED)
        interval = shared.get("scrape_interval").duration(self.settings.scrape_interval_s)
        timeout = shared.get("scrape_timeout").duration(min(self.settings.scrape_timeout_s, interval))
        if timeout > interval:
            shared.get("scrape_timeout").fail("global scrape timeout greater than scrape interval")
        protocols = read_protocols(shared)
        formats = read_formats(shared, Formats(), protocols)
        defaults = Defaults(interval, timeout, read_limits(shared, Limits()), formats, protocols)
        return PrometheusConfig(
            path=self.file.path,
            text=self.file.text,
            scrape_interval_s=interval,
            scrape_timeout_s=timeout,
            evaluation_interval_s=shared.get("evaluation_interval").duration(
                self.settings.evaluation_interval_s
            ),
            external_labels=shared.get("external_labels").texts(),
            rule_query_offset_s=shared.get("rule_query_offset").duration(0.0, or_zero=True),
            rule_files=self._rule_files(root.get("rule_files")),
            alertmanagers=self._alertmanagers(root.get("alerting")),
            alert_relabel=read_rules(root.get("alerting").get("alert_relabel_configs")),
            jobs=self._jobs(root, defaults),
            otlp=read_otlp(root.get("otlp")),
            remote_writes=read_remote_writes(root.get("remote_write"), self._warn),
            out_of_order_s=self._storage(root.get("storage")),
            files=self.files,
            patterns=self.patterns,
            warnings=self.warnings,
        )

    def _warn(self, node: Node, names: set[str]) -> None:
        for name in sorted(names & set(node.names())):
            child = node.get(name)
            if child.value not in (None, [], {}):
                self.warnings.append(f"{child.place}: {name} is not supported and has no effect")

    def _jobs(self, root: Node, defaults: Defaults) -> list[Job]:
        nodes = list(root.get("scrape_configs").items())
        for path in self._found(root.get("scrape_config_files"), "scrape config file"):
            more = YamlFile(path)
            self.files.append(path)
            more.root.only({"scrape_configs"})
            nodes += more.root.get("scrape_configs").items()
        jobs: list[Job] = []
        for node in nodes:
            job = read_job(node, defaults, self._warn)
            if any(job.name == other.name for other in jobs):
                node.fail(f"two scrape_configs are named {job.name!r}")
            jobs.append(job)
        return jobs

    def _rule_files(self, node: Node) -> list[Path]:
        return self._found(node, "rule file")

    def _found(self, node: Node, what: str) -> list[Path]:
        found: list[Path] = []
        for item in node.items():
            pattern = self.file.path.parent / item.text()
            self.patterns.append(str(pattern))
            hits = sorted(pattern.parent.glob(pattern.name)) if "*" in pattern.name else [pattern]
            if not hits or not all(path.is_file() for path in hits):
                self.warnings.append(f"{item.place}: no {what} matches {item.text()!r}")
            found += [path for path in hits if path.is_file()]
        return found

    def _alertmanagers(self, node: Node) -> list[str]:
        node.only({"alertmanagers", "alert_relabel_configs"})
        urls = []
        for one in node.get("alertmanagers").items():
            self._warn(one, set(one.names()) - {"scheme", "path_prefix", "static_configs", "api_version"})
            scheme = one.get("scheme").text("http")
            prefix = one.get("path_prefix").text("").rstrip("/")
            for group in one.get("static_configs").items():
                urls += [f"{scheme}://{target.text()}{prefix}" for target in group.get("targets").items()]
        return urls

    def _storage(self, node: Node) -> float | None:
        node.only({"tsdb", "exemplars"})
        self._warn(node, {"exemplars"})
        tsdb = node.get("tsdb")
        self._warn(tsdb, set(tsdb.names()) - {"out_of_order_time_window"})
        window = tsdb.get("out_of_order_time_window")
        return None if window.value is None else window.duration(0.0, or_zero=True)


__all__ = ["ConfigError", "Group", "Job", "PrometheusConfig", "read"]
