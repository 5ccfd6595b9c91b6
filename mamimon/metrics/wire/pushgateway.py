"""What a Pushgateway is sent: the grouping key in the path, metrics as text or protobuf.

Source: prometheus/pushgateway 1.11, README ("API") and handler/push.go (behaviour).
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

import msgspec

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels
from mamimon.metrics.wire.exposition import (
    PROTOBUF,
    TEXT,
    Exposition,
    ExpositionError,
    Metadata,
    media_type,
    parse,
    series_labels,
)
from mamimon.metrics.wire.metric_family import parse_families
from mamimon.problems import bad_input

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SUFFIXES = ("_bucket", "_sum", "_count")
RESERVED = ("push_time_seconds", "push_failure_time_seconds")


class Family(msgspec.Struct):
    """A metric of a group with all its samples."""

    kind: str = "untyped"
    help: str = ""
    unit: str = ""
    samples: list[tuple[Labels, float | Histogram]] = []


Families = dict[str, Family]


def grouping_key(path: str) -> Labels:
    """The labels of a path behind `/metrics/` (still percent-encoded); raises `BAD_INPUT`."""
    parts = path.strip("/").split("/")
    if len(parts) % 2:
        raise bad_input(f"odd number of components in label string {'/' + '/'.join(parts[2:])!r}")
    labels: Labels = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        plain, encoded = unquote(name), unquote(value)
        if plain.endswith("@base64"):
            plain, encoded = plain.removesuffix("@base64"), _decoded(encoded)
        if not _LABEL.fullmatch(plain) or plain.startswith("__"):
            raise bad_input(f"improper label name {plain[:80]!r}")
        if plain in labels:
            raise bad_input(f"label {plain!r} stands twice in the grouping key")
        labels[plain] = encoded
    if not labels.get("job"):
        raise bad_input("job name is required, but no value was provided")
    return {name: value for name, value in labels.items() if value}


def _decoded(value: str) -> str:
    """Base64 of the URL alphabet; padding may be missing, an empty value is a lone `=`."""
    try:
        plain = value.rstrip("=")
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
        return raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise bad_input(f"invalid base64 encoding in label value {value[:80]!r}") from None


def families(body: bytes, content_type: str, key: Labels) -> Families:
    """The metrics of a body with the grouping key's labels on each; raises `BAD_INPUT`."""
    try:
        media = media_type(content_type, TEXT)
        if media == PROTOBUF:
            found = parse_families(body, native=True, keep_classic=False)
        else:
            found = parse(body, TEXT)
        if found.times_ms:
            # A timestamp would make every scrape of the same push the same sample.
            raise ExpositionError(0, "pushed metrics must not have timestamps")
        return _grouped(found, key)
    except ExpositionError as error:
        raise bad_input(f"text format parsing error: {error}" if error.line else error.reason) from None


def _grouped(found: Exposition, key: Labels) -> Families:
    out: Families = {name: Family(meta.kind, meta.help, meta.unit) for name, meta in found.metadata.items()}
    seen: set[frozenset[tuple[str, str]]] = set()
    for number, text in enumerate(found.keys):
        labels = {**series_labels(text), **key}
        name = labels["__name__"]
        if name in RESERVED:
            continue
        identity = frozenset(labels.items())
        if identity in seen:
            raise bad_input(
                f"pushed metrics are invalid or inconsistent with existing metrics: {text[:200]} "
                "was collected before with the same name and label values"
            )
        seen.add(identity)
        family = out.setdefault(_family_of(name, found.metadata), Family())
        family.samples.append((labels, found.histograms.get(number, float(found.values[number]))))
    return {name: family for name, family in out.items() if family.samples}


def _family_of(name: str, metadata: dict[str, Metadata]) -> str:
    if name in metadata:
        return name
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and base in metadata and metadata[base].kind in ("histogram", "summary"):
            return base
    return name
