"""Masking of secrets and personal data in text and structures, before they leave the process.

`mask_sensitive_data` is the one door. A clean message pays only for the hints: substring searches
and one regular expression that tell which detectors can match at all (3 µs for 200 characters).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mamimon.client import detectors as d

MASK = "[masked]"
MAX_DEPTH = 8
MAX_ITEMS = 1000

_KEY_WORDS = frozenset(
    "password passwd pwd pass passphrase passcode parola sifre secret apikey accesskey secretkey "
    "privatekey signingkey token authtoken authorization proxyauthorization cookie setcookie "
    "sessionid credential credentials cvv cvv2 cvc pin otp creditcard cardnumber ccnumber iban "
    "ssn dsn xapikey awssecretaccesskey csrf csrftoken xcsrftoken jwt bearer connectionstring "
    "databaseurl email phone phonenumber mobile".split()
)
_KEY_ENDS = (
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "passphrase",
)

_name_cache: dict[str, bool] = {}
_extra_keys: frozenset[str] = frozenset()
_extra_patterns: tuple[tuple[str, re.Pattern[str]], ...] = ()
_disabled: frozenset[str] = frozenset()
revision = 0  # of the settings of masking: who remembers what they said looks at it


def configure_masking(
    *, keys: tuple[str, ...] = (), patterns: Mapping[str, str] | None = None, disable: tuple[str, ...] = ()
) -> None:
    """Add key names and named patterns (trusted regular expressions), or switch detectors off by kind.

    Kinds: api_key, private_key, jwt, authorization, url_password, value, email, card, iban, phone.
    """
    global _extra_keys, _extra_patterns, _disabled, revision  # noqa: PLW0603 - process-wide settings
    _extra_keys = frozenset(_normalise(key) for key in keys)
    _extra_patterns = tuple((kind, re.compile(pattern)) for kind, pattern in (patterns or {}).items())
    _disabled = frozenset(disable)
    _name_cache.clear()
    revision += 1


def mask_sensitive_data(value: Any) -> Any:
    """Return a copy with secrets replaced: `[masked:<kind>]` in text, `[masked]` under a secret's key.

    Takes text or any nesting of mappings, lists and tuples (eight levels, 1,000 items each);
    other values come back unchanged. Masking twice changes nothing more.
    """
    return mask_text(value) if isinstance(value, str) else _mask_value(value, 0)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret, however it is spelled (`API-Key`, `apiKey`)."""
    known = _name_cache.get(name)
    if known is None:
        plain = _normalise(name)
        known = plain in _KEY_WORDS or plain in _extra_keys or plain.endswith(_KEY_ENDS)
        if len(_name_cache) < 4096:
            _name_cache[name] = known
    return known


def _normalise(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "").replace(".", "")


def _mask_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return MASK
        return {
            key: (MASK if item not in (None, "", MASK) else item)
            if isinstance(key, str) and is_secret_name(key)
            else _mask_value(item, depth + 1)
            for key, item in list(value.items())[:MAX_ITEMS]
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        if depth >= MAX_DEPTH:
            return MASK
        items = [_mask_value(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**12:
        text = str(value)
        return "[masked:card]" if len(text) <= 19 and d.is_card(text) and "card" not in _disabled else value
    if isinstance(value, bytes):
        return mask_text(value[:4096].decode("utf-8", "replace"))
    return value


def mask_text(text: str) -> str:
    """Mask one text; see `mask_sensitive_data`."""
    low = text.lower()
    if "@" in text:
        text = _address(text)
    if "%40" in text:
        text = _apply("email", d.EMAIL_QUOTED, _email, text)
    if "-----" in text:
        text = _private_keys(text)
    if "eyj" in low:
        text = _replace("jwt", d.JWT, text)
    if "bearer" in low or "basic" in low or "authoriz" in low:
        text = _apply("authorization", d.BEARER, _bearer, text)
    if d.KEY_HINT.search(low) or d.CAPITAL_HINT.search(text) or d.TWILIO_HINT.search(text) or "dapi" in low:
        text = _replace("api_key", d.API_KEY, text)
    if "hooks" in low:
        text = _replace("api_key", d.HOOK, text)
    if "sig=" in low:
        text = _replace("value", d.SIGNED, text)
    if "--" in low:
        text = _apply("value", d.OPTION, lambda found: f"{found[1]}[masked:value]", text)
    if ("=" in low or ":" in low) and d.NAME_HINT.search(low):
        text = _apply("value", d.NAMED_VALUE, _named, text)
        text = _apply("value", d.SHORT_CODE, lambda found: f"{found[1]}[masked:value]", text)
    long = d.LONG_NUMBER.search(text)
    if long is not None and d.NINE_DIGITS.search(text, long.start()):  # nine digits begin like a long number
        text = _numbers(text)
    for kind, pattern in _extra_patterns:
        text = pattern.sub(f"[masked:{kind}]", text)
    return text


def is_word(text: str) -> bool:
    """Whether a text is lower-case letters and digits alone (an id, a word), which no detector matches."""
    return text.isalnum() and text.islower() and text[:4] != "dapi"


def is_clean(texts: list[str]) -> bool:
    """Whether masking would change none of these texts; all are looked at in one pass.

    No detector matches across a line break unless it matches before it too, so nothing hides here; a
    match that only the joining made is a wrong "no", after which each text is looked at by itself.
    """
    if _extra_patterns:
        return all(mask_text(text) == text for text in texts)
    joined = texts[0] if len(texts) == 1 else "\n".join(texts)
    return mask_text(joined) == joined


def _replace(kind: str, pattern: re.Pattern[str], text: str) -> str:
    return text if kind in _disabled else pattern.sub(f"[masked:{kind}]", text)


def _apply(kind: str, pattern: re.Pattern[str], how: Callable[[re.Match[str]], str], text: str) -> str:
    return text if kind in _disabled else pattern.sub(how, text)


def _address(text: str) -> str:
    if "://" in text:
        text = _apply("url_password", d.URL_PASSWORD, lambda found: f"{found[1]}:[masked:url_password]", text)
    return _apply("email", d.EMAIL, _email, text)


def _email(found: re.Match[str]) -> str:
    suffix = found[2].rpartition(".")[2].lower()
    if suffix in d.FILE_SUFFIXES or found[1] == "git":
        return found[0]
    return "[masked:email]"


def _bearer(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}[masked:authorization]"


def _named(found: re.Match[str]) -> str:
    value = found[2] or found[3] or found[4]
    if value.startswith("[masked") or value.lower().rstrip(".!?:") in d.NOT_A_VALUE:
        return found[0]
    name = found[1].lower()
    if value.isdigit() and len(value) < 4 and ("token" in name or name.rstrip(" :=>'\"") == "pass"):
        return found[0]
    quote = '"' if found[2] else "'" if found[3] else ""
    return f"{found[1]}{quote}[masked:value]{quote}"


def _private_keys(text: str) -> str:
    if "private_key" in _disabled or "PRIVATE KEY" not in text:
        return text
    pieces: list[str] = []
    at = 0
    while True:
        begin = text.find("-----BEGIN ", at)
        if begin < 0:
            return "".join(pieces) + text[at:]
        if "PRIVATE KEY" not in text[begin : begin + 60]:
            pieces.append(text[at : begin + 11])
            at = begin + 11
            continue
        pieces += [text[at:begin], "[masked:private_key]"]
        end = text.find("-----END ", begin)
        if end < 0:
            return "".join(pieces)
        close = text.find("-----", end + 9)
        at = len(text) if close < 0 else close + 5


def _numbers(text: str) -> str:
    text = _replace("api_key", d.TELEGRAM, text)
    text = _apply("iban", d.IBAN, _iban, text)
    if not d.BOUNDED_NUMBER.search(text):
        return text
    text = _apply("card", d.CARD, lambda found: "[masked:card]" if d.is_card(found[0]) else found[0], text)
    if "+" in text:
        text = _replace("phone", d.PHONE_PLUS, text)
    low = text.lower()
    if "phone" in low or "tel" in low or "gsm" in low or "mobile" in low or "msisdn" in low:
        text = _apply("phone", d.PHONE_NAMED, lambda found: f"{found[1]}[masked:phone]", text)
    return _replace("phone", d.PHONE_LOCAL, text)


def _iban(found: re.Match[str]) -> str:
    end = d.iban_end(found[0])
    return f"[masked:iban]{found[0][end:]}" if end else found[0]
