"""`init`, `flush` and `shutdown`: the life of the client in a process."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Mapping
from typing import Any, Optional

from mamimon.client import agent, errors, imports, logs, outgoing
from mamimon.client.mask import mask_text
from mamimon.client.settings import Settings, resolve, warn

_handlers: list[logging.Handler] = []
_hooks: Optional[errors.Hooks] = None
_registered = False


def init(
    url: Optional[str] = None,
    *,
    service: Optional[str] = None,
    environment: Optional[str] = None,
    release: Optional[str] = None,
    token: Optional[str] = None,
    dsn: Optional[str] = None,
    level: Optional[str] = None,
    levels: Optional[Mapping[str, str]] = None,
    console: Optional[str] = None,
    **others: Any,
) -> None:
    """Start shipping logs, errors and events of this process to a mamimon server.

    `url` is the server's main address. Everything may come from `MAMIMON_*` variables or, for logs and
    errors, from the mission's own (`ELASTICSEARCH_URL`, `VITE_SENTRY_DSN`); `others` are the remaining
    fields of `mamimon.client.settings.Settings`. Never raises for what the server or the environment
    is like; calling it again replaces the former configuration.
    """
    unknown = sorted(set(others) - set(Settings._fields))
    if unknown:
        raise TypeError(f"init() has no setting {unknown[0]!r}; there are {', '.join(Settings._fields)}")
    given = {
        "url": url,
        "service": service,
        "environment": environment,
        "release": release,
        "token": token,
        "dsn": dsn,
        "level": level,
        "levels": levels,
        "console": console,
        **others,
    }
    start(resolve(given))


def start(settings: Settings) -> None:
    """Put settings in force; see `init`."""
    global _hooks, _registered  # noqa: PLW0603 - one configuration a process
    from mamimon.client import processes, tasks
    from mamimon.client.shipper import Shipper

    shutdown()
    mask_text("warm")  # compiles what every line needs, now and not at the first one
    shipper = Shipper(settings) if settings.bulk_url or settings.url or settings.dsn else None
    agent.configure(settings, shipper)
    if shipper is not None:
        shipper.begin()
    _handlers.extend(logs.attach(settings, bool(settings.bulk_url)))
    if settings.install_hooks and shipper is not None:
        _hooks = errors.Hooks()
        processes.watch()
        tasks.watch()
    outgoing.start(settings)
    if not _registered:
        _registered = True
        atexit.register(_at_exit)


def handlers() -> list[logging.Handler]:
    """The handlers that `init` put on the root logger."""
    return list(_handlers)


def flush(timeout_s: Optional[float] = None) -> bool:
    """Wait until all that was recorded so far has arrived; False where the time is over first."""
    shipper = agent.shipper()
    if shipper is None:
        return True
    return shipper.flush(shipper.settings.flush_s if timeout_s is None else timeout_s)


def shutdown(timeout_s: Optional[float] = None) -> None:
    """Deliver or store what waits, within the time given, and stop shipping."""
    global _hooks  # noqa: PLW0603 - one configuration a process
    shipper = agent.shipper()
    logs.detach(_handlers)
    _handlers.clear()
    outgoing.stop()
    imports.forget()
    if _hooks is not None:
        _hooks.remove()
        _hooks = None
    if shipper is not None:
        shipper.stop(shipper.settings.flush_s if timeout_s is None else timeout_s)
        agent.configure(shipper.settings, None)


def _at_exit() -> None:
    try:
        shutdown()
    except Exception as error:
        warn(f"the last records could not be delivered: {error!r}")
