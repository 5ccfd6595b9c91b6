"""Logging: the record's content, the console without `init`, and what is shipped."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mamimon
from mamimon.client.logs import JSONFormatter
from tests.client.receiver import Receiver
from tests.conftest import ROOT

Client = Callable[..., None]


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, without what this process has configured."""
    import os

    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAMIMON_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**clean, **env})


@pytest.mark.feature("C1")
def test_without_init_records_are_json_lines_on_stderr() -> None:
    """The mission's three calls, in a program that configures nothing, are three JSON lines."""
    done = run(
        "from mamimon import get_logger\n"
        "logger = get_logger('app.chat')\n"
        "logger.info('İşlem başladı')\n"
        "fields = {'request_id': '123', 'method': 'GET', 'path': '/api/chat'}\n"
        "logger.info('API isteği alındı', extra=fields)\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logger.error('Hata oluştu', exc_info=True)\n"
        "logger.debug('not shown')\n"
    )
    first, second, third = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("INFO", "app.chat", "İşlem başladı")
    assert first["@timestamp"].endswith("Z")
    assert (second["request_id"], second["method"], second["path"]) == ("123", "GET", "/api/chat")
    assert third["exception"]["type"] == "ZeroDivisionError"
    assert "Traceback (most recent call last)" in third["exception"]["stacktrace"]


@pytest.mark.feature("C1")
def test_an_applications_own_logging_configuration_wins() -> None:
    """Where the application calls `basicConfig`, its format and level are used and nothing is doubled."""
    done = run(
        "import logging\nfrom mamimon import get_logger\nlog = get_logger('x')\n"
        "logging.basicConfig(level='WARNING', format='MINE %(message)s')\n"
        "log.info('quiet')\nlog.warning('loud')\n"
    )
    assert done.stderr.splitlines() == ["MINE loud"]


@pytest.mark.feature("C2")
def test_secrets_are_masked_in_message_extra_and_traceback() -> None:
    """A planted secret reaches no part of the JSON line."""
    log = logging.Logger("t")
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JSONFormatter().format(record))

    log.addHandler(Keep())
    try:
        raise ValueError("cannot use sk_live_canary123456")
    except ValueError:
        log.exception(
            "key %s failed", "sk_live_canary123456",
            extra={"api_key": "canary", "nested": {"password": "canary", "url": "redis://u:canary@h/0"}},
        )  # fmt: skip
    assert "canary" not in lines[0]
    assert json.loads(lines[0])["message"] == "key [masked:api_key] failed"


@pytest.mark.feature("C4")
def test_records_are_shipped_to_the_days_index(client: Client, receiver: Receiver) -> None:
    """Records arrive by `_bulk`, gzip'd, in `logs-<service>-YYYY.MM.DD`, with the bound context."""
    client(receiver.url, environment="test", release="1.2")
    log = mamimon.get_logger("app")
    with mamimon.context(user="ada", request_id="r-1"):
        log.info("hello %s", "world", extra={"n": 3})
    log.debug("below the level")
    assert mamimon.flush(5)
    (document,) = receiver.documents
    assert (document["message"], document["n"], document["user"], document["request_id"]) == (
        "hello world",
        3,
        "ada",
        "r-1",
    )
    assert document["environment"] == "test"
    day = document["@timestamp"][:10].replace("-", ".")
    assert receiver.indices == [f"logs-chat-service-{day}"]
    path, headers = receiver.requests[0]
    assert path == "/es/_bulk"
    assert headers["Content-Encoding"] == "gzip"


@pytest.mark.feature("C4")
def test_exceptions_are_reported_once_however_often_they_are_logged(
    client: Client, receiver: Receiver
) -> None:
    """`logger.exception` ships one record with the stack and one envelope; logging it again adds neither."""
    client(receiver.url)
    log = mamimon.get_logger("app")
    try:
        secret = "sk_live_canary123456"  # noqa: F841 - must be masked in the frame's variables
        {}["missing"]
    except KeyError as error:
        log.exception("first")
        log.error("second", exc_info=error)
        assert mamimon.capture_exception(error) is None
    assert mamimon.flush(5)
    (envelope,) = receiver.envelopes
    value = envelope["exception"]["values"][0]
    frame = value["stacktrace"]["frames"][-1]
    assert value["type"] == "KeyError"
    assert frame["context_line"].strip() == '{}["missing"]'
    assert frame["in_app"] is True
    assert "canary" not in json.dumps(envelope)
    assert envelope["logentry"]["formatted"] == "first"
    stacks = ["stacktrace" in document["exception"] for document in receiver.documents]
    assert sorted(stacks) == [False, True]


@pytest.mark.feature("E1")
def test_messages_and_exceptions_carry_the_request(client: Client, receiver: Receiver) -> None:
    """`capture_message` and `capture_exception` return the event's id and carry tags, user and trace."""
    client(receiver.url, environment="test")
    with mamimon.context(request_id="r-9", user="ada", trace_id="a" * 32, span_id="b" * 16):
        first = mamimon.capture_message("disk is slow", "warning", shelf="b")
        second = mamimon.capture_exception(RuntimeError("no"))
    assert mamimon.flush(5)
    found = {envelope["event_id"]: envelope for envelope in receiver.envelopes}
    assert first is not None and second is not None and set(found) == {first, second}
    message = found[first]
    assert (message["level"], message["logentry"]["formatted"]) == ("warning", "disk is slow")
    assert message["extra"] == {"shelf": "b"}
    assert (message["tags"]["request_id"], message["user"]["id"]) == ("r-9", "ada")
    assert message["contexts"]["trace"]["trace_id"] == "a" * 32
    path, headers = receiver.requests[-1]
    assert path == "/api/1/envelope/"
    assert "sentry_key=key1" in headers["X-Sentry-Auth"]


@pytest.mark.feature("U1")
def test_events_are_batched(client: Client, receiver: Receiver) -> None:
    """The mission's call arrives as one element of a PostHog-style batch."""
    client(receiver.url)
    mamimon.track_event(user_id="user123", event_type="message_sent", metadata={"chat_id": "chat123"})
    mamimon.track_event(user_id="user123", event_type="login")
    assert mamimon.flush(5)
    assert [event["event"] for event in receiver.events] == ["message_sent", "login"]
    assert receiver.events[0]["distinct_id"] == "user123"
    assert receiver.events[0]["properties"]["chat_id"] == "chat123"
    assert receiver.events[0]["timestamp"].endswith("Z")


@pytest.mark.feature("C4")
def test_uncaught_exceptions_are_shipped_before_the_program_ends(receiver: Receiver) -> None:
    """A program that dies of an exception leaves a CRITICAL record, a fatal report and its traceback."""
    done = run(
        "import threading\nfrom mamimon import init\ninit(service='dying')\n"
        "t = threading.Thread(target=lambda: [][1], name='worker'); t.start(); t.join()\n"
        "raise RuntimeError('the end')\n",
        MAMIMON_URL=receiver.url,
    )
    assert done.returncode == 1
    assert "RuntimeError: the end" in done.stderr
    messages = {document["message"]: document for document in receiver.documents}
    assert messages["uncaught RuntimeError: the end"]["level"] == "CRITICAL"
    assert messages["uncaught IndexError: list index out of range"]["in_thread"] == "worker"
    levels = [
        (envelope["level"], envelope["exception"]["values"][-1]["type"]) for envelope in receiver.envelopes
    ]
    assert sorted(levels) == [("fatal", "IndexError"), ("fatal", "RuntimeError")]


@pytest.mark.feature("C4")
def test_the_missions_variables_configure_the_client() -> None:
    """`ELASTICSEARCH_*` and `VITE_SENTRY_DSN` are understood; the placeholder DSN is none."""
    from mamimon.client.settings import parse_dsn, resolve

    env = {
        "ELASTICSEARCH_URL": "http://localhost:9200",
        "ELASTICSEARCH_USERNAME": "elastic",
        "ELASTICSEARCH_PASSWORD": "changeme",
        "VITE_SENTRY_DSN": "http://abc@localhost:7007/1",
    }
    settings = resolve({}, env)
    assert settings.bulk_url == "http://localhost:9200/_bulk"
    assert settings.bulk_auth == "Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="
    dsn = parse_dsn(settings.dsn)
    assert dsn is not None and dsn.envelope_url == "http://localhost:7007/api/1/envelope/"
    assert parse_dsn("https://your-sentry-dsn@sentry.io/project-id") is None


@pytest.mark.feature("C4")
def test_a_dot_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` of the current folder configures the client; the environment goes before it."""
    from mamimon.client.settings import resolve

    monkeypatch.chdir(tmp_path)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    own = "export MAMIMON_SERVICE='chat' \nMAMIMON_URL=http://one:7007 # here\nMAMIMON_TOKEN=\n"
    (tmp_path / ".env").write_text(example + own, encoding="utf-8")
    settings = resolve({})
    assert (settings.url, settings.service, settings.token) == ("http://one:7007", "chat", "")
    assert settings.dsn == ""
    monkeypatch.setenv("MAMIMON_URL", "http://two:7007")
    assert resolve({}).url == "http://two:7007"
    assert resolve({"url": "http://three"}).url == "http://three"


@pytest.mark.feature("C4")
def test_importing_costs_nothing() -> None:
    """`import mamimon` loads nothing of the server's and costs < 30 ms beyond the interpreter."""

    def cost(code: str) -> float:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True
        )
        rows = [line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
        return (
            sum(float(row[0].split(":")[1]) for row in rows if row[0].split(":")[1].strip().isdigit()) / 1000
        )

    beyond = min(cost("import mamimon") for _ in range(5)) - min(cost("pass") for _ in range(5))
    assert beyond < 30
    whole = "from mamimon import init, get_logger, ASGIMiddleware, capture_exception, track_event, counter"
    parts = min(cost(whole) for _ in range(3)) - min(cost("pass") for _ in range(3))
    print(f"import mamimon: {beyond:.1f} ms, all of its parts: {parts:.1f} ms")
    loaded = run(
        "import sys, mamimon; from mamimon import init, get_logger, ASGIMiddleware; print(*sys.modules)"
    ).stdout
    assert not {"litestar", "msgspec", "numpy", "httpx", "click", "psutil"} & set(loaded.split())


def test_unknown_settings_are_a_mistake_of_the_programmer(client: Client) -> None:
    """A misspelt argument of `init` is a TypeError that names the known ones."""
    with pytest.raises(TypeError, match="servce"):
        client("", servce="x")
