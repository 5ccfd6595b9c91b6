"""How a message reads: subject, text, HTML, and the data that receivers' own templates see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2
import msgspec

from mamimon.alerts.model import Alert, Message
from mamimon.alerts.templates import TemplateError
from mamimon.alerts.translated import translated
from mamimon.i18n import gettext, ngettext, web_dir

COLOURS = {"critical": "#b83227", "warning": "#8a5a00", "resolved": "#00734f"}


class Context(msgspec.Struct):
    """What a channel needs beside the message."""

    base_url: str
    ack_url: str
    """A signed link, or empty where nothing is left to acknowledge."""
    severity: str
    timeout_s: float
    templates: dict[str, Any] = {}

    def incident_url(self, message: Message) -> str:
        """The incident's page, or the alerts page."""
        page = f"/incidents/{message.incident}" if message.incident is not None else "/alerts"
        if message.gathered:
            page = "/incidents"
        return self.base_url + page

    def colour(self, message: Message) -> str:
        """Red, amber or green."""
        if message.kind == "resolved":
            return COLOURS["resolved"]
        return COLOURS.get(self.severity, COLOURS["warning"])


def subject(message: Message) -> str:
    """One line."""
    word = {
        "firing": gettext("Firing"),
        "resolved": gettext("Resolved"),
        "escalation": gettext("Nobody has answered"),
        "test": gettext("Test"),
    }[message.kind]
    title = message.title
    if message.gathered:
        title = ngettext("%(num)d incident", "%(num)d incidents", message.gathered) % {
            "num": message.gathered
        }
    return " ".join(f"{word}: {title}".split())[:200]


def reason(message: Message) -> str:
    """Why a message comes that no alert asked for; empty for others."""
    forms = {
        "silent_min": gettext("Nobody has acknowledged this for %s min."),
        "asked_by": gettext("%s asks you to look."),
        "closed_by": gettext("Closed by %s."),
    }
    return next((forms[key] % value for key, value in message.reason.items() if key in forms), "")


def alert_line(alert: Alert) -> str:
    """What an alert says about itself."""
    said = alert.annotations.get("summary") or alert.annotations.get("description") or alert.name
    named = ", ".join(
        f"{k}={v}" for k, v in sorted(alert.labels.items()) if k not in {"alertname", "severity"}
    )
    said = translated(said)
    return f"{said} ({named})" if named else said


def text(message: Message, context: Context) -> str:
    """The plain form."""
    lines = [subject(message), "", translated(message.summary)]
    if said := reason(message):
        lines += ["", said]
    if message.late_s >= 60:
        lines += ["", gettext("This message is %s minutes late.") % round(message.late_s / 60)]
    lines += ["", *(f"- {alert_line(one)}" for one in message.alerts)]
    if message.more:
        lines.append(gettext("and %s more") % message.more)
    lines += ["", f"{gettext('Incident')}: {context.incident_url(message)}"]
    if context.ack_url:
        lines.append(f"{gettext('Acknowledge')}: {context.ack_url}")
    return "\n".join(lines)


def html(message: Message, context: Context) -> str:
    """The HTML form of mail."""
    template = _environment().get_template("alerts/mail.jinja")
    return template.render(
        message=message,
        summary=translated(message.summary),
        reason=reason(message),
        subject=subject(message),
        url=context.incident_url(message),
        ack_url=context.ack_url,
        colour=context.colour(message),
        lines=[alert_line(one) for one in message.alerts],
        _=gettext,
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(web_dir() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def rfc3339(seconds: float | None) -> str:
    """An instant as Alertmanager writes it; none is Go's zero time."""
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def common(maps: list[dict[str, str]]) -> dict[str, str]:
    """The pairs that all maps have."""
    if not maps:
        return {}
    return {k: v for k, v in maps[0].items() if all(other.get(k) == v for other in maps[1:])}


class Data:
    """What Alertmanager templates call the data: `.Status`, `.Alerts.Firing`, `.CommonLabels`, …"""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def go_field(self, name: str) -> Any:
        """A field by its Go name."""
        if name not in self._fields:
            raise TemplateError(f"can't evaluate field {name}")
        return self._fields[name]


class Pairs(dict[str, str]):
    """Labels with the methods that templates call on them."""

    def go_field(self, name: str) -> Any:
        """A method or a label."""
        methods: dict[str, Callable[..., Any]] = {
            "SortedPairs": lambda: [Data({"Name": k, "Value": self[k]}) for k in sorted(self)],
            "Names": lambda: sorted(self),
            "Values": lambda: [self[k] for k in sorted(self)],
        }
        if name in methods:
            return methods[name]()
        if name == "Remove":
            return lambda names: Pairs({k: v for k, v in self.items() if k not in names})
        return self.get(name, "")


class Alerts(list[Data]):
    """Alerts with `.Firing` and `.Resolved`."""

    def go_field(self, name: str) -> Any:
        """A part of the alerts."""
        if name not in {"Firing", "Resolved"}:
            raise TemplateError(f"can't evaluate field {name}")
        return Alerts([one for one in self if one.go_field("Status") == name.lower()])


def data(message: Message, context: Context) -> Data:
    """The data of Alertmanager's templates."""
    from mamimon.alerts.templates.functions import to_time

    def one(alert: Alert) -> Data:
        return Data(
            {
                "Status": "resolved" if alert.ends_at is not None else "firing",
                "Labels": Pairs(alert.labels),
                "Annotations": Pairs(alert.annotations),
                "StartsAt": to_time(alert.starts_at),
                "EndsAt": to_time(alert.ends_at or 0),
                "GeneratorURL": alert.generator_url,
                "Fingerprint": alert.fingerprint,
            }
        )

    return Data(
        {
            "Receiver": message.receiver,
            "Status": message.status,
            "Alerts": Alerts(one(alert) for alert in message.alerts),
            "GroupLabels": Pairs(message.group_labels),
            "CommonLabels": Pairs(common([a.labels for a in message.alerts])),
            "CommonAnnotations": Pairs(common([a.annotations for a in message.alerts])),
            "ExternalURL": context.base_url,
            "TruncatedAlerts": message.more,
        }
    )
