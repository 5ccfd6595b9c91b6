"""An event as bytes in its file: JSON, compressed."""

from __future__ import annotations

import threading

import msgspec
import zstandard

from mamimon.errors.model import Event

_local = threading.local()


def pack(event: Event) -> bytes:
    """An event as it is stored."""
    # A context a call costs more than a small event's compression; one may not serve two threads at once.
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(3)
    return compressor.compress(msgspec.json.encode(event))


def unpack(body: bytes) -> Event:
    """A stored event."""
    return msgspec.json.decode(zstandard.decompress(body, max_output_size=64 << 20), type=Event)
