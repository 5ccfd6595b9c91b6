"""A suggestion of where to look first, as facts; the page puts them into words."""

from __future__ import annotations

from typing import Literal

import msgspec

from mamimon.alerts.model import Labels

Kind = Literal["endpoint", "pattern", "deploy", "error", "series"]
WORDS: dict[Kind, str] = {
    "endpoint": "Endpoint",
    "pattern": "Log pattern",
    "deploy": "Deploy",
    "error": "Error",
    "series": "Metric",
}
"""What people call them."""
HEADS = 3
"""How many suggestions stand out."""


class Clue(msgspec.Struct, kw_only=True):
    """Something that may be the cause or the place of an incident."""

    kind: Kind
    name: str
    """The endpoint, the pattern, the version, the error's title or the metric."""
    weight: float
    """How much it explains, 0 to 1; the list is ordered by it."""
    url: str
    since: float | None = None
    """When it began, epoch seconds."""
    labels: Labels = {}
    level: str = ""
    new: bool = False
    """Nothing like it was seen before."""
    unit: Literal["", "share", "seconds", "lines", "events", "per second", "mean"] = ""
    """What `before` and `now` are."""
    before: float | None = None
    now: float | None = None
    note: str = ""
    """The service of a deploy, the place of an error."""


def ordered(clues: list[Clue]) -> list[Clue]:
    """The best of each kind first, then the rest: the second-best pattern tells less than the best deploy."""
    ranked = sorted(clues, key=lambda one: -one.weight)
    seen: set[str] = set()
    heads = []
    for one in ranked:
        if one.kind not in seen:
            seen.add(one.kind)
            heads.append(one)
    return heads + [one for one in ranked if not any(one is head for head in heads)]
