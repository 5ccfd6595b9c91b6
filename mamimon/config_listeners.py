"""Settings of the doors for logs that are not HTTP: syslog and GELF."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_ADDRESS = "port, or address:port; empty leaves it off, port 0 picks a free one."


class SyslogSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The syslog listeners (RFC 5424 and 3164). Syslog knows no passwords: see `allow`."""

    udp: Annotated[str, Meta(description=f"UDP {_ADDRESS}")] = ""
    tcp: Annotated[str, Meta(description=f"TCP {_ADDRESS}")] = ""
    tls: Annotated[str, Meta(description=f"TLS {_ADDRESS}")] = ""
    tls_certificate: Annotated[str, Meta(description="PEM file of the certificate (chain) for tls.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file of its key; empty where it is in the same file.")] = ""
    tls_client_ca: Annotated[str, Meta(description="PEM file; when set, senders need its certificates.")] = ""
    allow: Annotated[
        list[str], Meta(description="Networks that may send, such as 10.0.0.0/8; empty allows all.")
    ] = []
    time_zone: Annotated[
        str,
        Meta(description="Zone of times without one, as Europe/Istanbul; empty is the machine's."),
    ] = ""
    dataset: Annotated[str, Meta(description="Dataset that the lines go to.")] = "syslog"
    max_message_bytes: Annotated[int, Meta(description="Longest message; the rest is cut off.", ge=480)] = (
        64 * 1024
    )
    max_connections: Annotated[int, Meta(description="TCP and TLS connections at a time.", ge=1)] = 512


class GelfSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The Graylog listeners; GELF over HTTP is always there, at /gelf."""

    udp: Annotated[str, Meta(description=f"UDP {_ADDRESS}")] = ""
    tcp: Annotated[str, Meta(description=f"TCP {_ADDRESS}")] = ""
    allow: Annotated[
        list[str], Meta(description="Networks that may send, such as 10.0.0.0/8; empty allows all.")
    ] = []
    dataset: Annotated[str, Meta(description="Dataset of messages that name no service.")] = "gelf"
    max_message_bytes: Annotated[int, Meta(description="Largest message, decompressed.", ge=8192)] = (
        1024 * 1024
    )
    max_connections: Annotated[int, Meta(description="TCP connections at a time.", ge=1)] = 512
