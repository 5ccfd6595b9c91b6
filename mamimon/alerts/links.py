"""Links in messages that acknowledge an incident: signed, for one purpose, expiring.

Opening one shows a page; only the button on it acts, so a mail scanner that follows links changes
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from mamimon.problems import Kind, Problem, bad_input

LIFE_S = 7 * 86_400.0


class Link(msgspec.Struct, frozen=True):
    """What a token says: this person may acknowledge this incident until then."""

    incident: int
    person: str
    expires_at: float


def sign(key: bytes, link: Link) -> str:
    """A token of URL-safe characters."""
    body = _text(msgspec.json.encode(link))
    return f"{body}.{_text(_mac(key, body))}"


def read(key: bytes, token: str, now: float) -> Link:
    """The link of a token; raises `Problem` where it is forged, cut or expired."""
    body, _, mac = token.partition(".")
    try:
        given = _bytes(mac)
        raw = _bytes(body)
    except ValueError:
        raise bad_input("this link is incomplete", "copy the whole link from the message") from None
    if len(token) > 2000 or not hmac.compare_digest(given, _mac(key, body)):
        raise Problem(Kind.FORBIDDEN, "this link was not made by this server")
    link = msgspec.json.decode(raw, type=Link)
    if link.expires_at < now:
        raise Problem(Kind.FORBIDDEN, "this link has expired", hint="open the incident's page instead")
    return link


def _mac(key: bytes, body: str) -> bytes:
    return hmac.new(key, b"acknowledge\0" + body.encode(), hashlib.sha256).digest()[:20]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
