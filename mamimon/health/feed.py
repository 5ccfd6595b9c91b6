"""Outages and notices as an Atom feed (RFC 4287)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import msgspec

from mamimon.health.model import Outage
from mamimon.health.notices import WORDS
from mamimon.health.notices_store import Notice
from mamimon.i18n import current_locale, gettext

_ATOM = "http://www.w3.org/2005/Atom"


def feed(outages: Sequence[Outage], notices: Sequence[Notice], base_url: str, now: float) -> bytes:
    """The feed, the newest first; an entry's id stays when its outage ends or its notice is added to."""
    ET.register_namespace("", _ATOM)
    root = ET.Element(
        f"{{{_ATOM}}}feed", {"{http://www.w3.org/XML/1998/namespace}lang": current_locale.get()}
    )
    page = f"{base_url}/status"
    _add(root, "id", uuid.uuid5(uuid.NAMESPACE_URL, page).urn)
    _add(root, "title", gettext("Status"))
    _link(root, page, "alternate")
    _link(root, f"{page}/feed.atom", "self")
    entries = sorted(
        [*(_outage(one, page) for one in outages), *(_notice(one, page) for one in notices)],
        key=lambda one: one.published,
        reverse=True,
    )
    _add(root, "updated", _at(max((one.updated for one in entries), default=now)))
    author = ET.SubElement(root, f"{{{_ATOM}}}author")
    _add(author, "name", "mamimon")
    for one in entries:
        entry = ET.SubElement(root, f"{{{_ATOM}}}entry")
        _add(entry, "id", uuid.uuid5(uuid.NAMESPACE_URL, one.key).urn)
        _add(entry, "title", one.title)
        _add(entry, "published", _at(one.published))
        _add(entry, "updated", _at(one.updated))
        _link(entry, page, "alternate")
        _add(entry, "summary", one.summary)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


class _Entry(msgspec.Struct):
    """What an entry says; `key` makes its id."""

    key: str
    title: str
    published: float
    updated: float
    summary: str


def _outage(one: Outage, page: str) -> _Entry:
    title = gettext("%(name)s is down") if one.end is None else gettext("%(name)s was down")
    until = _at(one.end) if one.end is not None else "…"
    return _Entry(
        f"{page}#{one.name}@{one.start}",
        title % {"name": one.name},
        one.start,
        one.end or one.start,
        f"{_at(one.start)} – {until}",
    )


def _notice(one: Notice, page: str) -> _Entry:
    said = [f"{_at(update.at)} {gettext(WORDS[update.state])}: {update.text}" for update in one.updates]
    return _Entry(
        f"{page}#notice-{one.id}@{one.began_at}",
        f"{one.title}: {gettext(WORDS[one.state])}",
        one.began_at,
        one.updates[0].at,
        "\n".join(said),
    )


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}{name}").text = text


def _link(parent: ET.Element, href: str, rel: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}link", {"href": href, "rel": rel})


def _at(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
