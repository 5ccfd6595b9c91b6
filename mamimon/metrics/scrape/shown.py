"""prometheus.yml and its jobs as YAML for people: what is in force, defaults included, no credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from mamimon.metrics.scrape.job import PROTOCOLS, Formats, Group, Http, Job, Limits, OAuth2
from mamimon.metrics.scrape.relabel import Relabel
from mamimon.metrics.scrape.yaml_file import duration_text

if TYPE_CHECKING:
    from mamimon.metrics.scrape.config import PrometheusConfig

_SECRET = "<secret>"  # noqa: S105 - what Prometheus prints in place of one
_HIDDEN = re.compile(r"(^|_)(password|credentials|secret|secrets|token|key)$")
"""Names of values that are secrets; those of files that hold one end otherwise."""
_PASSWORD = re.compile(r"(//[^/@:\s]*:)[^/@\s]*@")


def config_yaml(config: PrometheusConfig) -> str:
    """The whole file with the defaults of its jobs filled in."""
    whole: dict[str, Any] = _masked(yaml.safe_load(config.text) or {})
    times = {
        "scrape_interval": duration_text(config.scrape_interval_s),
        "scrape_timeout": duration_text(config.scrape_timeout_s),
        "evaluation_interval": duration_text(config.evaluation_interval_s),
    }
    shown = {"global": times | {k: v for k, v in (whole.get("global") or {}).items() if k not in times}}
    if "scrape_configs" in whole:
        own = {str(one.get("job_name")) for one in whole["scrape_configs"] or []}
        whole["scrape_configs"] = [job_config(job) for job in config.jobs if job.name in own]
    return _dumped(shown | {name: value for name, value in whole.items() if name != "global"})


def job_yaml(job: Job) -> str:
    """The `scrape_config` of a job; paths are absolute."""
    return _dumped(job_config(job))


def _dumped(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _SECRET if _HIDDEN.search(str(name)) and isinstance(inner, str | int) else _masked(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return _PASSWORD.sub(r"\1xxxxx@", value) if isinstance(value, str) else value


def job_config(job: Job) -> dict[str, Any]:
    """The `scrape_config` of a job as data."""
    config: dict[str, Any] = {
        "job_name": job.name,
        "honor_labels": job.honor_labels,
        "honor_timestamps": job.honor_timestamps,
        "track_timestamps_staleness": job.track_timestamps_staleness,
        "params": job.params,
        "scrape_interval": duration_text(job.interval_s),
        "scrape_timeout": duration_text(job.timeout_s),
        "metrics_path": job.metrics_path,
        "scheme": job.scheme,
        **_formats(job.formats),
        **_http(job.http),
        **_given(msgspec.to_builtins(job.limits), msgspec.to_builtins(Limits())),
        "static_configs": [_group(group) for group in job.static],
        "file_sd_configs": [
            {"files": one.files, "refresh_interval": duration_text(one.refresh_s)} for one in job.files
        ],
        "dns_sd_configs": [
            {
                "names": one.names,
                "type": one.type,
                "port": one.port,
                "refresh_interval": duration_text(one.refresh_s),
            }
            for one in job.dns
        ],
        "http_sd_configs": [
            {"url": one.url, "refresh_interval": duration_text(one.refresh_s), **_http(one.http)}
            for one in job.web
        ],
        "relabel_configs": [_rule(rule) for rule in job.relabel],
        "metric_relabel_configs": [_rule(rule) for rule in job.metric_relabel],
    }
    return {name: value for name, value in config.items() if value not in ({}, [])}


def _formats(formats: Formats) -> dict[str, Any]:
    fallback = next(
        (name for name, media in PROTOCOLS.items() if formats.fallback == media.split(";")[0]), ""
    )
    shown: dict[str, Any] = {
        "scrape_protocols": list(formats.protocols),
        "scrape_native_histograms": formats.native,
        "always_scrape_classic_histograms": formats.keep_classic,
        "convert_classic_histograms_to_nhcb": formats.to_custom_buckets,
        "metric_name_validation_scheme": "legacy" if formats.legacy_names else "utf8",
        "metric_name_escaping_scheme": formats.escaping,
        "enable_compression": formats.compression,
        "extra_scrape_metrics": formats.extra_metrics,
    }
    return shown | ({"fallback_scrape_protocol": fallback} if fallback else {})


def _oauth2(settings: OAuth2) -> dict[str, Any]:
    shown = {
        "client_id": settings.client_id,
        "client_secret": _SECRET if settings.client_secret else "",
        "client_secret_file": settings.client_secret_file,
        "token_url": settings.token_url,
        "scopes": list(settings.scopes),
        "endpoint_params": settings.endpoint_params,
        "proxy_url": settings.proxy_url.rpartition("@")[2],
    }
    return {name: value for name, value in shown.items() if value}


def _given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def _http(http: Http) -> dict[str, Any]:
    out: dict[str, Any] = {"follow_redirects": http.follow_redirects}
    if http.username or http.username_file:
        basic = {"username": http.username, "password": _SECRET if http.password else ""}
        out["basic_auth"] = _given(
            basic | {"password_file": http.password_file}, {"password": "", "password_file": ""}
        )
    if http.authorization_type:
        held = {"credentials": _SECRET if http.credentials else "", "credentials_file": http.credentials_file}
        out["authorization"] = {"type": http.authorization_type, **{k: v for k, v in held.items() if v}}
    if http.oauth2 is not None:
        out["oauth2"] = _oauth2(http.oauth2)
    if http.headers:
        out["http_headers"] = {name: {"values": [_SECRET]} for name in http.headers}
    if http.proxy_url:
        out["proxy_url"] = http.proxy_url.rpartition("@")[2]
    if http.no_proxy:
        out["no_proxy"] = ",".join(http.no_proxy)
    tls = {name: value for name, value in msgspec.to_builtins(http.tls).items() if value}
    if "key" in tls:
        tls["key"] = _SECRET
    return out | ({"tls_config": tls} if tls else {})


def _group(group: Group) -> dict[str, Any]:
    return {"targets": group.targets} | ({"labels": group.labels} if group.labels else {})


def _rule(rule: Relabel) -> dict[str, Any]:
    whole = msgspec.to_builtins(rule) | {"source_labels": list(rule.source_labels)}
    return {name: value for name, value in whole.items() if value not in (0, "", [])}
