"""Sends one message to one target, whatever its kind; never raises for what the receiver does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mamimon.alerts.channels import http, mail
from mamimon.alerts.model import Message, Outcome
from mamimon.alerts.routing import Target
from mamimon.alerts.wording import Context

if TYPE_CHECKING:
    import httpx


async def send(target: Target, message: Message, context: Context, client: httpx.AsyncClient) -> Outcome:
    """The receiver's real answer; past `context.timeout_s` the attempt is given up."""
    try:
        async with asyncio.timeout(context.timeout_s):
            if target.kind == "email":
                return await mail.send(target, message, context)
            if target.kind == "slack":
                return await http.slack(target, message, context, client)
            if target.kind == "webhook":
                return await http.webhook(target, message, context, client)
            return await mail.other(target, message, context)
    except TimeoutError:
        return Outcome(False, f"no answer within {context.timeout_s:g} s")
