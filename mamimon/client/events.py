"""Product events: who did what, batched like everything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from mamimon.client import agent
from mamimon.client.context import current
from mamimon.client.logs import get_logger
from mamimon.client.mask import mask_sensitive_data
from mamimon.client.plain import plain

_RANK = 2


def track_event(
    user_id: str, event_type: str, metadata: Optional[Mapping[str, Any]] = None, **properties: Any
) -> None:
    """Record that a user did something: `track_event(user_id="u1", event_type="login", metadata={…})`.

    The server replaces the user by a pseudonym before it stores anything. Without `init` the event is
    logged instead.
    """
    settings = agent.settings()
    fields = plain({**(metadata or {}), **properties})
    if settings.mask:
        fields = mask_sensitive_data(fields)
    bound = current()
    for name in ("request_id", "trace_id"):
        if name in bound:
            fields.setdefault(name, bound[name])
    fields.setdefault("service", settings.service)
    if not agent.ships("event"):
        get_logger("mamimon.events").info(
            "event %s", event_type, extra={"event": event_type, "user": str(user_id), "properties": fields}
        )
        return
    event = {"event": str(event_type)[:200], "distinct_id": str(user_id)[:200], "properties": fields}
    agent.put("event", (time.time(), event), _RANK)
