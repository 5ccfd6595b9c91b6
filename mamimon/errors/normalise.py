"""Makes what a Sentry client sent regular: types, limits, clock drift, in-app frames.

Clients differ and lie; nothing here raises for a strange value. What cannot be read is left out
and named in `Event.problems`. The field names are those of Sentry's event payload
(develop.sentry.dev/sdk/data-model/event-payloads).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from mamimon.errors.model import (
    LEVELS,
    Breadcrumb,
    Event,
    ExceptionValue,
    Frame,
    Request,
    User,
)
from mamimon.errors.sent import DATA_DEPTH, MAX_DATA, SentCrumb
from mamimon.errors.stacks import frames_of
from mamimon.errors.values import MAX_ITEMS, clean, entries, event_id, instant, pairs, table, text, values

AUTO = "{{auto}}"
"""What a client writes for an address that the server should fill in."""
MAX_EXCEPTIONS = 50
MAX_BREADCRUMBS = 100
MAX_AGE_S = 30 * 86400
_LEVELS = {"critical": "fatal", "warn": "warning", "log": "info", "trace": "debug", "notice": "info"}


def normalise(raw: dict[str, Any], project: int, now: float, sent_at: float | None = None) -> Event:
    """A regular event from a decoded payload.

    `now` is the server's time and `sent_at` what the client's clock said when it sent: the
    difference corrects the event's own times. An event from the future or older than 30 days is
    taken as of now.
    """
    problems: list[str] = []
    drift = now - sent_at if sent_at is not None and abs(now - sent_at) > 60 else 0.0
    stamp = instant(raw.get("timestamp"))
    time = now if stamp is None else stamp + drift
    if time < now - MAX_AGE_S:
        problems.append("the event is older than 30 days and counts as of now")
        time = now
    logentry = table(raw.get("logentry") or raw.get("sentry.interfaces.Message"))
    platform = text(raw.get("platform"), 32) or "other"
    message = raw.get("message")
    if isinstance(message, dict):
        logentry = logentry or message
        message = ""
    template = text(logentry.get("message"))
    event = Event(
        id=event_id(raw.get("event_id")),
        project=project,
        time=min(time, now),
        received=now,
        level=_level(raw.get("level")),
        platform=platform,
        logger=text(raw.get("logger"), 200),
        message=text(logentry.get("formatted")) or text(message) or _formatted(template, logentry),
        template=template,
        transaction=text(raw.get("transaction"), 400) or text(raw.get("culprit"), 400),
        release=text(raw.get("release"), 250),
        dist=text(raw.get("dist"), 64),
        environment=text(raw.get("environment"), 64),
        server=text(raw.get("server_name"), 200),
        exceptions=_exceptions(raw, platform, problems),
        frames=_loose_frames(raw, platform, problems),
        breadcrumbs=_breadcrumbs(raw.get("breadcrumbs"), drift, problems),
        tags=_tags(raw.get("tags")),
        user=_user(raw.get("user")),
        request=_request(raw.get("request")),
        contexts={
            key: clean(value, 5)
            for key, value in pairs(raw.get("contexts"))
            if isinstance(value, dict) and value
        },
        extra={key: clean(value) for key, value in pairs(raw.get("extra"))},
        modules={key: text(value, 100) for key, value in pairs(raw.get("modules"), 1000)},
        sdk=_sdk(raw.get("sdk")),
        fingerprint=[text(part, 500) for part in entries(raw.get("fingerprint"))[:20]],
        debug_images=_debug_images(raw.get("debug_meta")),
        problems=problems,
    )
    _derive(event)
    return event


def _level(value: Any) -> str:
    found = text(value, 20).lower()
    found = _LEVELS.get(found, found)
    return found if found in LEVELS else "error"


def _formatted(template: str, logentry: dict[str, Any]) -> str:
    params = logentry.get("params")
    if not params or not template:
        return template
    try:
        if isinstance(params, list):
            return text(template % tuple(text(one, 500) for one in params))
        return text(template % {key: text(one, 500) for key, one in pairs(params)})
    except (TypeError, ValueError, KeyError):
        return template


def _exceptions(raw: dict[str, Any], platform: str, problems: list[str]) -> list[ExceptionValue]:
    found = values(raw.get("exception") or raw.get("sentry.interfaces.Exception"))
    if len(found) > MAX_EXCEPTIONS:
        problems.append(f"{len(found) - MAX_EXCEPTIONS} exceptions of the chain were left out")
        found = found[-MAX_EXCEPTIONS:]
    made = []
    for one in found:
        if not isinstance(one, dict):
            continue
        mechanism = table(one.get("mechanism"))
        handled = mechanism.get("handled")
        made.append(
            ExceptionValue(
                type=text(one.get("type"), 300),
                value=text(one.get("value")) or _compact(one.get("value")),
                module=text(one.get("module"), 300),
                mechanism=text(mechanism.get("type"), 100),
                handled=handled if isinstance(handled, bool) else None,
                id=_index(mechanism.get("exception_id")),
                parent=_index(mechanism.get("parent_id")),
                group=mechanism.get("is_exception_group") is True,
                synthetic=mechanism.get("synthetic") is True,
                frames=frames_of(one.get("stacktrace"), platform, problems),
            )
        )
    return made


def _compact(value: Any) -> str:
    return "" if value is None else text(repr(clean(value, 3)))


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000 else None


def _loose_frames(raw: dict[str, Any], platform: str, problems: list[str]) -> list[Frame]:
    """The stack of an event without exceptions: its own, or that of the thread that crashed."""
    frames = frames_of(raw.get("stacktrace") or raw.get("sentry.interfaces.Stacktrace"), platform, problems)
    if frames:
        return frames
    threads = [one for one in values(raw.get("threads")) if isinstance(one, dict)]
    for flag in ("crashed", "current"):
        for thread in threads:
            if thread.get(flag) is True:
                return frames_of(thread.get("stacktrace"), platform, problems)
    return frames_of(threads[0].get("stacktrace"), platform, problems) if len(threads) == 1 else []


def _breadcrumbs(value: Any, drift: float, problems: list[str]) -> list[Breadcrumb]:
    found = [one for one in values(value) if isinstance(one, dict | SentCrumb)]
    if len(found) > MAX_BREADCRUMBS:
        problems.append(f"{len(found) - MAX_BREADCRUMBS} earlier breadcrumbs were left out")
        found = found[-MAX_BREADCRUMBS:]
    made = []
    for one in found:
        crumb = one if isinstance(one, SentCrumb) else _crumb(one)
        at = instant(crumb.timestamp)
        made.append(
            Breadcrumb(
                time=0.0 if at is None else at + drift,
                category=crumb.category or "",
                type=crumb.type or "",
                level=_level(crumb.level or "info"),
                message=crumb.message or "",
                data=crumb.data or {},
            )
        )
    return made


def _crumb(one: dict[str, Any]) -> SentCrumb:
    return SentCrumb(
        timestamp=one.get("timestamp"),
        category=text(one.get("category"), 100),
        type=text(one.get("type"), 50),
        level=text(one.get("level"), 20),
        message=text(one.get("message"), 2000),
        data={key: clean(item, DATA_DEPTH) for key, item in pairs(one.get("data"), MAX_DATA)},
    )


def _tags(value: Any) -> dict[str, str]:
    found = list(pairs(value))
    if isinstance(value, list):
        found += [(text(one.get("key"), 200), one.get("value")) for one in value if isinstance(one, dict)]
    return {key[:64]: text(item, 200) for key, item in found if key and text(item, 200)}


def _user(value: Any) -> User | None:
    if not isinstance(value, dict) or not value:
        return None
    known = {"id", "username", "name", "email", "ip_address", "data"}
    rest = {key: clean(item, 3) for key, item in pairs(value) if key not in known}
    rest |= {key: clean(item, 3) for key, item in pairs(value.get("data"))}
    ip = text(value.get("ip_address"), 64)
    user = User(
        id=text(value.get("id"), 200),
        name=text(value.get("username"), 200) or text(value.get("name"), 200),
        email=text(value.get("email"), 200),
        ip=ip,
        data=rest,
    )
    return user if user != User() else None


def _request(value: Any) -> Request | None:
    if not isinstance(value, dict) or not value:
        return None
    query = value.get("query_string")
    if isinstance(query, dict | list):
        query = urlencode([(key, text(item, 500)) for key, item in pairs(query)])
    cookies = value.get("cookies")
    if isinstance(cookies, str):
        cookies = [part.strip().split("=", 1) for part in cookies.split(";") if "=" in part]
    request = Request(
        method=text(value.get("method"), 20).upper(),
        url=text(value.get("url"), 2000),
        query=text(query, 4000).removeprefix("?"),
        body=clean(value.get("data")),
        headers=[
            (key, text(item, 2000) or ", ".join(text(part, 500) for part in entries(item)))
            for key, item in pairs(value.get("headers"))
        ],
        cookies={key: clean(item, 2) for key, item in pairs(cookies)},
        environment={key: clean(item, 2) for key, item in pairs(value.get("env"))},
    )
    return request if request != Request() else None


def _sdk(value: Any) -> str:
    sdk = table(value)
    return f"{text(sdk.get('name'), 100)} {text(sdk.get('version'), 50)}".strip()


def _debug_images(value: Any) -> list[dict[str, str]]:
    return [
        {key: text(image.get(key), 500) for key in ("type", "code_file", "debug_id") if image.get(key)}
        for image in entries(table(value).get("images"))[:MAX_ITEMS]
        if isinstance(image, dict)
    ]


def _derive(event: Event) -> None:
    """Tags that every issue page wants, from where clients put them."""
    tags = {
        "level": event.level,
        "environment": event.environment,
        "release": event.release,
        "server_name": event.server,
        "transaction": event.transaction,
        "logger": event.logger,
    }
    if event.handled is not None:
        tags["handled"] = "yes" if event.handled else "no"
    for key in ("browser", "os", "runtime", "device"):
        context = event.contexts.get(key)
        if context:
            named = " ".join(text(context.get(part), 60) for part in ("name", "version")).strip()
            tags[key] = named or text(context.get("model"), 60)
    if event.request is not None and event.request.url:
        tags["url"] = event.request.url.split("?", 1)[0][:200]
    for place in (event.extra, event.contexts.get("request", {}), event.contexts.get("trace", {})):
        if text(place.get("request_id")):
            tags["request_id"] = text(place.get("request_id"), 100)
    if event.request is not None:
        for name, value in event.request.headers:
            if name.lower() == "x-request-id" and value:
                tags["request_id"] = value[:100]
    event.tags = {key: value for key, value in tags.items() if value} | event.tags
