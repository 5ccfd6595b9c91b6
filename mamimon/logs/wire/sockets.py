"""The doors that are sockets of their own: what syslog and GELF listeners do with a message."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING, Any

from mamimon.config import ConfigError
from mamimon.config_listeners import GelfSettings, SyslogSettings
from mamimon.logs.dates import zone
from mamimon.logs.ingest import Refusal
from mamimon.logs.listeners import Dialect, Listeners
from mamimon.logs.wire import gelf, syslog
from mamimon.logs.wire.document import line
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.logs.ingest import LogIngest
    from mamimon.logs.model import LogRecord
    from mamimon.storage import Core


async def open_listeners(listeners: Listeners, ingest: LogIngest, core: Core) -> None:
    """Open what the settings ask for; raises `ConfigError`."""
    settings = core.settings.syslog
    if settings.tls and not settings.tls_certificate:
        raise ConfigError("syslog.tls needs syslog.tls_certificate")
    dialect = _syslog(ingest, core, settings)
    await listeners.open(dialect, "udp", settings.udp)
    await listeners.open(dialect, "tcp", settings.tcp)
    await listeners.open(dialect, "tls", settings.tls)
    graylog = _gelf(ingest, core, core.settings.gelf)
    await listeners.open(graylog, "udp", core.settings.gelf.udp)
    await listeners.open(graylog, "tcp", core.settings.gelf.tcp)


def kept(ingest: LogIngest, document: dict[str, Any], dataset: str, flag: str) -> LogRecord:
    """The line of a message whose sender cannot be told that it is refused.

    A time that is not taken gives way to now (`time_as_sent` keeps it), and a message that is too large
    is cut; `flag` names the field that says so.
    """
    try:
        return line(ingest, document, dataset)
    except Refusal as refusal:
        reason = refusal.reason
    if "@timestamp" in document:
        document = {**document, "time_as_sent": document["@timestamp"], flag: reason}
        del document["@timestamp"]
        try:
            return line(ingest, document, dataset)
        except Refusal as refusal:
            reason = refusal.reason
    # A character is six bytes at most in JSON.
    short = str(document.get("message", ""))[: (ingest.max_line_bytes - 512) // 6]
    return line(ingest, {"message": short, "level": document.get("level"), flag: reason[:200]}, dataset)


def _syslog(ingest: LogIngest, core: Core, settings: SyslogSettings) -> Dialect:
    try:
        tz: dt.tzinfo | None = zone(settings.time_zone) if settings.time_zone else None
    except Problem as problem:
        raise ConfigError(f"syslog.time_zone: {problem.detail}") from None

    def record(data: bytes, peer: str) -> LogRecord:
        document = syslog.document(data, core.clock.now(), tz)
        if peer:
            document["source_ip"] = peer
        return kept(ingest, document, settings.dataset, "syslog_error")

    def datagram(data: bytes, peer: str) -> bytes | None:
        return data[: settings.max_message_bytes] if data.strip(b"\r\n\0 ") else None

    return Dialect(
        name="syslog",
        record=record,
        datagram=datagram,
        frames=lambda: syslog.Frames(settings.max_message_bytes),
        allow=settings.allow,
        max_connections=settings.max_connections,
        tls=lambda: _context(settings),
    )


def _gelf(ingest: LogIngest, core: Core, settings: GelfSettings) -> Dialect:
    chunks = gelf.Chunks(core.clock, settings.max_message_bytes)

    def record(data: bytes, peer: str) -> LogRecord:
        try:
            document = gelf.document(data)
        except ValueError as error:
            document = {"message": data.decode("utf-8", "replace"), "gelf_error": str(error)}
        if peer:
            document["source_ip"] = peer
        return kept(ingest, document, gelf.dataset(document, settings.dataset), "gelf_error")

    return Dialect(
        name="gelf",
        record=record,
        datagram=chunks.take,
        frames=lambda: gelf.NulFrames(settings.max_message_bytes),
        allow=settings.allow,
        max_connections=settings.max_connections,
    )


def _context(settings: SyslogSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
        if settings.tls_client_ca:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"syslog.tls: the certificate or key cannot be used: {error}") from None
    return context
