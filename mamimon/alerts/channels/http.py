"""Slack's incoming webhooks and Alertmanager's webhook, by httpx.

apprise sends Slack webhooks to hooks.slack.com only; ours may be any address that speaks Slack's
form (Mattermost, Rocket.Chat, a proxy), so it is posted here. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from mamimon.alerts.model import Alert, Message, Outcome
from mamimon.alerts.routing import Target
from mamimon.alerts.templates import TemplateError, render
from mamimon.alerts.translated import translated
from mamimon.alerts.wording import Context, alert_line, common, data, reason, rfc3339, subject
from mamimon.i18n import gettext

if TYPE_CHECKING:
    import httpx

_ANSWER = 400
_WORDS_S = 2.0
_SHOWN = 10


async def slack(target: Target, message: Message, context: Context, client: httpx.AsyncClient) -> Outcome:
    """Post text, a coloured attachment with blocks, and links to the incident and its button."""
    title, body = subject(message), translated(message.summary)
    try:
        if target.options.get("title"):
            title = _own(target.options["title"], message, context)
        if target.options.get("text"):
            body = _own(target.options["text"], message, context)
    except TemplateError as error:
        body = f"{message.summary}\n{gettext('The template of this receiver failed')}: {error}"
    payload: dict[str, Any] = {
        "text": title,
        "attachments": [{"color": context.colour(message), "blocks": _blocks(title, body, message, context)}],
    }
    for key in ("channel", "username", "icon_emoji"):
        if target.options.get(key):
            payload[key] = target.options[key]
    return await _post(client, target.options["url"], payload, {}, None)


def _own(template: str, message: Message, context: Context) -> str:
    return render(template, data(message, context), defines=context.templates)


def _escape(text: str) -> str:
    # Slack's own rule: only these three characters are control characters in text.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(title: str, body: str, message: Message, context: Context) -> list[dict[str, Any]]:
    lines = [f"• {_escape(alert_line(one))}" for one in message.alerts[:_SHOWN]]
    hidden = message.more + max(0, len(message.alerts) - _SHOWN)
    if hidden:
        lines.append(gettext("and %s more") % hidden)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:150]}},
        {"type": "section", "text": {"type": "mrkdwn", "text": _escape(body)[:2900] or "–"}},
    ]
    if said := reason(message):
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _escape(said)[:2900]}})
    if lines:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:2900]}})
    buttons = [_button(gettext("Open the incident"), context.incident_url(message))]
    if context.ack_url:
        buttons.insert(0, {**_button(gettext("Acknowledge"), context.ack_url), "style": "primary"})
    blocks.append({"type": "actions", "elements": buttons})
    return blocks


def _button(text: str, url: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}


async def webhook(target: Target, message: Message, context: Context, client: httpx.AsyncClient) -> Outcome:
    """Post the JSON of Alertmanager's webhook, version 4, with the incident and its link beside it."""
    limit = int(target.options.get("max_alerts") or 0)
    alerts = message.alerts[:limit] if limit else message.alerts
    payload = {
        "version": "4",
        "groupKey": message.group_key,
        "truncatedAlerts": message.more + len(message.alerts) - len(alerts),
        "status": message.status,
        "receiver": message.receiver,
        "groupLabels": message.group_labels,
        "commonLabels": common([one.labels for one in message.alerts]),
        "commonAnnotations": common([one.annotations for one in message.alerts]),
        "externalURL": context.base_url,
        "alerts": [_alert(one) for one in alerts],
        "mamimon": {
            "kind": message.kind,
            "incident": message.incident,
            "incidentURL": context.incident_url(message),
            "acknowledgeURL": context.ack_url,
        },
    }
    headers = {}
    if target.options.get("authorization"):
        headers["Authorization"] = str(target.options["authorization"])
    basic = target.options.get("basic")
    return await _post(
        client, target.options["url"], payload, headers, (basic[0], basic[1]) if basic else None
    )


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "status": "resolved" if alert.ends_at is not None else "firing",
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts_at),
        "endsAt": rfc3339(alert.ends_at),
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }


async def _post(
    client: httpx.AsyncClient,
    url: str,
    payload: dict[str, Any],
    headers: dict[str, str],
    basic: tuple[str, str] | None,
) -> Outcome:
    import httpx

    try:
        async with client.stream("POST", url, json=payload, headers=headers, auth=basic) as answer:
            text = await _words(answer)
            shown = f"HTTP {answer.status_code} {text}".strip()
            if answer.is_success:
                return Outcome(True, shown)
            return Outcome(
                False,
                shown,
                retry=answer.status_code in {408, 425, 429} or answer.status_code >= 500,
                retry_after_s=_retry_after(answer.headers.get("retry-after", "")),
            )
    except httpx.InvalidURL as error:
        return Outcome(False, f"the URL cannot be used: {error}", retry=False)
    except httpx.HTTPError as error:
        return Outcome(False, f"{type(error).__name__}: {error}"[:_ANSWER])


async def _words(answer: httpx.Response) -> str:
    """The beginning of the answer's text. Its status decides: a body that never ends is not waited for,
    or what was taken would be sent again and again."""
    body = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WORDS_S):
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _ANSWER:
                    break
    return body[:_ANSWER].decode("utf-8", "replace").strip()


def _retry_after(text: str) -> float | None:
    return min(float(text), 3600.0) if text.isdigit() else None
