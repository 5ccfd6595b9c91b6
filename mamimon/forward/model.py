"""What goes out, what came of it, and how forwarding stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Document(msgspec.Struct, frozen=True):
    """One log line on its way out; `id` makes sending it twice harmless."""

    id: str
    index: str
    raw: bytes


class DeadLetter(msgspec.Struct, frozen=True):
    """A document that the target refused for good."""

    at: float
    index: str
    doc_id: str
    reason: str
    document: str


class ForwardStatus(msgspec.Struct):
    """How forwarding to one target stands; times are epoch seconds."""

    target: str
    state: str = "starting"
    """starting, up, away, or off with the reason in `message`."""
    message: str = ""
    sent: int = 0
    dead: int = 0
    retries: int = 0
    caught_up_at: float | None = None
    since: float = 0.0


class Hit(Protocol):
    """What forwarding needs of a `LogHit`."""

    id: str
    dataset: str
    time: float
    raw: bytes
    index: str


class LogSource(Protocol):
    """What forwarding needs of the log store."""

    async def read_after(self, cursor: str, limit: int) -> tuple[Sequence[Hit], str]:
        """Lines after `cursor` in the order they were acknowledged, and the cursor behind them."""
        ...

    async def cursor_now(self) -> str:
        """The cursor behind the newest line."""
        ...
