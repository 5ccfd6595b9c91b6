"""What the client's parts share: the settings in force, and the shipper where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

from mamimon.client.settings import Settings, resolve

if TYPE_CHECKING:
    from mamimon.client.shipper import Shipper

_settings: Optional[Settings] = None
_shipper: Optional[Shipper] = None
_children: list[Callable[[], None]] = []


def settings() -> Settings:
    """The settings of `init`, else those of the environment."""
    global _settings  # noqa: PLW0603 - one configuration a process
    if _settings is None:
        _settings = resolve({})
    return _settings


def shipper() -> Optional[Shipper]:
    """The shipper, or None before `init` and where nothing is to be shipped."""
    return _shipper


def configure(new: Settings, sender: Optional[Shipper]) -> None:
    """Put new settings in force; the caller has stopped the shipper before."""
    global _settings, _shipper
    _settings, _shipper = new, sender


def ships(kind: str) -> bool:
    """Whether things of a kind (log, event, error, metrics) go anywhere."""
    if _shipper is None:
        return False
    now = _shipper.settings
    where = {"log": now.bulk_url, "event": now.url, "error": now.url or now.dsn, "metrics": now.url}
    return bool(where[kind])


def put(kind: str, payload: Any, rank: int) -> None:
    """Hand a thing to the shipper if there is one."""
    if _shipper is not None:
        _shipper.put(kind, payload, rank)


def in_children(action: Callable[[], None]) -> None:
    """Run `action` in every forked child, first thing."""
    _children.append(action)


def _after_fork() -> None:
    if _shipper is not None:
        _shipper.after_fork()
    for action in _children:
        action()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
