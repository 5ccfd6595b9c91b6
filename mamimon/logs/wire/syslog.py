"""Syslog messages: RFC 5424, RFC 3164 as it is really sent, and the frames of RFC 6587 on streams.

Nothing that arrives is lost: what is not understood becomes the message of a line with a
`syslog_error` that says why. Sources: the RFCs; the formats of rsyslog, util-linux' logger, Cisco IOS and
Python's SysLogHandler.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import msgspec

from mamimon.logs.dates import parse_iso
from mamimon.logs.wire.document import add, timestamp
from mamimon.logs.wire.local_time import nearest

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip
LEVELS = ("CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_PRIORITY = re.compile(r"<(\d{1,3})>")
_HEADER = re.compile(r"[1-9]\d{0,2} (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,64})(?: |$)")
_PARAMETER = re.compile(r' ([^\s=\]"]{1,255})="((?:[^"\\\]]|\\.)*)"')
_ELEMENT = re.compile(r"\[([^\s=\]\"]{1,255})")
_OLD_TIME = re.compile(
    r"(?:\d{1,10}: )?[*.]?(?:(\d{4}) )?(" + "|".join(_MONTHS) + r") {1,2}(\d{1,2})(?: (\d{4}))?,? "
    r"(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?(?: (?:UTC|GMT)(?=:))?:? "
)
_ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(Z|[+-]\d\d:?\d\d)? ")
_HOST = re.compile(r"([A-Za-z0-9_.:-]{1,255}) ")
_TAG = re.compile(r"([^\s:\[\]]{1,64})(?:\[([^\]\s]{0,64})\]:?|:) ?")
# Without a time before it, only what looks like a program's name is one.
_LONE_TAG = re.compile(r"([a-z][\w./-]{0,47})(?:\[(\d{1,10})\]:?|:) ")
_LEVEL_WORDS = frozenset(
    ("trace", "debug", "info", "notice", "warning", "warn", "error", "critical", "fatal")
)


def document(data: bytes, now: float, zone: dt.tzinfo | None) -> dict[str, Any]:
    """The line of one message; `zone` is where times are from that do not say (None: this machine's)."""
    error = ""
    try:
        text = data.rstrip(b"\r\n\0").decode("utf-8")
    except UnicodeDecodeError:
        text, error = data.rstrip(b"\r\n\0").decode("latin-1"), "not UTF-8"
    text = text.lstrip("\ufeff")
    found = _PRIORITY.match(text)
    if found is None or int(found[1]) > 191:
        out: dict[str, Any] = {"message": text, "syslog_error": "no priority"}
        return out
    facility, severity = divmod(int(found[1]), 8)
    out = {"level": LEVELS[severity], "facility": FACILITIES[facility]}
    header = _HEADER.match(text, found.end())
    problem = _new(out, text, header) if header else _old(out, text, found.end(), now, zone)
    _structured_message(out)
    if error or problem:
        out["syslog_error"] = error or problem
    return out


def _new(out: dict[str, Any], text: str, header: re.Match[str]) -> str:
    """RFC 5424 behind the version; returns what was wrong."""
    when, host, app, process, message_id = header.groups()
    problem = ""
    if when != "-":
        seconds = parse_iso(when)
        if seconds is None:
            problem = "the time cannot be read"
            out["time_as_sent"] = when
        else:
            out["@timestamp"] = when if when[-1] != "z" else when.upper()
    _who(out, host, app, process)
    if message_id != "-":
        out["msgid"] = message_id
    rest = text[header.end() :]
    if rest == "-" or rest.startswith("- "):
        rest = rest[2:]
    else:
        read = _structured_data(rest)
        if read is None:
            problem = problem or "the structured data cannot be read"
        else:
            out["structured_data"], rest = read
    out["message"] = rest.removeprefix("\ufeff")
    return problem


def _structured_data(text: str) -> tuple[dict[str, Any], str] | None:
    """The elements by their id, and the text behind them; None where they are none."""
    data: dict[str, Any] = {}
    at = 0
    while element := _ELEMENT.match(text, at):
        at = element.end()
        fields = data.setdefault(element[1], {})
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            value = re.sub(r'\\(["\\\]])', r"\1", parameter[2])
            known = fields.get(parameter[1])
            if known is None:
                fields[parameter[1]] = value
            else:
                fields[parameter[1]] = [*(known if isinstance(known, list) else [known]), value]
        if text[at : at + 1] != "]":
            return None
        at += 1
    if not data or text[at : at + 1] not in {"", " "}:
        return None
    return data, text[at + 1 :]


def _old(out: dict[str, Any], text: str, at: int, now: float, zone: dt.tzinfo | None) -> str:
    """RFC 3164 behind the priority: time, host and tag where they can be told; returns what was wrong."""
    problem = ""
    timed = True
    if found := _OLD_TIME.match(text, at):
        seconds = _old_seconds(found, now, zone)
        if seconds is None:
            problem, out["time_as_sent"] = "the time cannot be read", found[0].strip()
        else:
            out["@timestamp"] = timestamp(round(seconds * 1_000_000) * 1000)
        at = found.end()
    elif found := _ISO_TIME.match(text, at):
        seconds = parse_iso(found[1] + (found[2] or "Z"))
        if seconds is None:
            problem, out["time_as_sent"] = "the time cannot be read", found[0].strip()
        elif found[2]:
            out["@timestamp"] = found[0].strip()
        else:
            naive = dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None)
            out["@timestamp"] = timestamp(round((nearest(naive, zone, now) + seconds % 1) * 1e6) * 1000)
        at = found.end()
    else:
        timed = False
    host = ""
    if timed and (found := _HOST.match(text, at)) and not found[1].endswith(":"):
        host, at = found[1], found.end()
    app = process = ""
    found = (_TAG if timed else _LONE_TAG).match(text, at)
    if found and (timed or found[2] or found[1] not in _LEVEL_WORDS):
        app, process, at = found[1], found[2] or "", found.end()
    _who(out, host, app, process)
    out["message"] = text[at:]
    return problem


def unmarked(text: str, now: float, zone: dt.tzinfo | None) -> dict[str, Any]:
    """A line as syslog daemons write it to files, without a priority; empty where it has no time."""
    out: dict[str, Any] = {}
    _old(out, text, 0, now, zone)
    return out if "@timestamp" in out else {}


def _old_seconds(found: re.Match[str], now: float, zone: dt.tzinfo | None) -> float | None:
    """A time without an offset, and mostly without a year: the latest that is not in the future."""
    year_before, month, day, year_after, hour, minute, second, fraction = found.groups()
    parts = (_MONTHS.index(month) + 1, int(day), int(hour), int(minute), min(int(second), 59))
    year = year_before or year_after
    rest = int(fraction) / 10 ** len(fraction) if fraction else 0.0
    this = dt.datetime.fromtimestamp(now, zone or dt.UTC).year
    # A clock may be a day ahead; a leap day may be four years (over a century's turn eight) ago.
    for candidate in [int(year)] if year else range(this + 1, this - 9, -1):
        try:
            naive = dt.datetime(candidate, *parts)  # noqa: DTZ001 - `nearest` puts it into the zone
        except ValueError:
            continue
        seconds = nearest(naive, zone, now) + rest
        if year or seconds <= now + 86_400:
            return seconds
    return None


def _who(out: dict[str, Any], host: str, app: str, process: str) -> None:
    if host and host != "-":
        out["host"] = host
    if app and app != "-":
        out["service"] = out["logger"] = app
    if process and process != "-":
        out["pid"] = (
            int(process) if process.isascii() and process.isdigit() and len(process) < 10 else process
        )


def _structured_message(out: dict[str, Any]) -> None:
    """JSON in the message, with or without the `@cee:` cookie, becomes fields; its text stays the message."""
    text = out["message"]
    bare = text.removeprefix("@cee:").lstrip()
    if not bare.startswith("{"):
        return
    try:
        fields = msgspec.json.decode(bare)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return
    if not isinstance(fields, dict):
        return
    for name in ("message", "msg"):
        if isinstance(fields.get(name), str):
            out["message"] = fields.pop(name)
            break
    if isinstance(fields.get("level"), str):
        out["level"] = fields.pop("level")
    add(out, fields)


class Frames:
    """Cuts a stream into messages: octet counting or lines, told apart message by message (RFC 6587)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._skip = 0
        """Octets of an overlong counted message that are still to be thrown away."""
        self._until_newline = False
        self.cut = 0
        """Messages that were longer than the limit; their beginning was kept."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these octets complete."""
        self._rest += data
        out: list[bytes] = []
        while self._rest:
            if self._skip:
                dropped = min(self._skip, len(self._rest))
                self._rest, self._skip = self._rest[dropped:], self._skip - dropped
                continue
            taken = self._counted()
            if taken is None:
                taken = self._line()
            if taken is None:
                break
            if taken.strip(b"\r\n\0"):
                out.append(taken)
        return out

    def _counted(self) -> bytes | None:
        """One counted message; None where the frame is a line or not complete."""
        head = re.match(rb"([1-9]\d{0,8}) <", self._rest)
        if head is None or self._until_newline:
            return None
        size, start = int(head[1]), head.end() - 1
        if size > self._limit:
            if len(self._rest) - start < self._limit:
                return None
            self.cut += 1
            message = self._rest[start : start + self._limit]
            self._rest, self._skip = self._rest[start + self._limit :], size - self._limit
            return message
        if len(self._rest) - start < size:
            return None
        message, self._rest = self._rest[start : start + size], self._rest[start + size :]
        return message

    def _line(self) -> bytes | None:
        if re.match(rb"[1-9]\d{0,8}(?: (?:<|\Z)|\Z)", self._rest) and not self._until_newline:
            return None  # perhaps a count, perhaps not all of a counted message
        end = re.search(rb"[\n\0]", self._rest)
        if end is None:
            if self._until_newline:
                self._rest = b""
            elif len(self._rest) >= self._limit:
                message, self._rest = self._rest[: self._limit], b""
                self._until_newline = True
                self.cut += 1
                return message
            return None
        message, self._rest = self._rest[: end.start()], self._rest[end.end() :]
        if self._until_newline:
            self._until_newline = False
            return b"\n"
        if len(message) > self._limit:
            self.cut += 1
        return message[: self._limit]

    def flush(self) -> list[bytes]:
        """What was left when the stream ended, as a message."""
        rest, self._rest = self._rest, b""
        rest = re.sub(rb"^[1-9]\d{0,8} (?=<)", b"", rest)
        return [rest[: self._limit]] if rest.strip() and not self._skip and not self._until_newline else []
