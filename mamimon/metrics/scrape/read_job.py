"""One `scrape_config` of prometheus.yml, with what `global` says where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from mamimon.metrics.scrape.job import (
    ESCAPING,
    PROTOCOLS,
    TEXT_PROTOCOLS,
    DnsDiscovery,
    FileDiscovery,
    Formats,
    Group,
    HttpDiscovery,
    Job,
    Limits,
)
from mamimon.metrics.scrape.read_http import HTTP_KEYS, read_http
from mamimon.metrics.scrape.relabel import ACTIONS, Relabel, compiled
from mamimon.metrics.scrape.yaml_file import Node

DISCOVERIES = {"static_configs", "file_sd_configs", "dns_sd_configs", "http_sd_configs"}
LIMITS = (
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
    "keep_dropped_targets",
)
FORMATS = {
    "scrape_protocols",
    "scrape_native_histograms",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
    "extra_scrape_metrics",
}
"""Keys that `global` and a job both know."""
_JOB = {
    "job_name",
    "scrape_interval",
    "scrape_timeout",
    "metrics_path",
    "scheme",
    "params",
    "honor_labels",
    "honor_timestamps",
    "track_timestamps_staleness",
    "relabel_configs",
    "metric_relabel_configs",
    "body_size_limit",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "fallback_scrape_protocol",
    "enable_compression",
}
UNSUPPORTED = {"scrape_failure_log_file"}


class Defaults(msgspec.Struct, frozen=True):
    """What `global` says."""

    interval_s: float
    timeout_s: float
    limits: Limits
    formats: Formats
    protocols: tuple[str, ...] | None
    """None where they follow from whether native histograms are scraped."""


def read_job(node: Node, defaults: Defaults, warn: Callable[[Node, set[str]], None]) -> Job:
    """Read a scrape_config; `warn` names the keys that have no effect. Raises `ConfigError`."""
    others = {key for key in node.names() if key.endswith("_sd_configs")} - DISCOVERIES
    node.only(_JOB | HTTP_KEYS | DISCOVERIES | others | set(LIMITS) | FORMATS | UNSUPPORTED)
    warn(node, UNSUPPORTED | others)
    name = node.get("job_name").text("")
    if not name:
        node.fail("a scrape_config needs a job_name")
    every = node.get("scrape_interval").duration(defaults.interval_s)
    within = node.get("scrape_timeout").duration(min(defaults.timeout_s, every))
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
        track_timestamps_staleness=node.get("track_timestamps_staleness").flag(False),
        http=read_http(node),
        static=[_group(group, node) for group in node.get("static_configs").items()],
        files=[_files(one) for one in node.get("file_sd_configs").items()],
        dns=[_dns(one) for one in node.get("dns_sd_configs").items()],
        web=[_web(one) for one in node.get("http_sd_configs").items()],
        relabel=read_rules(node.get("relabel_configs")),
        metric_relabel=read_rules(node.get("metric_relabel_configs")),
        limits=read_limits(node, defaults.limits),
        formats=read_formats(node, defaults.formats, defaults.protocols),
    )


def read_limits(node: Node, default: Limits) -> Limits:
    """The bounds that a mapping sets, else the default's."""
    return Limits(
        body_size_limit=node.get("body_size_limit").byte_size(default.body_size_limit),
        native_histogram_bucket_limit=node.get("native_histogram_bucket_limit").number(0),
        native_histogram_min_bucket_factor=node.get("native_histogram_min_bucket_factor").real(0.0),
        **{name: node.get(name).number(getattr(default, name)) for name in LIMITS},
    )


def read_protocols(node: Node) -> tuple[str, ...] | None:
    """`scrape_protocols`, None where they are not given."""
    given = node.get("scrape_protocols")
    if given.value is None:
        return None
    names = tuple(item.choice(tuple(PROTOCOLS), "") for item in given.items())
    if not names or len(set(names)) != len(names):
        given.fail("scrape_protocols must name each protocol once, and one at least")
    return names


def read_formats(node: Node, default: Formats, protocols: tuple[str, ...] | None) -> Formats:
    """What to ask for and what to make of it; `protocols` are those of `global`, if it has any."""
    native = node.get("scrape_native_histograms").flag(default.native)
    usual = tuple(PROTOCOLS) if native else TEXT_PROTOCOLS
    fallback = node.get("fallback_scrape_protocol")
    named = fallback.choice(("", *PROTOCOLS), "")
    scheme = node.get("metric_name_validation_scheme").choice(
        ("utf8", "legacy"), "legacy" if default.legacy_names else "utf8"
    )
    escaping = "underscores" if scheme == "legacy" and not default.legacy_names else default.escaping
    return Formats(
        protocols=read_protocols(node) or protocols or usual,
        fallback=PROTOCOLS[named].partition(";")[0] if named else "",
        native=native,
        keep_classic=node.get("always_scrape_classic_histograms").flag(default.keep_classic),
        to_custom_buckets=node.get("convert_classic_histograms_to_nhcb").flag(default.to_custom_buckets),
        legacy_names=scheme == "legacy",
        escaping=node.get("metric_name_escaping_scheme").choice(ESCAPING, escaping),
        compression=node.get("enable_compression").flag(True),
        extra_metrics=node.get("extra_scrape_metrics").flag(default.extra_metrics),
    )


def _group(node: Node, job: Node) -> Group:
    node.only({"targets", "labels"})
    if job.get("relabel_configs").value is None:
        for target in node.get("targets").items():
            if "/" in target.text():
                target.fail(f"{target.text()!r} is not host:port; paths go to metrics_path")
    return Group(
        node.get("targets").text_list(), node.get("labels").texts(), f"{job.get('job_name').text()}/static"
    )


def _files(node: Node) -> FileDiscovery:
    node.only({"files", "refresh_interval"})
    folder = node.file.path.parent
    for item in node.get("files").items():
        if not item.text().endswith((".json", ".yml", ".yaml")):
            item.fail(f"{item.text()!r} is not a .json, .yml or .yaml file")
    return FileDiscovery(
        [str(folder / item.text()) for item in node.get("files").items()],
        node.get("refresh_interval").duration(300.0),
    )


def _dns(node: Node) -> DnsDiscovery:
    node.only({"names", "type", "port", "refresh_interval"})
    kind = node.get("type").text("SRV").upper()
    if kind not in ("SRV", "A", "AAAA", "MX", "NS"):
        node.get("type").fail(f"invalid DNS-SD records type {kind}")
    port = node.get("port").number(0)
    if kind != "SRV" and not port:
        node.fail(f"dns_sd_configs of type {kind} need a port")
    names = node.get("names").text_list()
    if not names:
        node.fail("dns_sd_configs need at least one name")
    return DnsDiscovery(names, kind, port, node.get("refresh_interval").duration(30.0))


def _web(node: Node) -> HttpDiscovery:
    node.only(HTTP_KEYS | {"url", "refresh_interval"})
    url = node.get("url").text()
    if not url.startswith(("http://", "https://")):
        node.get("url").fail("the URL of http_sd_configs must be http or https")
    return HttpDiscovery(url, read_http(node), node.get("refresh_interval").duration(60.0))


def read_rules(node: Node) -> list[Relabel]:
    """A list of relabelling rules."""
    return [_rule(rule) for rule in node.items()]


def _rule(node: Node) -> Relabel:
    node.only({"action", "source_labels", "separator", "regex", "modulus", "target_label", "replacement"})
    if node.value is None:
        node.fail("empty or null relabeling rule")
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


def lowest_factor_schema(factor: float) -> int:
    """The finest schema whose buckets grow at least by `factor` (Prometheus, `pickSchema`)."""
    factor = factor if factor > 1 else 1.00271
    return max(-4, min(8, math.floor(-math.log2(math.log2(factor)))))
