"""The settings of sending on to the real ones."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mamimon.config_meta import number, text

MIB = 1024 * 1024


class ForwardSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Sending on to the real ones."""

    elasticsearch_url: Annotated[str, text("Send log batches on to here.", mission="ELASTICSEARCH_URL")] = ""
    elasticsearch_username: Annotated[str, text("User there.", mission="ELASTICSEARCH_USERNAME")] = ""
    elasticsearch_password: Annotated[
        str, text("Password there.", secret=True, mission="ELASTICSEARCH_PASSWORD")
    ] = ""
    remote_write_url: Annotated[
        str, text("Send samples on to here by remote write, beside remote_write of prometheus.yml.")
    ] = ""
    remote_write_username: Annotated[str, text("User of the receiver of samples.")] = ""
    remote_write_password: Annotated[str, text("Password of the receiver of samples.", secret=True)] = ""
    queue_bytes: Annotated[
        int, number("Disk for samples that wait, a receiver; then the oldest are dropped.", MIB)
    ] = 512 * MIB
