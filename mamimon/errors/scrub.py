"""Takes secrets out of an event before anything touches the disk.

Three nets: names (a field called `password` loses its value wherever it is: headers, cookies,
bodies, variables, query strings), shapes (bearer tokens, JWTs, key prefixes of well-known services,
private keys, credentials in URLs, `password=…` inside texts, card numbers by Luhn), and echoes (what
a name gave away as a secret is also removed wherever else the same event repeats it).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from mamimon.errors.memo import Memo
from mamimon.errors.model import Event, Frame, Request

FILTERED = "[Filtered]"
NAMES = (
    r"pass(word|wd|phrase|code)?|pwd|secrets?|credentials?|api[-_ ]?keys?|(access|private|secret|signing|"
    r"encryption|session|master|client)[-_ ]?(key|secret)|auth(orization|entication)?|proxy[-_]authorization|"
    r"(access|refresh|id|auth|bearer|csrf|xsrf|session|api|security|reset|x)?[-_ ]?tokens?|bearer|jwt|"
    r"(set[-_ ]?)?cookies?2?|session[-_ ]?ids?|sess(ion)?id|phpsessid|jsessionid|sid|csrf|xsrf|"
    r"csrfmiddlewaretoken|otp|pin[-_ ]?code|ssn|cvv2?|cvc|card[-_ ]?(number|no)|cc[-_ ]?(number|num)|"
    r"credit[-_ ]?cards?|dsn|connection[-_ ]?string"
)
_LOOSE = re.compile(
    r"passw(or)?d|passphrase|secret|api[-_]?key|access[-_]?key|private[-_]?key|credential|authorization|"
    r"cookie|csrf|xsrf|(^|[-_ .])(token|jwt|pwd|auth)s?([-_ .]|$)|[a-z]Token$|sessionid|card[-_]?number",
    re.IGNORECASE,
)
_EXACT = re.compile(rf"^({NAMES})$", re.IGNORECASE)
# Words that a sensitive-looking name may hold without being a secret.
_HARMLESS = re.compile(r"^(|none|null|nil|undefined|true|false|\[filtered\]|\*+|…|0|1)$", re.IGNORECASE)

_ASSIGNED = re.compile(
    rf"""(?ix)
    (?P<name> ["']? \b [\w.\-]*? (?: {NAMES} ) ["']? )
    (?P<sep> \s* (?: => | :=? | = ) \s* )
    (?P<value> [brfu]{{0,2}} "(?:[^"\\]|\\.){{1,2000}}" | [brfu]{{0,2}} '(?:[^'\\]|\\.){{1,2000}}'
             | (?:(?:bearer|basic|digest|token)\s+)? (?: \[filtered\] | [^\s"',;&)}}\]<>(]{{1,2000}} ) )
    (?P<call> [(.\[]? )
    """
)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        FILTERED,
    ),
    (re.compile(r"\beyJ[\w\-]{6,}\.[\w\-]{6,}(\.[\w\-]*)?"), FILTERED),
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9+/=_.~\-]{8,}"), r"\1 " + FILTERED),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@?#]*):[^\s/@]+@"), r"\1:" + FILTERED + "@"),
    (
        re.compile(
            r"\b(sk|pk|rk)_(live|test)_[A-Za-z0-9]{6,}|\bsk-[A-Za-z0-9_\-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|"
            r"\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_\-]{16,}|\bxox[abeoprs]-[A-Za-z0-9\-]{10,}|"
            r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_\-]{30,}|\bhooks\.slack\.com/services/[A-Za-z0-9/]+|"
            r"\bSG\.[\w\-]{16,}\.[\w\-]{16,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_\-]{30,}"
        ),
        FILTERED,
    ),
)
_CARD = re.compile(r"(?<![\w.\-])(?:\d[ \-]?){12,18}\d(?![\w\-]|\.\d)")
# Most texts hold none of these, and a search for plain words is far cheaper than one for patterns.
_WORDS = (
    "pass", "pwd", "secret", "credential", "key", "auth", "token", "bearer", "jwt", "cookie", "sess", "sid",
    "csrf", "xsrf", "otp", "pin", "ssn", "cvv", "cvc", "card", "cc", "dsn", "connection",
)  # fmt: skip
_MARKS = (
    "eyj", "://", "sk-", "k_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat", "xox", "akia",
    "asia", "aiza", "sg.", "npm_", "pypi-", "begin", "bearer", "basic", "digest", "slack",
)  # fmt: skip
_HEADERS = re.compile(
    r"(?i)^(authorization|proxy-authorization|cookie2?|set-cookie2?|x-(api|auth|access|csrf|xsrf|amz-security|"
    r"goog-iam|gitlab|vault|shopify-access)[\w\-]*(key|token)?|x-forwarded-client-cert|www-authenticate)$"
)
_MIN_ECHO = 6
_MAX_ECHOES = 200


def scrub(event: Event, *, suspected: bool = True) -> Event:
    """The event without secrets, changed in place and returned.

    Where nothing of it is `suspected` (see `suspect`) only what must go in any case does.
    """
    request = event.request
    if suspected or (
        request is not None
        and (request.cookies or any(_is_secret_header(name) for name, _ in request.headers))
    ):
        _scrub_all(event)
    if request is not None and isinstance(address := request.environment.get("REMOTE_ADDR"), str):
        request.environment["REMOTE_ADDR"] = _short_ip(address)
    if event.user is not None:
        event.user.ip = _short_ip(event.user.ip)
    return event


def _scrub_all(event: Event) -> None:
    secrets: set[str] = set()
    _walk_event(event, lambda value: _gather(value, secrets), lambda frame: _gather_frame(frame, secrets))
    if event.request is not None:
        for name, value in event.request.headers:
            if _is_secret_header(name):
                _keep(value.split(" ", 1)[-1], secrets)
                _keep(_basic_password(value), secrets)
        for value in event.request.cookies.values():
            _keep(value, secrets)
    if not secrets:
        _walk_event(event, scrub_value, _scrub_plain)
        if event.request is not None:
            _scrub_request(event.request, scrub_value)
        return
    # The longest first: a short secret may be part of a long one.
    echoes = sorted(secrets, key=len, reverse=True)[:_MAX_ECHOES]

    def apply(value: Any) -> Any:
        return scrub_value(value, echoes)

    def walk(frame: Frame) -> None:
        if any(one in _place(frame).words for one in echoes):
            _walk_frame(frame, apply)
        else:
            _scrub_frame(frame)
            frame.variables = apply(frame.variables)

    _walk_event(event, apply, walk)
    if event.request is not None:
        _scrub_request(event.request, apply)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return bool(_EXACT.match(name) or _LOOSE.search(name))


def scrub_text(value: str, echoes: Sequence[str] = ()) -> str:
    """`value` without what looks like a secret."""
    for one in echoes:
        if one in value:
            value = value.replace(one, FILTERED)
    # Lines of code and names of files come again with every event of an issue.
    return _scrub_again(value) if len(value) <= 300 else _scrub_text(value)


def _scrub_text(value: str) -> str:
    lowered = value.lower()
    if any(mark in lowered for mark in _MARKS):
        for pattern, replacement in _SHAPES:
            value = pattern.sub(replacement, value)
    if _may_assign(value, lowered):
        value = _ASSIGNED.sub(_hide_assigned, value)
    return _CARD.sub(_hide_card, value)


_scrub_again = lru_cache(maxsize=8192)(_scrub_text)


def _may_assign(value: str, lowered: str) -> bool:
    return ("=" in value or ":" in value) and any(word in lowered for word in _WORDS)


@lru_cache(maxsize=8192)
def _assigned(value: str) -> tuple[str, ...]:
    """What is given to secret-looking names within a text."""
    if not _may_assign(value, value.lower()):
        return ()
    return tuple(found["value"] for found in _ASSIGNED.finditer(value) if not found["call"])


def scrub_value(value: Any, echoes: Sequence[str] = ()) -> Any:
    """Any JSON value without secrets, by names and by shapes."""
    if type(value) is str:
        return scrub_text(value, echoes) if value else value
    if isinstance(value, dict):
        return {
            scrub_text(key, echoes): FILTERED
            if is_secret_name(key) and not _harmless(item)
            else scrub_value(item, echoes)
            for key, item in value.items()
        }
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and is_secret_name(value[0]):
            return [value[0], FILTERED]
        return [scrub_value(item, echoes) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10**12:
        hidden = scrub_text(str(value), echoes)
        return value if hidden == str(value) else hidden
    return value


def _harmless(value: Any) -> bool:
    return (
        value is None or isinstance(value, bool) or (isinstance(value, str) and bool(_HARMLESS.match(value)))
    )


def walk_all(event: Event, change: Callable[[Any], Any]) -> None:
    """Pass every text of the event that a program or a person put there through `change`."""
    _walk_event(event, change, lambda frame: _walk_frame(frame, change))
    event.server = change(event.server)
    event.logger = change(event.logger)
    request = event.request
    if request is not None:
        request.url = change(request.url)
        request.query = change(request.query)
        request.headers = [(name, change(value)) for name, value in request.headers]


def _walk_event(event: Event, change: Callable[[Any], Any], walk: Callable[[Frame], None]) -> None:
    """Pass every free text and table of the event through `change`, and its frames through `walk`."""
    event.message = change(event.message)
    event.template = change(event.template)
    event.transaction = change(event.transaction)
    event.release = change(event.release)
    event.environment = change(event.environment)
    event.fingerprint = change(event.fingerprint)
    event.tags = change(event.tags)
    event.extra = change(event.extra)
    event.contexts = change(event.contexts)
    for one in event.exceptions:
        one.type = change(one.type)
        one.value = change(one.value)
        for frame in one.frames:
            walk(frame)
    for frame in event.frames:
        walk(frame)
    for crumb in event.breadcrumbs:
        crumb.message = change(crumb.message)
        crumb.data = change(crumb.data)
    if event.user is not None:
        event.user.data = change(event.user.data)
        event.user.name = change(event.user.name)
        event.user.id = change(event.user.id)
    if event.request is not None:
        event.request.body = change(event.request.body)
        event.request.environment = change(event.request.environment)


def _walk_frame(frame: Frame, change: Callable[[Any], Any]) -> None:
    frame.code = change(frame.code)
    frame.before = change(frame.before)
    frame.after = change(frame.after)
    frame.variables = change(frame.variables)
    frame.path = change(frame.path)
    frame.file = change(frame.file)


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A frame's texts without secrets, and the secrets that they held."""

    code: str
    path: str
    file: str
    before: list[str]
    after: list[str]
    secrets: frozenset[str]
    words: str
    """All of it as it came."""


def _place_of(key: tuple[Any, ...]) -> _Place:
    code, path, file, before, after = key
    found: set[str] = set()
    for one in (code, path, file, *before, *after):
        _gather(one, found)
    return _Place(
        code=scrub_text(code),
        path=scrub_text(path),
        file=scrub_text(file),
        before=[scrub_text(one) for one in before],
        after=[scrub_text(one) for one in after],
        secrets=frozenset(found),
        words="\n".join((code, path, file, *before, *after)),
    )


# The lines of a place in a program come again with every event from there.
_known_place = Memo(_place_of)


def _place(frame: Frame) -> _Place:
    return _known_place((frame.code, frame.path, frame.file, tuple(frame.before), tuple(frame.after)))


def _gather_frame(frame: Frame, secrets: set[str]) -> None:
    secrets |= _place(frame).secrets
    _gather(frame.variables, secrets)


def _scrub_frame(frame: Frame) -> None:
    """Everything but the variables."""
    place = _place(frame)
    frame.code, frame.path, frame.file = place.code, place.path, place.file
    frame.before, frame.after = place.before, place.after


def _scrub_plain(frame: Frame) -> None:
    _scrub_frame(frame)
    frame.variables = scrub_value(frame.variables)


def _scrub_request(request: Request, change: Callable[[Any], Any]) -> None:
    request.url = change(request.url)
    request.query = change(request.query)
    request.headers = [
        (name, FILTERED if _is_secret_header(name) else change(value)) for name, value in request.headers
    ]
    request.cookies = dict.fromkeys(request.cookies, FILTERED)


@lru_cache(maxsize=1024)
def _is_secret_header(name: str) -> bool:
    return bool(_HEADERS.match(name)) or is_secret_name(name)


def _gather(value: Any, secrets: set[str]) -> Any:
    """Note what secret-looking names hold; gives `value` back unchanged."""
    kind = type(value)
    if kind is str:
        # Nearly every text gives nothing to a name, and asking the cache costs more than looking.
        if ("=" in value or ":" in value) and len(value) < 10_000:
            for found in _assigned(value):
                _keep(found, secrets)
    elif kind is dict:
        for key, item in value.items():
            if is_secret_name(key):
                _keep(item, secrets)
            else:
                _gather(item, secrets)
    elif kind is list:
        for item in value:
            _gather(item, secrets)
    return value


def _keep(value: Any, secrets: set[str]) -> None:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _keep(item, secrets)
        return
    word = str(value).strip()
    if word[:1] in "\"'" and word[-1:] == word[:1]:
        word = word[1:-1]
    if len(word) <= 2000 and not _harmless(word) and is_echo(word):
        secrets.add(word)


def is_echo(word: str) -> bool:
    """Whether a word may be hunted through an event: short and everyday ones would blot out half of it."""
    return len(word) >= _MIN_ECHO and not word.isalpha()


def _basic_password(value: str) -> str:
    """The password of a Basic authorization; empty for anything else."""
    scheme, _, packed = value.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(packed.strip(), validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return ""


def _hide_assigned(found: re.Match[str]) -> str:
    value = found["value"]
    if found["call"] or _harmless(value.strip("\"'")):
        return found[0]
    quote = value[-1] if value[-1] in "\"'" and len(value) > 1 else ""
    return f"{found['name']}{found['sep']}{quote}{FILTERED}{quote}"


def _hide_card(found: re.Match[str]) -> str:
    digits = [int(char) for char in found[0] if char.isdigit()]
    total = sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(reversed(digits)))
    return FILTERED if total % 10 == 0 and len(set(digits)) > 1 and digits[0] in {2, 3, 4, 5, 6} else found[0]


def _short_ip(ip: str) -> str:
    """An address without its host part: it tells networks apart, not people."""
    if ":" in ip:
        return ":".join(ip.split(":")[:3]) + "::"
    return ip.rsplit(".", 1)[0] + ".0" if ip.count(".") == 3 else ""
