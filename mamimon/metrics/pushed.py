"""Groups of metrics that short-lived jobs push, shown again at each scrape interval as a Pushgateway would.

A group stays until it is deleted, over restarts as well. Its series are kept as the whole state of one
source, so what a push no longer has ends, and a deleted group ends altogether.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels
from mamimon.metrics.store import Scrape, SeriesStore, groups
from mamimon.metrics.store.scrape import scrape_of
from mamimon.metrics.wire.pushgateway import Families
from mamimon.metrics.wire.remote_write import Described
from mamimon.problems import Problem, bad_input, too_large

if TYPE_CHECKING:
    from mamimon.metrics.ingest import Pusher
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")
MOST_GROUPS = 10_000
_BATCH = 200


class Group(msgspec.Struct):
    """What was pushed under one grouping key; times in epoch seconds, 0 for never."""

    labels: Labels
    families: Families = {}
    pushed_at: float = 0.0
    failed_at: float = 0.0
    last_ms: int = 0
    """When its state was stored last."""

    @property
    def key(self) -> str:
        """The grouping key as text."""
        return msgspec.json.encode(self.labels, order="sorted").decode()

    @property
    def source(self) -> str:
        """The name of its chunk source in the store."""
        return f"pushed\0{self.key}"

    def samples(self) -> list[tuple[Labels, float | Histogram]]:
        """The group's whole state, the two times about it included."""
        out = [sample for family in self.families.values() for sample in family.samples]
        out.append(({**self.labels, "__name__": "push_time_seconds"}, self.pushed_at))
        out.append(({**self.labels, "__name__": "push_failure_time_seconds"}, self.failed_at))
        return out


class PushedGroups:
    """The groups; `run` is the background task that shows them again."""

    def __init__(self, core: Core, store: SeriesStore, pusher: Pusher) -> None:
        self._core = core
        self._store = store
        self._pusher = pusher
        self._turn = asyncio.Lock()
        self.groups: dict[str, Group] = {}

    async def open(self) -> None:
        """Read the groups back."""
        for body in await self._core.state.read(groups.load):
            group = msgspec.msgpack.decode(body, type=Group)
            self.groups[group.key] = group
            self._describe(group)

    async def push(self, labels: Labels, families: Families, *, replace: bool) -> None:
        """Take in a push, durable on return: the whole group, or only the metrics of the same names.

        Raises `BAD_INPUT` where a metric has another type in another group, and `TOO_LARGE`.
        """
        async with self._turn:
            before = self.groups.get(Group(labels).key, Group(labels))
            group = msgspec.structs.replace(before, families=dict(families))
            if not replace:
                group.families = {**before.families, **families}
            self._check(group)
            group.pushed_at = self._core.clock.now()
            await self._keep(group)

    async def fail(self, labels: Labels) -> None:
        """Note that a push to a group could not be taken."""
        async with self._turn:
            group = self.groups.get(Group(labels).key)
            if group is None and len(self.groups) >= MOST_GROUPS:
                return
            group = group or Group(labels)
            await self._keep(msgspec.structs.replace(group, failed_at=self._core.clock.now()))

    async def delete(self, labels: Labels) -> None:
        """Delete a group, if it is there; its series end."""
        async with self._turn:
            key = Group(labels).key
            group = self.groups.pop(key, None)
            if group is None:
                return
            await self._core.state.write(lambda raw: groups.delete(raw, key))
            await self._store.end(group.source, self._stamp(group))

    async def run(self) -> None:
        """Show every group again at each scrape interval until cancelled."""
        while True:
            await self._core.clock.sleep(self._core.settings.metrics.scrape_interval_s)
            if not self._core.writable():
                continue
            await self._show_all()

    async def _show_all(self) -> None:
        """Store every group's state, many in one transaction; between them a push may come in."""
        keys = list(self.groups)
        for start in range(0, len(keys), _BATCH):
            async with self._turn:
                groups = [self.groups[key] for key in keys[start : start + _BATCH] if key in self.groups]
                by_day: dict[str, list[Scrape]] = {}
                for group in groups:
                    group.last_ms = self._stamp(group)
                    day = await self._store.day_of(group.last_ms)
                    scrape = scrape_of(day, group.source, group.last_ms, group.samples())
                    by_day.setdefault(day.name, []).append(scrape)
                try:
                    for scrapes in by_day.values():
                        await self._store.write(scrapes)
                except Problem as problem:
                    _log.warning("pushed groups cannot be stored: %s", problem.detail)

    def _check(self, group: Group) -> None:
        if group.key not in self.groups and len(self.groups) >= MOST_GROUPS:
            raise too_large(f"there are {MOST_GROUPS} groups already; delete some")
        most = self._core.settings.metrics.max_series_per_target
        if sum(len(family.samples) for family in group.families.values()) > most:
            raise too_large(f"a group has more than {most} series (max_series_per_target)")
        for other in self.groups.values():
            for name in other.families.keys() & group.families.keys() if other.key != group.key else ():
                ours, theirs = group.families[name].kind, other.families[name].kind
                if ours != theirs:
                    raise bad_input(
                        "pushed metrics are invalid or inconsistent with existing metrics: "
                        f"{name} is a {ours} here and a {theirs} in group {other.key}"
                    )
        for family in group.families.values():
            for labels, _ in family.samples:
                problem = self._pusher.over_limits(labels)
                if problem:
                    raise bad_input(problem)

    async def _keep(self, group: Group) -> None:
        await self._core.state.write(lambda raw: groups.put(raw, group.key, msgspec.msgpack.encode(group)))
        self.groups[group.key] = group
        self._describe(group)
        await self._show(group)

    async def _show(self, group: Group) -> None:
        group.last_ms = self._stamp(group)
        await self._store.append(group.source, group.last_ms, group.samples())

    def _stamp(self, group: Group) -> int:
        # Two pushes within a millisecond are two states.
        return max(round(self._core.clock.now() * 1000), group.last_ms + 1)

    def _describe(self, group: Group) -> None:
        for name, family in group.families.items():
            self._pusher.describe(Described(name, family.kind, family.help, family.unit))
