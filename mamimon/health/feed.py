"""Outages as an Atom feed (RFC 4287)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from mamimon.health.model import Outage
from mamimon.i18n import current_locale, gettext

_ATOM = "http://www.w3.org/2005/Atom"


def feed(outages: Sequence[Outage], base_url: str, now: float) -> bytes:
    """The feed, the newest outage first; an entry's id stays when the outage ends."""
    ET.register_namespace("", _ATOM)
    root = ET.Element(
        f"{{{_ATOM}}}feed", {"{http://www.w3.org/XML/1998/namespace}lang": current_locale.get()}
    )
    page = f"{base_url}/status"
    _add(root, "id", uuid.uuid5(uuid.NAMESPACE_URL, page).urn)
    _add(root, "title", gettext("Status"))
    _link(root, page, "alternate")
    _link(root, f"{page}/feed.atom", "self")
    _add(root, "updated", _at(max((one.end or one.start for one in outages), default=now)))
    author = ET.SubElement(root, f"{{{_ATOM}}}author")
    _add(author, "name", "mamimon")
    for one in outages:
        entry = ET.SubElement(root, f"{{{_ATOM}}}entry")
        _add(entry, "id", uuid.uuid5(uuid.NAMESPACE_URL, f"{page}#{one.name}@{one.start}").urn)
        title = gettext("%(name)s is down") if one.end is None else gettext("%(name)s was down")
        _add(entry, "title", title % {"name": one.name})
        _add(entry, "published", _at(one.start))
        _add(entry, "updated", _at(one.end or one.start))
        _link(entry, page, "alternate")
        until = _at(one.end) if one.end is not None else "…"
        _add(entry, "summary", f"{_at(one.start)} – {until}")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}{name}").text = text


def _link(parent: ET.Element, href: str, rel: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}link", {"href": href, "rel": rel})


def _at(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
