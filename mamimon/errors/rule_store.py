"""The rules that people wrote, by project; the only SQL on `error_rules`."""

from __future__ import annotations

import msgspec

from mamimon.errors.rules import Rules, read_fingerprint_rules, read_owner_rules, read_stack_rules
from mamimon.storage import Database


class RuleTexts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The rules of a project as they are written."""

    fingerprint: str = ""
    stack: str = ""
    owners: str = ""

    def read(self) -> Rules:
        """The rules; raises `RuleError`."""
        return Rules(
            read_fingerprint_rules(self.fingerprint),
            read_stack_rules(self.stack),
            read_owner_rules(self.owners),
        )


class RuleStore:
    """Reads and writes rules."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def all(self) -> dict[int, RuleTexts]:
        """Every project's rules."""
        rows = await self._state.read(
            lambda raw: raw.execute("SELECT project_id, kind, text FROM error_rules").fetchall()
        )
        found: dict[int, RuleTexts] = {}
        for project, kind, text in rows:
            setattr(found.setdefault(project, RuleTexts()), kind, text)
        return found

    async def put(self, project: int, texts: RuleTexts) -> None:
        """Write a project's rules."""
        rows = [(project, kind, getattr(texts, kind)) for kind in texts.__struct_fields__]
        await self._state.write(
            lambda raw: raw.executemany(
                "INSERT OR REPLACE INTO error_rules VALUES (?, ?, ?)", rows
            ).fetchall()
        )
