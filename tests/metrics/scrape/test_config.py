"""prometheus.yml: read as it is, mistakes named where they stand, targets found and relabelled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mamimon.config import ConfigError, MetricSettings
from mamimon.metrics.scrape.config import PrometheusConfig, read
from mamimon.metrics.scrape.discovery import read_file_groups, targets_of
from mamimon.metrics.scrape.relabel import Relabel, relabel

GOOD = """
global:
  scrape_interval: 15s
  evaluation_interval: 1m30s
  external_labels: {site: home}
rule_files: [rules/*.yml, gone.yml]
alerting:
  alertmanagers:
    - static_configs: [{targets: ["localhost:9093"]}]
scrape_configs:
  - job_name: app
    metrics_path: /m
    params: {module: [http], target: [a, b]}
    basic_auth: {username: ada, password_file: secret}
    sample_limit: 100
    body_size_limit: 2MB
    static_configs:
      - targets: ["a:1", "b:2"]
        labels: {env: prod}
    relabel_configs:
      - source_labels: [__address__]
        regex: "(.*):2"
        target_label: instance
        replacement: "$1-host"
      - {action: drop, source_labels: [__address__], regex: "c:.*"}
  - job_name: files
    scrape_interval: 5s
    scrape_timeout: 2s
    file_sd_configs: [{files: ["sd/*.json"]}]
    kubernetes_sd_configs: [{role: pod}]
remote_read: [{url: "http://x"}]
"""


def _read(folder: Path, text: str) -> PrometheusConfig:
    path = folder / "prometheus.yml"
    path.write_text(text, encoding="utf-8")
    return read(path, MetricSettings())


@pytest.mark.feature("M1")
def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Intervals, defaults, rule files, alertmanagers, limits; what is unsupported is named."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text("groups: []")
    config = _read(tmp_path, GOOD)
    app, files = config.jobs

    assert (config.scrape_interval_s, config.evaluation_interval_s) == (15.0, 90.0)
    assert config.external_labels == {"site": "home"}
    assert config.rule_files == [tmp_path / "rules" / "a.yml"]
    assert config.alertmanagers == ["http://localhost:9093"]
    assert (app.interval_s, app.timeout_s, files.interval_s, files.timeout_s) == (15.0, 10.0, 5.0, 2.0)
    assert (app.limits.sample_limit, app.limits.body_size_limit) == (100, 2 * 1024 * 1024)
    assert app.http.password_file == str(tmp_path / "secret")
    assert [warning.split(": ", 1)[1] for warning in config.warnings] == [
        "remote_read is not supported and has no effect",
        "no rule file matches 'gone.yml'",
        "kubernetes_sd_configs is not supported and has no effect",
    ]


@pytest.mark.feature("M1")
def test_targets_are_relabelled(tmp_path: Path) -> None:
    """Address, path, parameters and labels of static targets after relabelling."""
    app = _read(tmp_path, GOOD).jobs[0]

    kept, dropped, _ = targets_of(app, app.static)

    assert [one.url for one in kept] == [
        "http://a:1/m?module=http&target=a&target=b",
        "http://b:2/m?module=http&target=a&target=b",
    ]
    assert kept[0].labels == {"job": "app", "instance": "a:1", "env": "prod"}
    assert kept[1].labels["instance"] == "b-host"
    assert dropped == []


@pytest.mark.feature("M1")
def test_what_is_no_target_is_named(tmp_path: Path) -> None:
    """Relabelling changes a target's rhythm and formats; what cannot be scraped so is told, not dropped."""
    rules = "".join(
        "      - {source_labels: [__address__], "
        f"regex: '{host}:1', target_label: {label}, replacement: {text}}}\n"
        for host, label, text in (
            ("slow", "__scrape_interval__", "1h"),
            ("native", "__scrape_native_histograms__", "'true'"),
            ("never", "__scrape_interval__", "0s"),
            ("late", "__scrape_timeout__", "2h"),
            ("odd", "__scrape_timeout__", "soon"),
            ("maybe", "__convert_classic_histograms_to_nhcb__", "maybe"),
            ("nowhere", "__address__", "''"),
            ("page", "__address__", "http://page"),
        )
    )
    hosts = "slow:1, native:1, never:1, late:1, odd:1, maybe:1, nowhere:1, page:1"
    text = (
        "scrape_configs:\n  - job_name: app\n    static_configs:\n"
        f"      - targets: [{hosts}]\n    relabel_configs:\n{rules}"
    )
    app = _read(tmp_path, text).jobs[0]

    kept, dropped, wrong = targets_of(app, app.static)

    assert [(one.labels["instance"], one.interval_s, one.formats.native) for one in kept] == [
        ("slow:1", 3600.0, False),
        ("native:1", 15.0, True),
    ]
    assert dropped == []
    assert wrong == [
        "target 'never:1': scrape interval cannot be 0",
        'target \'late:1\': scrape timeout cannot be greater than scrape interval ("2h" > "15s")',
        "target 'odd:1': error parsing scrape timeout: not a valid duration string: 'soon'",
        "target 'maybe:1': error parsing convert classic histograms to nhcb: not a truth value: 'maybe'",
        "target 'nowhere:1': no address",
        "target 'page:1': 'http://page' is not a valid hostname",
    ]


@pytest.mark.feature("M1")
def test_file_discovery_reads_what_can_be_read(tmp_path: Path) -> None:
    """One broken file of two does not hide the other's targets."""
    (tmp_path / "sd").mkdir()
    good = [{"targets": ["x:1"], "labels": {"team": "a"}}]
    (tmp_path / "sd" / "a.json").write_text(json.dumps(good))
    (tmp_path / "sd" / "b.json").write_text("{")
    files = _read(tmp_path, GOOD).jobs[1]

    groups, errors = read_file_groups(files.files[0].files)
    kept, _, _ = targets_of(files, groups)

    assert [(one.url, one.labels["team"]) for one in kept] == [("http://x:1/metrics", "a")]
    assert len(errors) == 1
    assert "b.json" in errors[0]


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("scrape_config: []", ":1: unknown field 'scrape_config'; did you mean scrape_configs?"),
        (
            "scrape_configs:\n  - job_name: a\n    scrape_intervall: 5s",
            ":3: unknown field 'scrape_intervall'",
        ),
        ("scrape_configs:\n  - metrics_path: /m", ":2: a scrape_config needs a job_name"),
        ("scrape_configs:\n  - job_name: a\n    scrape_interval: 5", ":3: scrape_interval is '5', not a dur"),
        ("scrape_configs:\n  - job_name: a\n    scheme: ftp", ":3: scheme is 'ftp', not one of http, https"),
        ("scrape_configs:\n  - job_name: a\n  - job_name: a", ":3: two scrape_configs are named 'a'"),
        ("scrape_configs:\n  - job_name: a\n    static_configs:\n    - targets: ['http://x/y']", ":4: 'http"),
        ("scrape_configs:\n  - job_name: a\n    relabel_configs: [{action: lable}]", ":3: action is 'lable'"),
        ("scrape_configs:\n  - job_name: a\n    relabel_configs: [{regex: '('}]", ":3: regex '('"),
        (
            "scrape_configs:\n  - job_name: a\n    scrape_protocols: [Proto]",
            ":3: scrape_protocols is 'Proto'",
        ),
        (
            "scrape_configs:\n  - job_name: a\n    dns_sd_configs: [{names: [a], type: A}]",
            ":3: dns_sd_configs",
        ),
        (
            "scrape_configs:\n  - job_name: a\n    bearer_token: x\n    basic_auth: {username: a}",
            ":2: at most one of basic_auth and bearer_token",
        ),
        (
            "scrape_configs:\n  - job_name: a\n    http_headers: {Host: {values: [x]}}",
            ":3: Host is set by the scraper",
        ),
        ("a: [", ":1: not valid YAML"),
        ("- a", ":1: the file must be a mapping"),
    ],
)
def test_mistakes_are_named_where_they_stand(tmp_path: Path, text: str, reason: str) -> None:
    """File, line and a reason that says what to do."""
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)

    assert f"prometheus.yml{reason}" in str(caught.value)


EVERYTHING = """
global:
  scrape_interval: 20s
  scrape_timeout: 5s
  scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4]
  evaluation_interval: 30s
  body_size_limit: 15MB
  sample_limit: 1500
  target_limit: 30
  label_limit: 31
  label_name_length_limit: 200
  label_value_length_limit: 201
  keep_dropped_targets: 5
  metric_name_validation_scheme: utf8
  metric_name_escaping_scheme: allow-utf-8
  scrape_native_histograms: true
  convert_classic_histograms_to_nhcb: true
  always_scrape_classic_histograms: true
  extra_scrape_metrics: true
  external_labels: {site: home}
runtime: {gogc: 75}
storage: {tsdb: {out_of_order_time_window: 10m}}
scrape_config_files: [more/*.yml]
scrape_configs:
  - job_name: all
    honor_labels: true
    honor_timestamps: false
    track_timestamps_staleness: true
    scrape_protocols: [PrometheusProto]
    fallback_scrape_protocol: PrometheusText0.0.4
    scrape_native_histograms: false
    always_scrape_classic_histograms: false
    convert_classic_histograms_to_nhcb: false
    extra_scrape_metrics: false
    metric_name_validation_scheme: legacy
    enable_compression: false
    sample_limit: 10
    native_histogram_bucket_limit: 100
    native_histogram_min_bucket_factor: 1.1
    oauth2:
      client_id: me
      client_secret: shh
      token_url: http://id.test/token
      scopes: [a]
      endpoint_params: {x: y}
      tls_config: {insecure_skip_verify: true}
    tls_config: {ca_file: ca.pem, min_version: TLS12, server_name: x}
    follow_redirects: false
    enable_http2: false
    proxy_url: http://proxy.test
    no_proxy: 10.0.0.0/8, example.org
    proxy_connect_header: {X-Auth: [a]}
    http_headers: {X-Scope: {values: [a], secrets: [b], files: [c]}}
    dns_sd_configs: [{names: [a.test]}, {names: [b.test], type: MX, port: 25, refresh_interval: 5s}]
    http_sd_configs: [{url: "http://sd.test/", basic_auth: {username: ada}}]
    static_configs: [{targets: ["a:1"]}]
    relabel_configs: [{action: keep, source_labels: [__address__], regex: "a.*"}]
"""


@pytest.mark.feature("M1")
def test_every_field_of_a_scrape_config_counts(tmp_path: Path) -> None:
    """All that Prometheus 3 has for scraping is read without a warning, jobs of other files too."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.yml").write_text("scrape_configs: [{job_name: more}]")
    config = _read(tmp_path, EVERYTHING)
    one, more = config.jobs
    assert config.warnings == []
    assert config.out_of_order_s == 600
    assert config.files == [tmp_path / "prometheus.yml", tmp_path / "more" / "b.yml"]
    assert one.formats.accept().startswith("application/vnd.google.protobuf;proto=io.prometheus.client")
    assert (one.formats.fallback, one.formats.legacy_names, one.formats.escaping) == (
        "text/plain",
        True,
        "underscores",
    )
    assert (one.formats.native, one.formats.extra_metrics, one.formats.compression) == (False, False, False)
    assert (more.formats.native, more.formats.extra_metrics, more.formats.to_custom_buckets) == (True,) * 3
    assert more.formats.protocols == ("OpenMetricsText1.0.0", "PrometheusText0.0.4")
    assert (one.limits.sample_limit, more.limits.sample_limit, more.limits.label_limit) == (10, 1500, 31)
    assert one.limits.native_histogram_bucket_limit == 100
    assert one.http.oauth2 is not None
    assert one.http.oauth2.token_url == "http://id.test/token"
    assert one.http.no_proxy == ("10.0.0.0/8", "example.org")
    assert one.http.headers["X-Scope"].values == ("a", "b")
    assert one.http.headers["X-Scope"].files == (str(tmp_path / "c"),)
    assert [(d.type, d.port, d.refresh_s) for d in one.dns] == [("SRV", 0, 30.0), ("MX", 25, 5.0)]
    assert one.web[0].http.username == "ada"


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("rule", "labels", "expected"),
    [
        (
            Relabel(source_labels=("a",), regex="f(.*)", target_label="d", replacement="ch${1}-ch${1}"),
            {"a": "foo"},
            {"a": "foo", "d": "choo-choo"},
        ),
        (
            Relabel(action="labelmap", regex="__meta_(my.*)"),
            {"__meta_my_a": "1"},
            {"__meta_my_a": "1", "my_a": "1"},
        ),
        (Relabel(action="labeldrop", regex="b.*"), {"a": "1", "bar": "2"}, {"a": "1"}),
        (Relabel(action="labelkeep", regex="a"), {"a": "1", "bar": "2"}, {"a": "1"}),
        (Relabel(action="keep", source_labels=("a", "b"), regex="x;y"), {"a": "x", "b": "z"}, None),
        (Relabel(action="dropequal", source_labels=("a",), target_label="b"), {"a": "x", "b": "x"}, None),
        (
            Relabel(action="hashmod", source_labels=("c",), target_label="d", modulus=1000),
            {"c": "baz"},
            {"c": "baz", "d": "976"},
        ),
        (Relabel(source_labels=("a",), target_label="a", replacement=""), {"a": "x"}, {}),
        (
            Relabel(action="uppercase", source_labels=("a",), target_label="b"),
            {"a": "x"},
            {"a": "x", "b": "X"},
        ),
    ],
)
def test_relabel_actions(rule: Relabel, labels: dict[str, str], expected: dict[str, str] | None) -> None:
    """Each action as in Prometheus' own tests."""
    assert relabel(labels, [rule]) == expected
