"""The life of one rule's alerts: inactive, pending, firing, resolved.

Pure: what a rule's result at an instant makes of the alerts it had. `engine` does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mamimon.alerts.model import ActiveAlert, Labels, Rule

KEEP_RESOLVED_S = 900.0


class Found(msgspec.Struct):
    """One element of a rule's result with its labels and annotations expanded."""

    labels: Labels
    annotations: Labels
    value: float


def advance(
    rule: Rule, had: Mapping[str, ActiveAlert], found: Mapping[str, Found], at: float, *, hold: bool = False
) -> tuple[list[ActiveAlert], list[str]]:
    """The alerts that changed and the fingerprints that are gone.

    With `hold` an alert that the result no longer has stays as it is: after a start or a sleep the
    store may not have seen its targets yet, and that is no reason to say that all is well.
    """
    changed: list[ActiveAlert] = []
    for key, one in found.items():
        old = had.get(key)
        if old is None or old.resolved_at:
            old = ActiveAlert(
                fingerprint=key,
                labels=one.labels,
                annotations=one.annotations,
                state="pending",
                value=one.value,
                active_at=at,
            )
        fires = old.state == "firing" or at - old.active_at >= rule.for_s
        changed.append(
            msgspec.structs.replace(
                old,
                annotations=one.annotations,
                value=one.value,
                state="firing" if fires else "pending",
                fired_at=old.fired_at or (at if fires else 0.0),
                keep_since=0.0,
            )
        )
    gone: list[str] = []
    for key, old in had.items():
        if key in found:
            continue
        if old.resolved_at:
            if at - old.resolved_at > KEEP_RESOLVED_S:
                gone.append(key)
        elif hold:
            continue
        elif old.state == "pending":
            gone.append(key)
        elif rule.keep_firing_for_s and at - (old.keep_since or at) < rule.keep_firing_for_s:
            if not old.keep_since:
                changed.append(msgspec.structs.replace(old, keep_since=at))
        else:
            changed.append(msgspec.structs.replace(old, state="inactive", resolved_at=at))
    return changed, gone
