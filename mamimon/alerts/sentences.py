"""An incident's timeline in the reader's language: entries are stored as kind and facts."""

from __future__ import annotations

import re
from collections.abc import Callable

from mamimon.alerts.model import ROLES, Event
from mamimon.i18n import gettext

# Entries of before there were facts have their English text alone.
_TOLD = re.compile(r"(?P<to>.+) (?P<what>told it is over|told|tested)", re.DOTALL)
_FAILED = re.compile(r"(?P<to>.+?) was not told: (?P<why>.*)", re.DOTALL)


def sentence(event: Event) -> str:
    """What an entry says; what people wrote and what alerts say stays as it is."""
    put = _SENTENCES.get(event.kind)
    said = put(event) if put is not None else None
    return event.text if said is None else said


def deployed(version: str, service: str) -> str:
    """What a deploy's entry says."""
    if service:
        return gettext("deploy of %(service)s: %(version)s") % {"service": service, "version": version}
    return gettext("deploy: %(version)s") % {"version": version}


def _acknowledged(event: Event) -> str | None:
    ways = {
        "page": gettext("acknowledged on the page"),
        "link": gettext("acknowledged by the link in a message"),
        "API": gettext("acknowledged by the API"),
    }
    said = ways.get(event.facts.get("how", ""))
    if said is None:
        return None
    note = event.facts.get("note")
    return f"{said}: “{note}”" if note else said


def _assigned(event: Event) -> str | None:
    if (word := ROLES.get(event.facts.get("role", ""))) is not None:
        return f"{event.facts['to']}: {gettext(word)}"
    return gettext("assigned to %(to)s") % event.facts if event.facts else None


def _resolved(event: Event) -> str | None:
    ways = {"hand": gettext("closed by hand"), "itself": gettext("all alerts are resolved")}
    return ways.get(event.facts.get("by", ""))


def _exhausted(event: Event) -> str | None:
    if not event.facts:
        return None
    return gettext("everybody was told %(rounds)s times; nobody answered") % event.facts


def _escalated(event: Event) -> str | None:
    if not event.facts:
        return None
    facts = {"to": event.facts["to"] or gettext("nobody")}
    if event.facts["asked"]:
        said = gettext("passed it on to %(to)s") % facts
    else:
        said = gettext("no answer: passed on to %(to)s") % facts
    late = int(event.facts["late_min"])
    return f"{said} ({gettext('%s min late') % late})" if late else said


def _held(event: Event) -> str | None:
    return gettext("%(to)s has quiet hours") % event.facts if event.facts else None


def _spared(event: Event) -> str | None:
    return gettext("%(to)s: not told of %(severity)s") % event.facts if event.facts else None


def _untold(event: Event) -> str | None:
    return gettext("nobody is configured to be told; see /settings/alerts") if event.facts else None


def _sent(event: Event) -> str | None:
    found = _TOLD.fullmatch(event.text)
    facts = event.facts or (found.groupdict() if found else {})
    forms = {
        "told": gettext("%(to)s was told"),
        "told it is over": gettext("%(to)s was told that it is over"),
        "tested": gettext("%(to)s was tested"),
        "gathered": gettext("%(to)s is told in one message with others"),
    }
    form = forms.get(facts.get("what", ""))
    return form % facts if form is not None else None


def _failed(event: Event) -> str | None:
    found = _FAILED.fullmatch(event.text)
    facts = event.facts or (found.groupdict() if found else {})
    return gettext("%(to)s was not told: %(why)s") % facts if facts else None


_SENTENCES: dict[str, Callable[[Event], str | None]] = {
    "acknowledged": _acknowledged,
    "assigned": _assigned,
    "resolved": _resolved,
    "exhausted": _exhausted,
    "escalated": _escalated,
    "held": _held,
    "spared": _spared,
    "untold": _untold,
    "sent": _sent,
    "failed": _failed,
}
