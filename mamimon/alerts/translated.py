"""The built-in rules' sentences in the reader's language.

An annotation is a finished text: it is stored, sent to webhooks and given out by the API as
Alertmanager's form has it. Where people read one that a built-in rule made, on a page, by mail or in
Slack, its sentence is known again by its shape, and said in their language with the same values.
"""

from __future__ import annotations

import re
from functools import cache

from mamimon.i18n import N_, current_locale, gettext

# As in builtin_rules.yml, with a hole for each value; a test holds the two together.
_SENTENCES = (
    N_("%(share)s of the requests to %(job)s fail"),
    N_("%(job)s answers slowly: p95 is %(duration)s"),
    N_("The disk of %(instance)s is %(percent)s %% full"),
    N_("%(percent)s %% of the memory of %(instance)s is in use"),
    N_("%(job)s at %(instance)s has been down for 5 minutes"),
    N_("The check %(name)s has failed for 5 minutes"),
    N_("The check %(name)s has been degraded for 10 minutes"),
    N_("Messages by %(channel)s do not arrive"),
    N_("Each attempt and its answer is on the incident's page; /settings/alerts sends a test."),
    N_("More than 5 %% of the requests of the last 5 minutes ended in an error."),
    N_("One request in twenty of the last 5 minutes took longer than 5 seconds."),
    N_("Delete what is not needed or add space; at 100 %% nothing is stored any more."),
    N_("The machine will start to swap or end processes."),
    N_("Its metrics cannot be scraped; /targets shows why."),
    N_("/checks shows what it last answered."),
    N_("This is a test. Alerts will reach you here."),
)
_MORE = re.compile(r" \(\+\d+\)$")


def translated(text: str) -> str:
    """`text` in the language of the request where a built-in rule says it, else as it is."""
    if current_locale.get() == "en":
        return text
    more = _MORE.search(text)
    bare = text[: more.start()] if more else text
    for sentence in _SENTENCES:
        found = _shape(sentence).fullmatch(bare)
        if found is not None:
            return gettext(sentence) % found.groupdict() + (more[0] if more else "")
    return text


@cache
def _shape(sentence: str) -> re.Pattern[str]:
    parts = re.split(r"%\((\w+)\)s", sentence)
    literal = [re.escape(part.replace("%%", "%")) for part in parts[::2]]
    holes = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile("".join(a + b for a, b in zip(literal, [*holes, ""], strict=True)))
