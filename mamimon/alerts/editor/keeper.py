"""People's own rules in memory: saved with an entry in the audit log, then evaluated at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from mamimon.accounts.audit_store import note
from mamimon.alerts.editor import store
from mamimon.alerts.editor.drafts import check
from mamimon.alerts.editor.model import OwnRule
from mamimon.alerts.model import RuleGroup
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from mamimon.storage import Core

FILE = "own rules"
GROUP = "own"
MOST_RULES = 1000


class OwnRules:
    """Every own rule of one server; `changed` makes the engine take them over."""

    def __init__(self, core: Core, changed: Callable[[], Awaitable[None]]) -> None:
        self._core = core
        self._changed = changed
        self.all: list[OwnRule] = []

    async def open(self) -> None:
        """Read them back."""
        self.all = await self._core.state.read(store.load)

    def groups(self, interval_s: float) -> list[RuleGroup]:
        """The enabled ones, beside those of the files: a group of all on metrics, and one a rule on logs.

        Counting lines may take seconds, which no other rule shall wait for.
        """
        metric = [one.rule() for one in self.all if one.enabled and one.kind == "metric"]
        parts = {GROUP: metric} if metric else {}
        parts |= {
            f"{GROUP}: {one.name}": [one.rule()] for one in self.all if one.enabled and one.kind == "logs"
        }
        return [
            RuleGroup(name=name, file=FILE, rules=rules, interval_s=interval_s)
            for name, rules in parts.items()
        ]

    def get(self, number: int) -> OwnRule:
        """One by its number; raises `Problem(NOT_FOUND)`."""
        found = next((one for one in self.all if one.id == number), None)
        if found is None:
            raise not_found(f"there is no rule {number}")
        return found

    async def save(self, rule: OwnRule, by: str) -> OwnRule:
        """Add a rule (id 0) or change one; raises `Problem` for a rule that cannot be evaluated."""
        errors = check(rule)
        if errors:
            field, message = next(iter(errors.items()))
            raise bad_input(f"{field}: {message}")
        if not rule.id and len(self.all) >= MOST_RULES:
            raise bad_input(f"there are {MOST_RULES} rules already; rule files hold more")
        if rule.id:
            rule = msgspec.structs.replace(rule, enabled=self.get(rule.id).enabled)
        return await self._write(rule, by, "rule.change" if rule.id else "rule.add")

    async def enable(self, number: int, enabled: bool, by: str) -> OwnRule:
        """Have a rule evaluated or not."""
        rule = msgspec.structs.replace(self.get(number), enabled=enabled)
        return await self._write(rule, by, "rule.enable" if enabled else "rule.disable")

    async def _write(self, rule: OwnRule, by: str, action: str) -> OwnRule:
        now = self._core.clock.now()
        rule = msgspec.structs.replace(rule, updated_at=now, updated_by=by)

        def work(raw: sqlite3.Connection) -> OwnRule:
            kept = store.save(raw, rule)
            note(raw, now, by, action, rule.name)
            return kept

        kept = await self._core.state.write(work)
        await self._reload()
        return kept

    async def delete(self, number: int, by: str) -> None:
        """Delete a rule; its alerts end."""
        rule, now = self.get(number), self._core.clock.now()

        def work(raw: sqlite3.Connection) -> None:
            store.delete(raw, number)
            note(raw, now, by, "rule.delete", rule.name)

        await self._core.state.write(work)
        await self._reload()

    async def _reload(self) -> None:
        await self.open()
        await self._changed()
