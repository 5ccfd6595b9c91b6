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
remote_write: [{url: "http://x"}]
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
        "remote_write is not supported and has no effect",
        "kubernetes_sd_configs is not supported and has no effect",
        "no rule file matches 'gone.yml'",
    ]


@pytest.mark.feature("M1")
def test_targets_are_relabelled(tmp_path: Path) -> None:
    """Address, path, parameters and labels of static targets after relabelling."""
    app = _read(tmp_path, GOOD).jobs[0]

    kept, dropped = targets_of(app, app.static)

    assert [one.url for one in kept] == [
        "http://a:1/m?module=http&target=a&target=b",
        "http://b:2/m?module=http&target=a&target=b",
    ]
    assert kept[0].labels == {"job": "app", "instance": "a:1", "env": "prod"}
    assert kept[1].labels["instance"] == "b-host"
    assert dropped == []


@pytest.mark.feature("M1")
def test_file_discovery_reads_what_can_be_read(tmp_path: Path) -> None:
    """One broken file of two does not hide the other's targets."""
    (tmp_path / "sd").mkdir()
    good = [{"targets": ["x:1"], "labels": {"team": "a"}}]
    (tmp_path / "sd" / "a.json").write_text(json.dumps(good))
    (tmp_path / "sd" / "b.json").write_text("{")
    files = _read(tmp_path, GOOD).jobs[1]

    groups, errors = read_file_groups(files.files[0].files)
    kept, _ = targets_of(files, groups)

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
        ("a: [", ":1: not valid YAML"),
        ("- a", ":1: the file must be a mapping"),
    ],
)
def test_mistakes_are_named_where_they_stand(tmp_path: Path, text: str, reason: str) -> None:
    """File, line and a reason that says what to do."""
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)

    assert f"prometheus.yml{reason}" in str(caught.value)


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
