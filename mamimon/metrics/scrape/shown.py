"""A job as YAML for people: what is in force, defaults included, without its credentials."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from mamimon.metrics.scrape.job import PROTOCOLS, Formats, Group, Http, Job, Limits, OAuth2
from mamimon.metrics.scrape.relabel import Relabel

_SECRET = "<secret>"  # noqa: S105 - what Prometheus prints in place of one


def job_yaml(job: Job) -> str:
    """The `scrape_config` of a job; paths are absolute."""
    config: dict[str, Any] = {
        "job_name": job.name,
        "honor_labels": job.honor_labels,
        "honor_timestamps": job.honor_timestamps,
        "track_timestamps_staleness": job.track_timestamps_staleness,
        "params": job.params,
        "scrape_interval": _seconds(job.interval_s),
        "scrape_timeout": _seconds(job.timeout_s),
        "metrics_path": job.metrics_path,
        "scheme": job.scheme,
        **_formats(job.formats),
        **_http(job.http),
        **_given(msgspec.to_builtins(job.limits), msgspec.to_builtins(Limits())),
        "static_configs": [_group(group) for group in job.static],
        "file_sd_configs": [
            {"files": one.files, "refresh_interval": _seconds(one.refresh_s)} for one in job.files
        ],
        "dns_sd_configs": [
            {
                "names": one.names,
                "type": one.type,
                "port": one.port,
                "refresh_interval": _seconds(one.refresh_s),
            }
            for one in job.dns
        ],
        "http_sd_configs": [
            {"url": one.url, "refresh_interval": _seconds(one.refresh_s), **_http(one.http)}
            for one in job.web
        ],
        "relabel_configs": [_rule(rule) for rule in job.relabel],
        "metric_relabel_configs": [_rule(rule) for rule in job.metric_relabel],
    }
    kept = {name: value for name, value in config.items() if value not in ({}, [])}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


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


def _seconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms" if seconds % 1 else f"{round(seconds)}s"


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
