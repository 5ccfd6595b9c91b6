"""What a setting says of itself: its meaning, limits, whether it is secret, and the mission's name for it."""

from __future__ import annotations

from typing import Any

from msgspec import Meta


def text(about: str, **extra: Any) -> Meta:
    """A setting without limits; `extra` is `secret=True` or `mission="ITS_OLD_NAME"`."""
    return Meta(description=about, extra=extra)


def number(about: str, ge: float | None = None, le: float | None = None, **extra: Any) -> Meta:
    """A number from `ge` to `le`, both included."""
    return Meta(description=about, ge=ge, le=le, extra=extra)
