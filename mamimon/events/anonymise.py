"""Takes people out of an event: identities become pseudonyms, what names a person is removed.

Runs before anything is written. Strings are read by detectors (e-mail, phone, card, IBAN,
national id, IP address, tokens); properties whose name says what they hold are removed by name;
URLs lose their credentials, query and fragment. A detector with a checksum uses it, so order
numbers and time stamps are left alone.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_TEXT = 2_000
MAX_ITEMS = 100
MAX_DEPTH = 5
REMOVED = "[removed]"

_IDENTITY = {
    "distinctid", "anondistinctid", "anonymousid", "userid", "uid", "deviceid", "sessionid", "alias",
    "customerid", "accountid", "memberid", "visitorid", "clientid",
}  # fmt: skip
_DROPPED = {
    "set", "setonce", "unset", "ip", "ipaddress", "clientip", "remoteaddr", "rawuseragent", "useragent",
    "token", "apikey", "geoiplatitude", "geoiplongitude", "geoippostalcode", "geoipcityname",
}  # fmt: skip
_PERSONAL = {
    "email", "emailaddress", "mail", "eposta", "phone", "phonenumber", "tel", "telephone", "telefon",
    "mobile", "gsm", "msisdn", "password", "passwd", "pwd", "passphrase", "sifre", "parola", "secret",
    "clientsecret", "privatekey", "authorization", "auth", "bearer", "accesstoken", "refreshtoken", "idtoken",
    "sessiontoken",
    "csrftoken", "cookie", "setcookie", "creditcard", "cardnumber", "ccnumber", "cvv", "cvc", "iban",
    "accountnumber", "ssn", "nationalid", "tckn", "tckimlikno", "passport", "passportnumber", "firstname",
    "lastname", "middlename", "surname", "fullname", "displayname", "username", "adsoyad", "soyad", "address",
    "streetaddress", "street", "adres", "postcode", "zipcode", "birthdate", "birthday", "dateofbirth", "dob",
    "latitude", "longitude",
}  # fmt: skip

_EMAIL = re.compile(r"[\w.+%'-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})+")
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]{1,15}://)(?:[^\s/@]{1,200}@)?([^\s?#]*)(?:[?#]\S*)?", re.I)
_TOKEN = re.compile(
    r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"
    r"|\b(?:sk|pk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{8,}"
    r"|\bsk-[\w-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeoprs]-[\w-]{8,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|\b[0-9a-fA-F]{40,}\b"
    r"|\b(?=[\w+/-]{0,200}\d)(?=[\w+/-]{0,200}[A-Z])(?=[\w+/-]{0,200}[a-z])[A-Za-z0-9+/_-]{40,}={0,2}"
)
_BEARER = re.compile(r"\b(Bearer|Basic|Token|ApiKey)\s+[\w.+/=~-]{8,}", re.I)
_ASSIGNED = re.compile(
    r"\b(password|passwd|pwd|secret|token|api[_-]?key|authorization|sifre|şifre|parola)(\s*[=:]\s*)"
    r"[^\s,;&\"']+",
    re.I,
)
_IBAN = re.compile(r"\b([A-Z]{2})\d{2}(?: ?[A-Z0-9]){11,30}", re.I)
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,30}(?!\w)")
_NATIONAL = re.compile(r"(?<![\w.+-])[1-9]\d{10}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w+])(?:\+|00)[1-9](?:[ ().-]{0,2}\d){6,14}(?!\w)"
    r"|(?<![\w.])\(?0?[1-9]\d{2}\)?[ .-]\d{3}[ .-]?\d{2}[ .-]?\d{2}(?!\w)"
    r"|(?<![\w.])0[1-9]\d{9}(?!\w)"
    r"|(?<![\w.])5\d{9}(?!\w)"
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:%\w+|:?\d{1,3}(?:\.\d{1,3}){3})?", re.I
)

# Length of an IBAN by country (ISO 13616 registry).
_IBAN_LENGTH = {
    code: int(length)
    for length, codes in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC",
    }.items()
    for code in codes.split()
}  # fmt: skip

Pseudonym = Callable[[str], bytes]


def pseudonym_of(secret: bytes) -> Pseudonym:
    """The function from an identity to its 16-byte pseudonym under one key (HMAC-SHA-256)."""

    def run(identity: str) -> bytes:
        return hmac.digest(secret, identity.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16]

    return run


def scrub_text(text: str) -> str:
    """`text` without what identifies a person or opens a door, each replaced by its kind in brackets."""
    text = text[:MAX_TEXT]
    if "://" in text:
        text = _URL.sub(r"\1\2", text)
    text = _BEARER.sub(r"\1 [token]", text)
    text = _ASSIGNED.sub(r"\1\2[token]", text)
    text = _TOKEN.sub("[token]", text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub("[email]", text)
    if any(letter.isdigit() for letter in text):
        text = _IBAN.sub(_without_iban, text)
        text = _CARD.sub(_without_card, text)
        text = _NATIONAL.sub(lambda found: "[id]" if _national(found[0]) else found[0], text)
        text = _IPV4.sub(lambda found: "[ip]" if _address(found[0]) else found[0], text)
        text = _PHONE.sub("[phone]", text)
    if text.count(":") > 1:
        text = _IPV6.sub(lambda found: "[ip]" if _address(found[0]) else found[0], text)
    return text


def scrub(properties: Mapping[str, Any], pseudonym: Pseudonym) -> dict[str, Any]:
    """The properties without people; at most `MAX_ITEMS` keys and `MAX_DEPTH` levels of them."""
    return _scrub_map(properties, pseudonym, 1)


def _scrub_map(properties: Mapping[str, Any], pseudonym: Pseudonym, depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in properties.items():
        if len(kept) >= MAX_ITEMS:
            kept["…"] = f"{len(properties) - MAX_ITEMS} more"
            break
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        if plain in _DROPPED or value is None:
            continue
        shown = scrub_text(name)[:100]
        if plain in _PERSONAL:
            kept[shown] = REMOVED
        elif plain in _IDENTITY and isinstance(value, str | int):
            kept[shown] = pseudonym(str(value)).hex()[:16]
        else:
            kept[shown] = _scrub_value(value, pseudonym, depth)
    return kept


def _scrub_value(value: Any, pseudonym: Pseudonym, depth: int) -> Any:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        cleaned = scrub_text(str(value))
        return value if cleaned == str(value) and abs(value) < 2**63 else cleaned
    if depth >= MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, Mapping):
        return _scrub_map(value, pseudonym, depth + 1)
    if isinstance(value, list):
        return [_scrub_value(one, pseudonym, depth + 1) for one in value[:MAX_ITEMS]]
    return None


def _without_card(found: re.Match[str]) -> str:
    """The digits with every run of whole groups that is a card number (length, first digit, Luhn) masked."""
    parts = re.split(r"([ -])", found[0])
    for first in range(0, len(parts), 2):
        for last in range(len(parts), first, -2):
            digits = "".join(parts[first:last:2])
            if 13 <= len(digits) <= 19 and digits[0] in "23456" and _luhn(digits):
                return "".join(parts[:first]) + "[card]" + "".join(parts[last:])
    return found[0]


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 - 9 if digit > "4" else int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _without_iban(found: re.Match[str]) -> str:
    text, length = found[0], _IBAN_LENGTH.get(found[1].upper(), 0)
    ends = [at + 1 for at, letter in enumerate(text) if letter != " "]
    if not length or len(ends) < length:
        return text
    plain = text[: ends[length - 1]].replace(" ", "").upper()
    if int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 != 1:
        return text
    return "[iban]" + text[ends[length - 1] :]


def _national(text: str) -> bool:
    # The Turkish identity number: two check digits.
    digits = [int(letter) for letter in text]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return len(text) > 3
