"""The pages of the logs room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core


def page_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/logs` and what is below it."""
    return []
