"""Silences, inhibition and muted times: why an alert is not told to anybody now."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from mamimon.alerts.matchers import Matcher, all_match
from mamimon.alerts.model import Alert, Labels
from mamimon.problems import bad_input, not_found

KEEP_EXPIRED_S = 120 * 3600.0


class Silence(msgspec.Struct, kw_only=True):
    """Alerts that all of `matchers` match are not told between two instants."""

    id: str
    matchers: list[Matcher]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    updated_at: float
    annotations: Labels = {}

    def state(self, now: float) -> Literal["expired", "active", "pending"]:
        """Where `now` is relative to it."""
        if now >= self.ends_at:
            return "expired"
        return "pending" if now < self.starts_at else "active"


class Inhibition(msgspec.Struct, frozen=True):
    """While an alert matches `source`, those matching `target` with equal labels are not told."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


class Silences:
    """All silences, in memory; the room writes the rows."""

    def __init__(self, loaded: Iterable[Silence] = ()) -> None:
        self._all = {one.id: one for one in loaded}

    def get(self, silence_id: str) -> Silence:
        """One by id; raises `Problem(NOT_FOUND)`."""
        found = self._all.get(silence_id)
        if found is None:
            raise not_found(f"silence {silence_id[:64]} not found")
        return found

    def all(self, now: float) -> list[Silence]:
        """Active ones first, then pending, then expired, each by when it ends."""
        order = {"active": 0, "pending": 1, "expired": 2}
        return sorted(
            self._all.values(),
            key=lambda one: (
                order[one.state(now)],
                one.ends_at if one.state(now) != "expired" else -one.ends_at,
            ),
        )

    def put(self, silence: Silence, now: float) -> tuple[Silence, list[Silence]]:
        """Create, or change the one of that id; returns what is kept and every row to write.

        As Alertmanager does it: matchers or a start in the past that change make a new silence and
        expire the old one. Raises `Problem`.
        """
        if not silence.matchers:
            raise bad_input("invalid silence: matcher set 0: at least one matcher required")
        if all(one.matches({}) for one in silence.matchers):
            raise bad_input(
                "invalid silence: matcher set 0: at least one matcher must not match the empty string"
            )
        if silence.ends_at <= silence.starts_at:
            raise bad_input("silence invalid: end time must not be before start time")
        if silence.ends_at <= now:
            raise bad_input("silence invalid: end time can't be in the past")
        if len(self._all) >= 10_000:
            raise bad_input("there are more than 10000 silences")
        silence.updated_at = now
        rows: list[Silence] = []
        if silence.id:
            old = self.get(silence.id)
            same = old.matchers == silence.matchers and old.state(now) != "expired"
            if same and (old.state(now) == "pending" or abs(old.starts_at - silence.starts_at) < 1):
                silence.starts_at = max(silence.starts_at, min(now, old.starts_at))
                self._all[silence.id] = silence
                return silence, [silence]
            if old.state(now) != "expired":
                rows.append(self._end(old, now))
        silence.id = str(uuid.uuid4())
        silence.starts_at = max(silence.starts_at, now)
        self._all[silence.id] = silence
        return silence, [*rows, silence]

    def expire(self, silence_id: str, now: float) -> Silence:
        """End it now; raises `Problem` where there is none or it is over."""
        silence = self.get(silence_id)
        if silence.state(now) == "expired":
            raise bad_input(f"silence {silence_id[:64]} already expired")
        return self._end(silence, now)

    def _end(self, silence: Silence, now: float) -> Silence:
        silence.ends_at = now
        silence.starts_at = min(silence.starts_at, now)
        silence.updated_at = now
        return silence

    def forget(self, now: float) -> list[str]:
        """Drop those that expired five days ago; returns their ids."""
        old = [one.id for one in self._all.values() if one.ends_at < now - KEEP_EXPIRED_S]
        for silence_id in old:
            del self._all[silence_id]
        return old

    def hiding(self, labels: Labels, now: float) -> list[str]:
        """Ids of the silences that hide an alert with these labels."""
        return [
            one.id
            for one in self._all.values()
            if one.state(now) == "active" and all_match(one.matchers, labels)
        ]


def inhibitors(alert: Alert, rules: Sequence[Inhibition], firing: Sequence[Alert]) -> list[str]:
    """Fingerprints of the firing alerts that keep `alert` from being told."""
    found: list[str] = []
    for rule in rules:
        if not all_match(rule.target, alert.labels):
            continue
        # An alert that is source and target at once is not inhibited by another such alert.
        both = all_match(rule.source, alert.labels)
        for other in firing:
            if (
                all_match(rule.source, other.labels)
                and not (both and all_match(rule.target, other.labels))
                and all(other.labels.get(n, "") == alert.labels.get(n, "") for n in rule.equal)
            ):
                found.append(other.fingerprint)
                break
    return found
