"""What is wrong with a deployment and what to do about it: the mission's troubleshooting section as code.

Each check asks the real thing (the running server, the SMTP server, the webhook's host) and answers
with findings; none changes anything or sends a message. Secrets never appear in a finding.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from mamimon.config import Settings

State = Literal["ok", "warning", "failing"]
_PLACEHOLDERS = ("YOUR/WEBHOOK", "your-sentry-dsn", "your-key@", "your-email@", "your-app-password")


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: its state, what was seen, and what to do where it is not well."""

    name: str
    state: State
    detail: str
    hint: str = ""


class Patient(msgspec.Struct, frozen=True):
    """What is examined: the settings here, the server's address, a client to ask it with."""

    settings: Settings
    data_dir: Path
    url: str
    client: httpx.Client


def examine(patient: Patient) -> Iterator[Finding]:
    """Run every check in the order a person would; a check that itself fails is a finding."""
    reachable = False
    for check in (
        _server,
        _data_dir,
        _logs,
        _targets,
        _dashboards,
        _dsn,
        _slack,
        _mail,
        _forward,
        _receivers,
    ):
        if check in (_logs, _targets, _dashboards, _receivers) and not reachable:
            continue
        name = check.__name__.lstrip("_")
        try:
            for finding in check(patient):
                reachable = reachable or (finding.name == "server" and finding.state == "ok")
                yield finding
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            yield Finding(name, "failing", f"could not be examined: {type(error).__name__}: {error}")


def _server(patient: Patient) -> Iterator[Finding]:
    try:
        answer = patient.client.get("/readyz")
    except httpx.TransportError as error:
        yield Finding(
            "server",
            "failing",
            f"nothing answers on {patient.url}: {error}",
            "start it with `mamimon serve`, or pass --url",
        )
        return
    if answer.status_code == 200:
        yield Finding("server", "ok", f"mamimon answers on {patient.url}")
    else:
        yield Finding(
            "server", "failing", f"{patient.url}/readyz says {answer.status_code}", answer.text[:200]
        )


def _data_dir(patient: Patient) -> Iterator[Finding]:
    folder = patient.data_dir
    if not folder.is_dir():
        yield Finding(
            "data directory", "warning", f"{folder} is not there", "pass --data-dir of the running server"
        )
        return
    free = shutil.disk_usage(folder).free
    limit = patient.settings.storage.min_free_bytes
    if not os.access(folder, os.W_OK):
        yield Finding("data directory", "failing", f"{folder} cannot be written", "check its owner and mode")
    elif free < limit:
        yield Finding(
            "data directory",
            "failing",
            f"{free >> 20} MiB are free, below storage.min_free_bytes ({limit >> 20} MiB): read-only",
            "free space, or lower the retention days and run `mamimon cleanup`",
        )
    else:
        yield Finding("data directory", "ok", f"{folder}, {free >> 20} MiB free")


def _logs(patient: Patient) -> Iterator[Finding]:
    total = _json(patient, "/es/_count")["count"]
    if total:
        yield Finding("log store", "ok", f"{total:,} lines")
    else:
        yield Finding(
            "log store",
            "warning",
            "no log line has arrived",
            f"in the application: mamimon.init(url={patient.url!r}, service='my-app')",
        )


def _targets(patient: Patient) -> Iterator[Finding]:
    targets = _json(patient, "/api/v1/targets")["data"]["activeTargets"]
    down = [one for one in targets if one["health"] == "down"]
    for one in down:
        yield Finding(
            "scrape target",
            "failing",
            f"{one['scrapeUrl']} is DOWN: {one['lastError']}",
            "is the program running, and does the address in prometheus.yml match?",
        )
    if not down:
        yield Finding("scrape targets", "ok", f"{len(targets)} up")


def _dashboards(patient: Patient) -> Iterator[Finding]:
    found = _json(patient, "/api/v1/query", query="count by (job) (http_requests_total)")["data"]["result"]
    jobs = sorted(one["metric"].get("job", "") for one in found)
    if set(jobs) - {"mamimon"}:
        yield Finding("dashboards", "ok", f"HTTP metrics of {', '.join(jobs)}")
    else:
        yield Finding(
            "dashboards",
            "warning",
            "no application exposes http_requests_total, so the API dashboards show only mamimon itself",
            "add mamimon.ASGIMiddleware and a /metrics route, and a target in prometheus.yml",
        )


def _dsn(patient: Patient) -> Iterator[Finding]:
    name, dsn = "VITE_SENTRY_DSN", patient.settings.errors.dsn
    try:
        ours = str(_json(patient, "/api/mamimon/errors/dsn")["dsn"])
    except (httpx.HTTPError, KeyError, ValueError):
        ours = ""
    advice = f"set {name}={ours}" if ours else "`mamimon errors dsn` prints the right one"
    if not dsn:
        yield Finding(name, "warning", "not set: front ends know no DSN", advice)
        return
    parts = urlsplit(dsn)
    project = parts.path.rpartition("/")[2]
    if parts.scheme not in {"http", "https"} or not parts.username or not project.isdigit():
        yield Finding(name, "failing", "is not a DSN (http://KEY@HOST/PROJECT)", advice)
    elif ours and (parts.username, project) != (urlsplit(ours).username, urlsplit(ours).path.strip("/")):
        yield Finding(name, "failing", f"names {parts.hostname}, not a project of this mamimon", advice)
    else:
        yield Finding(name, "ok", f"project {project} on {parts.hostname}")


def _slack(patient: Patient) -> Iterator[Finding]:
    yield from _outgoing(
        "SLACK_WEBHOOK_URL",
        patient.settings.alerts.slack_webhook_url,
        "create an incoming webhook in Slack and put its URL there",
    )


def _outgoing(name: str, url: str, advice: str) -> Iterator[Finding]:
    if not url:
        yield Finding(name, "warning", "not set: nothing is sent there", advice)
        return
    parts = urlsplit(url)
    if any(mark in url for mark in _PLACEHOLDERS) or not parts.hostname:
        yield Finding(name, "failing", "still holds the example's value", advice)
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=5).close()
    except OSError as error:
        yield Finding(
            name, "failing", f"{parts.hostname}:{port} cannot be reached: {error}", "check the network"
        )
    else:
        yield Finding(name, "ok", f"{parts.hostname}:{port} can be reached (no message was sent)")


def _mail(patient: Patient) -> Iterator[Finding]:
    alerts = patient.settings.alerts
    if not alerts.smtp_server:
        yield Finding(
            "SMTP_SERVER", "warning", "not set: no mail is sent", "set SMTP_SERVER and ALERT_EMAIL_TO"
        )
        return
    if not alerts.email_to:
        yield Finding("ALERT_EMAIL_TO", "failing", "not set: nobody gets the mail", "set it to an address")
    place = f"{alerts.smtp_server}:{alerts.smtp_port}"
    if any(mark in text for mark in _PLACEHOLDERS for text in (alerts.smtp_username, alerts.smtp_password)):
        yield Finding("SMTP_SERVER", "failing", f"{place}: user or password is the example's", "set both")
        return
    try:
        _greet(patient.settings)
    except smtplib.SMTPAuthenticationError as error:
        hint = "Gmail wants an app password (https://myaccount.google.com/apppasswords)"
        yield Finding("SMTP_SERVER", "failing", f"{place} refuses the sign-in ({error.smtp_code})", hint)
    except (OSError, smtplib.SMTPException) as error:
        yield Finding("SMTP_SERVER", "failing", f"{place}: {error}", "check SMTP_SERVER and SMTP_PORT")
    else:
        yield Finding("SMTP_SERVER", "ok", f"{place} takes mail for {alerts.email_to} (none was sent)")


def _greet(settings: Settings) -> None:
    alerts = settings.alerts
    secure = alerts.smtp_security == "ssl" or (alerts.smtp_security == "auto" and alerts.smtp_port == 465)
    context = ssl.create_default_context()
    make: Callable[[], smtplib.SMTP] = (
        (lambda: smtplib.SMTP_SSL(alerts.smtp_server, alerts.smtp_port, timeout=10, context=context))
        if secure
        else (lambda: smtplib.SMTP(alerts.smtp_server, alerts.smtp_port, timeout=10))
    )
    with make() as session:
        session.ehlo()
        if not secure and alerts.smtp_security != "none" and session.has_extn("starttls"):
            session.starttls(context=context)
            session.ehlo()
        if alerts.smtp_username:
            session.login(alerts.smtp_username, alerts.smtp_password)


def _forward(patient: Patient) -> Iterator[Finding]:
    url = patient.settings.forward.elasticsearch_url
    if not url:
        return
    parts = urlsplit(url)
    bare = f"{parts.scheme}://{parts.hostname}:{parts.port or 9200}"
    try:
        answer = httpx.get(bare, timeout=5)
    except httpx.TransportError as error:
        yield Finding(
            "ELASTICSEARCH_URL",
            "failing",
            f"{bare} cannot be reached: {error}",
            "mamimon answers there with --drop-in; start the real one, or unset the variable",
        )
        return
    itself = "mamimon" in answer.text
    what = "mamimon itself: nothing is forwarded" if itself else f"answers {answer.status_code}"
    yield Finding("ELASTICSEARCH_URL", "ok" if answer.status_code < 500 else "failing", f"{bare} is {what}")


def _receivers(patient: Patient) -> Iterator[Finding]:
    """Who samples are sent on to by remote write."""
    for one in _json(patient, "/api/mamimon/forward")["metrics"]:
        waiting = one["queue"]["samples"]
        if one["state"] == "away":
            yield Finding(
                "remote_write",
                "failing",
                f"{one['target']} takes no samples ({one['message']}); {waiting} wait",
                "start it, or mend its url and credentials in prometheus.yml or [forward]",
            )
        else:
            yield Finding(
                "remote_write", "ok", f"{one['target']}: {one['sent']} samples sent, {waiting} wait"
            )


def _json(patient: Patient, path: str, **parameters: str) -> Any:
    answer = patient.client.get(path, params=parameters)
    answer.raise_for_status()
    return answer.json()
