"""amtool drives mamimon and a real Alertmanager in the same way, and cannot tell them apart."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mamimon.alerts import configuration
from mamimon.config import AlertSettings, ConfigError
from tests.alerts.conftest import Hook
from tests.conftest import peer, wait_until

CONFIG = """
route:
  receiver: everybody
  group_by: [alertname]
  group_wait: 1h
  routes:
    - matchers: [severity="critical"]
      receiver: pager
      continue: true
    - matchers: ['team=~"a|b"']
      receiver: team
      mute_time_intervals: [never]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [alertname]
time_intervals:
  - name: never
    time_intervals: [{years: ['1999']}]
receivers:
  - name: everybody
  - name: pager
  - name: team
"""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Amtool:
    """amtool bound to one Alertmanager; `run` answers exit code and output without ids and clock times."""

    def __init__(self, url: str) -> None:
        self.url = url

    def raw(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        done = subprocess.run(
            [peer("amtool"), f"--alertmanager.url={self.url}", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
        )
        return done.returncode, done.stdout, done.stderr

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output, with what must differ between two servers taken out."""
        code, out, err = self.raw(*arguments)
        text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+( UTC|Z)", "TIME", out + err)
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
        return code, "\n".join(line.rstrip() for line in text.splitlines())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Amtool, Amtool]]:
    """A real Alertmanager and mamimon with the same configuration."""
    from tests.conftest import Process

    folder = tmp_path_factory.mktemp("amtool")
    file = folder / "alertmanager.yml"
    file.write_text(CONFIG)
    port = free_port()
    real = subprocess.Popen(
        [
            peer("alertmanager"),
            f"--config.file={file}",
            f"--storage.path={folder / 'theirs'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stderr=subprocess.DEVNULL,
    )
    ours = Process(folder / "ours", "--alertmanager-config", str(file))
    try:
        theirs = f"http://127.0.0.1:{port}"

        def up() -> bool:
            try:
                return httpx.get(f"{theirs}/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(up, timeout_s=60, what="Alertmanager")
        yield Amtool(theirs), Amtool(f"{ours.url}/alertmanager")
    finally:
        real.terminate()
        real.wait(20)
        ours.kill()


STEPS: list[tuple[str, ...]] = [
    ("alert", "add", "alertname=Slow", "severity=warning", "team=a", "--annotation=summary=p95 is high"),
    ("alert", "add", "Down", "severity=critical", "instance=web-1", "--generator-url=http://example.org/g"),
    ("alert", "add", "alertname=Down", "severity=warning", "instance=web-1"),
    ("alert", "query"),
    ("alert", "query", "-o", "extended"),
    ("alert", "query", "--inhibited"),
    ("alert", "query", "--active"),
    ("alert", "query", "Slow"),
    ("alert", "query", "team=~a|b"),
    ("alert", "query", "severity!=warning"),
    ("alert", "query", "--receiver=pager"),
    ("alert", "query", "alertname=~("),
    ("silence", "add", "alertname=Slow", "--author=ada", "--comment=known", "--duration=1h"),
    ("silence", "add", "team=~a.*", "instance!=web-2", "--author=bob", "--comment=later", "--duration=2h"),
    ("silence", "add", "alertname=~.*", "--author=bob", "--comment=everything is not allowed"),
    ("silence", "add", "alertname=Slow", "--author=ada"),
    ("silence", "query"),
    ("silence", "query", "-o", "extended"),
    ("silence", "query", "alertname=Slow"),
    ("silence", "query", "--created-by=bob"),
    ("silence", "query", "--within=90m"),
    ("silence", "query", "--expired"),
    ("alert", "query", "--silenced"),
    ("alert", "query", "--unprocessed"),
    ("config", "routes", "show"),
    ("config", "routes", "test", "severity=critical", "team=a"),
    ("config", "routes", "test", "--verify.receivers=pager,team", "severity=critical", "team=b"),
    ("config", "routes", "test", "--verify.receivers=pager", "team=b"),
    ("cluster", "show"),
    ("silence", "expire", "00000000-0000-0000-0000-000000000000"),
]


@pytest.mark.peer("amtool")
@pytest.mark.feature("A2")
def test_amtool_prints_of_us_what_it_prints_of_alertmanager(both: tuple[Amtool, Amtool]) -> None:
    """Each step of a session of amtool has the same exit code and the same output on both."""
    theirs, ours = both
    answers = [(step, ours.run(*step), theirs.run(*step)) for step in STEPS]
    assert [one for one in answers if one[1] != one[2]] == []


@pytest.mark.peer("amtool")
@pytest.mark.feature("A2")
def test_amtool_shows_the_configuration_in_use(both: tuple[Amtool, Amtool]) -> None:
    """`config show` prints our file; Alertmanager's prints the same with its own defaults written out."""
    theirs, ours = both
    shown = []
    for one in (theirs, ours):
        code, out, err = one.raw("config", "show")
        assert code == 0, err
        shown.append(yaml.safe_load(out))
    assert shown[1] == yaml.safe_load(CONFIG)
    names = [[receiver["name"] for receiver in one["receivers"]] for one in shown]
    assert names[0] == names[1] == ["everybody", "pager", "team"]


@pytest.mark.peer("amtool")
@pytest.mark.feature("A2")
def test_amtool_moves_silences_from_alertmanager_to_us(both: tuple[Amtool, Amtool], tmp_path: Path) -> None:
    """What amtool exports of one is imported into the other, changed and expired there."""
    theirs, ours = both
    made = theirs.raw("silence", "add", "dc=~eu-.*", "--author=ada", "--comment=moved", "--duration=3h")[1]
    dump = tmp_path / "silences.json"
    dump.write_text(theirs.raw("silence", "query", "dc=~eu-.*", "-o", "json")[1])
    assert json.loads(dump.read_text())[0]["id"] == made.strip()
    code, out, err = ours.raw("silence", "import", "--force", str(dump))
    assert code == 0, err
    mine = out.strip()
    assert ours.raw("silence", "update", "--duration=5h", "--comment=longer", mine)[0] == 0
    kept = json.loads(ours.raw("silence", "query", "dc=~eu-.*", "-o", "json")[1])
    assert [(one["comment"], one["status"]["state"]) for one in kept] == [("longer", "active")]
    assert ours.raw("silence", "expire", kept[0]["id"])[0] == 0
    assert ours.raw("silence", "query", "-q", "dc=~eu-.*")[1].strip() == ""


# Alertmanager looks at a secret's file when it first sends; we say at the start that it is not there.
KNOWN = {
    "conf.opsgenie-default-apikey-file.yml",
    "conf.slack-default-api-url-file.yml",
    "conf.smtp-password-global-and-local.yml",
    "conf.telegram-default-bot-token-file.yml",
}


@pytest.mark.peer("amtool")
@pytest.mark.feature("A2")
def test_configurations_get_amtools_verdict(material: Path) -> None:
    """Of Alertmanager's own test configurations we accept those that amtool accepts, and no others."""
    files = sorted(
        path
        for path in (material / "alertmanager").rglob("*.y*ml")
        if "receiver" in path.read_text() and "openapi" not in path.name
    )
    assert len(files) > 30
    differ = []
    for file in files:
        if file.name in KNOWN:
            continue
        done = subprocess.run(
            [peer("amtool"), "check-config", file.name], capture_output=True, text=True, cwd=file.parent
        )
        try:
            configuration.load(file, AlertSettings())
            ours = ""
        except ConfigError as error:
            ours = str(error)
        if (done.returncode == 0) != (ours == ""):
            differ.append((file.name, (done.stdout + done.stderr).strip()[-200:], ours))
    assert not differ, differ


@pytest.mark.peer("prometheus")
@pytest.mark.feature("A2")
def test_a_real_prometheus_sends_its_alerts_to_us(
    process: Callable[..., Any], hook: Hook, tmp_path: Path
) -> None:
    """An alert of Prometheus' own arrives by its sender, is delivered, and is over when it says so."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(
        "route: {receiver: all, group_wait: 0s, group_interval: 1s, group_by: [alertname]}\n"
        f"receivers: [{{name: all, webhook_configs: [{{url: '{hook.url}/all'}}]}}]\n"
    )
    ours = process("--alertmanager-config", str(file))
    rules, config = tmp_path / "rules.yml", tmp_path / "prometheus.yml"
    firing = "groups: [{name: g, rules: [{alert: Always, expr: 'vector(1) > 0', labels: {severity: page}}]}]"
    rules.write_text(firing)
    config.write_text(
        "global: {evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        "alerting:\n"
        "  alertmanagers:\n"
        "    - path_prefix: /alertmanager\n"
        f"      static_configs: [{{targets: ['{ours.url.removeprefix('http://')}']}}]\n"
    )
    port = free_port()
    log = (tmp_path / "prometheus.log").open("w")
    sender = subprocess.Popen(
        [
            peer("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
        ],
        stderr=log,
    )
    try:

        def states() -> list[str]:
            return [one["status"] for one in hook.posts]

        wait_until(lambda: "firing" in states(), timeout_s=90, what="the alert at the webhook")
        body = next(one for one in hook.posts if one.get("status") == "firing")
        assert body["alerts"][0]["status"] == "firing"
        assert body["alerts"][0]["labels"] == {"alertname": "Always", "severity": "page"}
        assert f":{port}/graph?" in body["alerts"][0]["generatorURL"]
        rules.write_text(firing.replace("vector(1) > 0", "vector(0) > 0"))
        assert httpx.post(f"http://127.0.0.1:{port}/-/reload").status_code == 200
        wait_until(lambda: "resolved" in states(), timeout_s=60, what="the resolved notification")
    finally:
        sender.terminate()
        sender.wait(20)
        log.close()
