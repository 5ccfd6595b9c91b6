"""Requests that the application makes itself carry its ids on: `X-Request-ID` and `traceparent`.

httpx, requests and aiohttp are met at the one method that every request goes through, each hop of a redirect
too, when they are imported (before or after `init`). An id is nobody's business outside, so only
hosts on this machine and in private networks get it, and those that `propagate_hosts` names.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import Any, Optional

from mamimon.client.context import Trace, current, format_traceparent, parse_request_id
from mamimon.client.imports import when_imported
from mamimon.client.settings import Settings, warn

_PRIVATE_ENDS = (".local", ".localhost", ".internal", ".svc", ".lan", ".home.arpa")
_MAX_HOSTS = 1024


class Rule:
    """Which hosts get the ids: private ones, `example.com`, `*.example.com` with all below it, `*`."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        names = [host.strip().lower().rstrip(".") for host in hosts]
        self._all = "*" in names
        self._exact = frozenset(name for name in names if name[:2] != "*.")
        self._ends = tuple(name[1:] for name in names if name[:2] == "*.")
        self._known: dict[str, bool] = {}

    def allows(self, host: str) -> bool:
        """Whether a host gets the ids."""
        known = self._known.get(host)
        if known is None:
            name = host.lower().rstrip(".").strip("[]")
            known = self._all or name in self._exact or name.endswith(self._ends) or is_private(name)
            if len(self._known) < _MAX_HOSTS:
                self._known[host] = known
        return known


def is_private(host: str) -> bool:
    """A private address, a name without dots (a service's), or one that never leaves a network."""
    from ipaddress import ip_address

    try:
        return ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_PRIVATE_ENDS))


_rule: Optional[Rule] = None


def ids() -> dict[str, str]:
    """The headers of the request or task being worked on; empty outside one."""
    fields = current()
    found: dict[str, str] = {}
    request_id = parse_request_id(str(fields.get("request_id", "")))
    if request_id:
        found["X-Request-ID"] = request_id
    trace_id, span_id = fields.get("trace_id"), fields.get("span_id")
    if isinstance(trace_id, str) and isinstance(span_id, str) and (len(trace_id), len(span_id)) == (32, 16):
        found["traceparent"] = format_traceparent(Trace(trace_id, span_id, fields.get("_sampled", True)))
    return found


def add(headers: MutableMapping[str, str], host: str) -> None:
    """Put the ids into headers that have none, and take them out again where a redirect leads outside."""
    rule = _rule
    if rule is None:
        return
    try:
        ours = ids()
        allowed = bool(ours) and rule.allows(host)
        for name, value in ours.items():
            if not allowed and headers.get(name) == value:
                del headers[name]
            elif allowed and name not in headers:
                headers[name] = value
    except Exception as error:
        warn(f"a request goes out without its ids: {error!r}")


def _wrap(owner: Any, method: str, before: Callable[..., None]) -> None:
    """Let `before` see the arguments of each call of a method; once a method."""
    original = getattr(owner, method)
    if getattr(original, "__mamimon__", False):
        return

    @wraps(original)
    def watched(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        return original(*arguments, **named)

    watched.__mamimon__ = True  # type: ignore[attr-defined]
    setattr(owner, method, watched)


def _httpx(module: Any) -> None:
    for owner in (module.Client, module.AsyncClient):
        # `send` sees the first hop only, but has been there from the start.
        method = "_send_single_request" if hasattr(owner, "_send_single_request") else "send"
        _wrap(owner, method, lambda _, request, *more: add(request.headers, request.url.host))


def _requests(module: Any) -> None:
    from urllib.parse import urlsplit

    def before(_: Any, request: Any, *more: Any) -> None:
        add(request.headers, urlsplit(request.url).hostname or "")

    _wrap(module.adapters.HTTPAdapter, "send", before)


def _aiohttp(module: Any) -> None:
    _wrap(
        module.ClientRequest, "send", lambda request, *more: add(request.headers, request.url.raw_host or "")
    )


def start(settings: Settings) -> None:
    """Put the settings in force and meet the libraries when they are imported."""
    global _rule  # noqa: PLW0603 - one configuration a process
    _rule = Rule(settings.propagate_hosts) if settings.propagate else None
    if _rule is not None:
        when_imported("httpx", _httpx)
        when_imported("requests", _requests)
        when_imported("aiohttp", _aiohttp)


def stop() -> None:
    """Leave requests alone from now on."""
    global _rule  # noqa: PLW0603 - one configuration a process
    _rule = None
