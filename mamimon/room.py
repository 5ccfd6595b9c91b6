"""What a room of the house offers the server that assembles it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


class Task(msgspec.Struct, frozen=True):
    """A background task: the supervisor runs it under its name and restarts it with back-off."""

    name: str
    run: Callable[[], Awaitable[None]]


class Room(Protocol):
    """The life of a room: opened before the first request, its tasks run, closed after the last."""

    name: str

    async def open(self) -> None:
        """Open files and read state back; must be quick (start to ready is a promise)."""
        ...

    async def close(self) -> None:
        """Flush and release everything; idempotent."""
        ...

    def tasks(self) -> Sequence[Task]:
        """Background tasks to run between `open` and `close`."""
        ...

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """Litestar handlers, routers and mounted ASGI apps of this room's doors and pages."""
        ...


@runtime_checkable
class Badged(Protocol):
    """A room with counts in the navigation; must answer from memory."""

    def badge(self) -> dict[str, int]:
        """Counts by navigation key (`alerts`, `errors`, …); 0 shows nothing."""
        ...


@runtime_checkable
class Direct(Protocol):
    """A room with doors that are too busy for the framework; they stand behind the gate all the same."""

    def direct(self, path: str) -> Callable[[Any, Any, Any], Awaitable[None]] | None:
        """The plain ASGI app of a path, or None where the framework has to look for it."""
        ...


@runtime_checkable
class Prompt(Protocol):
    """A room with doors that answer small questions from memory, before a task is made for the request."""

    def at_once(self) -> Mapping[str, Callable[[Any, bytes], Any]]:
        """The doors (`mamimon.http.AtOnce`) by path; each is served by `direct` too, for what it leaves."""
        ...
