"""Mail and every other service, by apprise.

apprise answers only yes or no; what the server really said is in its log, which is read for the
one call it belongs to: apprise copies the caller's context into its worker thread.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from mamimon.alerts.model import Message, Outcome
from mamimon.alerts.routing import Target
from mamimon.alerts.templates import TemplateError, render
from mamimon.alerts.wording import Context, data, html, subject, text

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_heard: ContextVar[list[str] | None] = ContextVar("mamimon_apprise_log", default=None)


class _Ear(logging.Handler):
    """Collects apprise's log lines for the call in whose context they are written."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = _heard.get()
        if lines is not None and len(lines) < 50:
            lines.append(record.getMessage()[:500])


_ear = _Ear()


def security(setting: str, server: str, port: int) -> str:
    """apprise's name for how the connection is secured."""
    if setting == "auto":
        setting = "ssl" if port == 465 else "none" if server in _LOOPBACK else "starttls"
    return {"ssl": "ssl", "starttls": "starttls"}.get(setting, "insecure")


async def send(target: Target, message: Message, context: Context) -> Outcome:
    """Send HTML and text to one address by SMTP."""
    options = target.options
    mode = security(options["security"], options["server"], int(options["port"]))
    headers: dict[str, str] = {"X-Mamimon": message.kind}
    if message.incident is not None:
        # All messages of an incident refer to one that was never sent: mail programs thread by it.
        thread = f"<incident-{message.incident}@mamimon>"
        headers |= {"References": thread, "In-Reply-To": thread}
    recipe = {
        "schema": "mailto" if mode == "insecure" else "mailtos",
        "host": options["server"],
        "port": int(options["port"]),
        "user": options["username"] or None,
        "password": options["password"] or None,
        "smtp_host": options["server"],
        "from_addr": options["from"],
        "targets": [options["address"]],
        "secure_mode": mode,
        "headers": headers,
        "format": "html",
        "verify": True,
        "rto": context.timeout_s,
        "cto": context.timeout_s,
    }
    title = subject(message)
    if options.get("subject"):
        try:
            title = render(options["subject"], data(message, context), defines=context.templates)
        except TemplateError as error:
            title = f"{title} (subject template: {error})"
    return await _notify(recipe, " ".join(title.split())[:200], html(message, context), "html", message)


async def other(target: Target, message: Message, context: Context) -> Outcome:
    """Send text by whatever service the target's URL names."""
    url = str(target.options["url"])
    join = "&" if "?" in url else "?"
    url += f"{join}redirect=no&rto={context.timeout_s:g}&cto={context.timeout_s:g}"
    return await _notify(url, subject(message), text(message, context), "text", message)


async def _notify(recipe: Any, title: str, body: str, form: str, message: Message) -> Outcome:
    import apprise

    log = logging.getLogger("apprise")
    if _ear not in log.handlers:
        log.addHandler(_ear)
        log.setLevel(logging.DEBUG)
        log.propagate = False
    plugin = apprise.Apprise.instantiate(recipe, suppress_exceptions=True)
    if plugin is None:
        return Outcome(False, "apprise cannot use this target's settings", retry=False)
    service = apprise.Apprise()
    service.add(plugin)
    lines: list[str] = []
    token = _heard.set(lines)
    try:
        kinds: dict[str, str] = {"resolved": "success", "test": "info"}
        kind = kinds.get(message.kind, "failure")
        done = await service.async_notify(body=body, title=title, notify_type=kind, body_format=form)
    finally:
        _heard.reset(token)
    return Outcome(bool(done), _answer(lines, bool(done)))


def _answer(lines: list[str], done: bool) -> str:
    """The lines that say how it went, without those that only trace (and may hold the message)."""
    said = [
        line
        for line in lines
        if any(word in line.lower() for word in ("error", "exception", "fail", "sent ", "unable", "refused"))
    ]
    if not said and not done:
        said = lines
    return " · ".join(said[-4:])[:600] or ("accepted" if done else "apprise says only that it failed")
