"""Keeps the rota in memory and applies it: who is told first, and who may sleep."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from mamimon.alerts import routing as routes
from mamimon.alerts.oncall import rota as turns
from mamimon.alerts.oncall import store
from mamimon.alerts.oncall.model import Duty, Override, Rota
from mamimon.alerts.routing import Routing, Target
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from mamimon.storage import Core

MOST_OVERRIDES = 200


class Desk:
    """The rota of one server; without one everything stays as the settings say."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.rota: Rota | None = None
        self.overrides: list[Override] = []
        self._applied: tuple[object, list[str], Routing] | None = None

    async def open(self) -> None:
        """Read the rota back."""
        now = self._core.clock.now()
        self.rota, self.overrides = await self._core.state.read(lambda raw: store.load(raw, now))
        self._applied = None

    async def set(self, rota: Rota | None) -> None:
        """Use another rota, or none."""
        if rota is not None:
            turns.check(rota)
        await self._core.state.write(lambda raw: store.save(raw, rota))
        await self.open()

    async def stand_in(self, person: str, starts_at: float, ends_at: float, by: str) -> None:
        """Have somebody stand in for whoever's turn it is."""
        if self.rota is None:
            raise bad_input("there is no rota to stand in for")
        if not self._core.clock.now() < ends_at or not starts_at < ends_at <= starts_at + turns.LONGEST_S:
            raise bad_input("a stand-in must end in the future, and after it starts")
        if len(self.overrides) >= MOST_OVERRIDES:
            raise bad_input(f"there are {MOST_OVERRIDES} stand-ins already")
        one = msgspec.convert(
            {"id": 0, "person": person, "starts_at": starts_at, "ends_at": ends_at, "made_by": by}, Override
        )
        await self._core.state.write(lambda raw: store.add_override(raw, one))
        await self.open()

    async def cancel(self, number: int) -> None:
        """Take a stand-in back."""
        if not await self._core.state.write(lambda raw: store.drop_override(raw, number)):
            raise not_found(f"there is no stand-in {number}")
        await self.open()

    def now(self) -> Duty | None:
        """Who is on call, since when and until when."""
        at = self._core.clock.now()
        found = self.schedule(at, at + 35 * turns.DAY_S)
        return found[0] if found else None

    def schedule(self, start: float, end: float) -> list[Duty]:
        """Duties of a time; none without a rota."""
        return turns.schedule(self.rota, self.overrides, start, end) if self.rota else []

    def quiet_until(self, person: str, severity: str) -> float | None:
        """When a person who sleeps now may be told; None is now."""
        if self.rota is None:
            return None
        return turns.quiet_until(self.rota, person, severity, self._core.clock.now())

    def key(self, secret: bytes) -> str:
        """What stands in the calendar's address, so that a phone without a session can read it."""
        return hmac.new(secret, b"calendar", hashlib.sha256).hexdigest()[:32]

    def apply(self, base: Routing) -> Routing:
        """The routing with people in the order of their turns; the built-in one tells who is on call."""
        if self.rota is None:
            return base
        people = turns.order(self.rota, self.overrides, self._core.clock.now())
        if self._applied is not None and self._applied[0] is base and self._applied[1] == people:
            return self._applied[2]
        settings = self._core.settings.alerts
        ordered = {one.ref: one for one in (routes.person_target(settings, address) for address in people)}
        ordered = (ordered | base.people) if settings.smtp_server else base.people
        least: dict[str, str] = dict(self.rota.least)
        applied = msgspec.structs.replace(base, people=ordered, least=least)
        if not base.original and ordered:
            receiver = base.receivers[routes.BUILTIN_RECEIVER]
            others: list[Target] = [one for one in receiver.targets if one.kind != "email"]
            first = next(iter(ordered.values()))
            told = msgspec.structs.replace(receiver, targets=[first, *others])
            applied = msgspec.structs.replace(applied, receivers={routes.BUILTIN_RECEIVER: told})
        self._applied = (base, people, applied)
        return applied
