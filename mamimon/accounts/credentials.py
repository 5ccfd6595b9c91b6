"""What a request says about who sends it, read out of its headers; and where it may come from."""

from __future__ import annotations

import base64
import ipaddress
from http.cookies import CookieError, SimpleCookie


def presented(authorization: str) -> list[str]:
    """What may be a token in an `Authorization` header."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() in {"bearer", "token"}:
        found = [value]
    elif scheme.lower() == "apikey":
        # Elasticsearch's form is base64("id:secret"); ours may also come plain.
        found = [value, decoded(value).partition(":")[2]]
    elif scheme.lower() == "basic":
        found = [decoded(value).partition(":")[2]]
    else:
        found = []
    return [one for one in found if one]


def decoded(value: str) -> str:
    """Base64 as text; empty where it is none."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


def session_cookie(header: str, name: str) -> str:
    """The session's value in a `Cookie` header, or an empty string."""
    if name not in header:
        return ""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
