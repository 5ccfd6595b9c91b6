"""The rota: whose turn it is, who stands in, and who sleeps when."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Address = Annotated[str, msgspec.Meta(min_length=3, max_length=200, pattern=r"^[^\s,<>]+@[^\s,<>]+$")]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
LOUD = {"critical", "page"}
"""Severities that ring in quiet hours too."""


class Quiet(msgspec.Struct, frozen=True):
    """From when until when, by the rota's clock, somebody is woken by loud alerts only."""

    start: TimeOfDay
    end: TimeOfDay


class Rota(msgspec.Struct, frozen=True, kw_only=True):
    """People take turns of `period_days`, each starting at `handover` by the clock of `zone`."""

    people: Annotated[list[Address], msgspec.Meta(min_length=1, max_length=50)]
    zone: str = "UTC"
    first_day: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """The day on which the first person's first turn starts."""
    handover: TimeOfDay = "09:00"
    period_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
    quiet: dict[str, Quiet] = {}
    """By address."""
    least: dict[str, Literal["warning", "critical"]] = {}
    """By address, the mildest severity that is told at all; all of them where there is none."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody stands in from `starts_at` until `ends_at` (epoch seconds), whoever's turn it is."""

    id: int
    person: str
    starts_at: float
    ends_at: float
    made_by: str = ""


class Duty(msgspec.Struct, frozen=True):
    """A stretch of time and who is on call in it."""

    person: str
    starts_at: float
    ends_at: float
    override: bool = False
