"""One line, read in its format: JSON, logfmt, access log, syslog, or plain with a time and level."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mamimon.cli.recognise.times import leading
from mamimon.logs.dates import parse_time

FORMATS = ("auto", "json", "logfmt", "clf", "combined", "syslog", "plain")

_NAMES = {
    "trace": "DEBUG", "debug": "DEBUG", "info": "INFO", "notice": "INFO", "note": "INFO", "log": "INFO",
    "warn": "WARNING", "warning": "WARNING", "err": "ERROR", "error": "ERROR", "severe": "ERROR",
    "fatal": "CRITICAL", "critical": "CRITICAL", "crit": "CRITICAL", "panic": "CRITICAL", "emerg": "CRITICAL",
    "emergency": "CRITICAL", "alert": "CRITICAL",
}  # fmt: skip
# pino and bunyan write numbers
_NUMBERS = {10: "DEBUG", 20: "DEBUG", 30: "INFO", 40: "WARNING", 50: "ERROR", 60: "CRITICAL"}
_SYSLOG_NUMBERS = ("CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "INFO", "INFO", "DEBUG")
# Upper case anywhere near the start, or set off by brackets, a colon or `level=`: prose rarely is.
_IN_TEXT = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|SEVERE|FATAL|CRITICAL|PANIC|EMERGENCY)\b"
    r"|[\[<(](trace|debug|info|not(?:ic)?e|warn(?:ing)?|err(?:or)?|fatal|crit(?:ical)?|alert|emerg|panic)[\]>)]"
    r"|^(?:\w+: )?(debug|info|warning|error|fatal|critical)(?=:)"
    r"|\[(?:\w+:)?(Note|Warning|Error|notice|warn|error|crit)\]"
)
# A word in lower case is a level only where it stands alone behind a time.
_AFTER_TIME = re.compile(
    r"[\[(<-]?\s*(trace|debug|info|notice|warn|warning|err|error|fatal|critical|panic)\b", re.I | re.A
)
_POSTGRES = re.compile(
    r"\[\d+\] (?:\S+ )?(DEBUG|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|STATEMENT):  "
)
_PAIR = re.compile(r'([A-Za-z_@][\w.@-]{0,63})=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
_ACCESS = re.compile(
    r"(?:(?P<vhost>[\w.-]+:\d+) )?(?P<ip>[0-9a-fA-F.:]{3,45}|[\w.-]+) (?P<ident>\S+) (?P<user>\S+) "
    r'\[(?P<time>[^\]]{20,40})\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}|-) (?P<bytes>\d+|-)'
    r'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?(?P<rest>.*)$'
)
_ZONED = re.compile(r"(?:Z|[+-]\d\d:?\d\d|^[\d.]+)$")
_COMPOSE = re.compile(r"([A-Za-z0-9][\w.-]{0,63}) +\| ")
_CRI = re.compile(r"(stdout|stderr) ([FP]) ")
MESSAGE_KEYS = ("message", "msg", "event", "text", "@m", "MESSAGE")
LEVEL_KEYS = (
    "level",
    "severity",
    "levelname",
    "log.level",
    "lvl",
    "loglevel",
    "@l",
    "severityText",
    "PRIORITY",
)
TIME_KEYS = (
    "@timestamp", "timestamp", "time", "ts", "t", "datetime", "date", "asctime", "eventTime", "@t", "instant",
    "__REALTIME_TIMESTAMP", "started_at", "EdgeStartTimestamp", "request_timestamp",
)  # fmt: skip
LOGGER_KEYS = ("logger", "name", "log.logger", "logger_name", "target", "SYSLOG_IDENTIFIER")


class Record(msgspec.Struct):
    """What a line says, and the lines that belong to it."""

    kind: str
    """json, logfmt, access, syslog, plain or trace."""
    text: str
    """The first line as it was."""
    message: str
    level: str = ""
    time: float | None = None
    logger: str = ""
    fields: dict[str, Any] = {}
    more: list[str] = []
    """The lines that follow: a stack trace, or a paragraph's rest."""
    trace: bool = False
    lines: int = 1


class Reader:
    """Reads the lines of one file or stream."""

    def __init__(
        self, form: str = "auto", zone: dt.tzinfo | None = None, reference: Callable[[], float] | None = None
    ) -> None:
        self._zone = zone
        self._reference = reference or (lambda: dt.datetime.now(dt.UTC).timestamp())
        every: dict[str, Callable[[str], Record | None]] = {
            "json": self._json, "logfmt": self._logfmt, "clf": self._access, "combined": self._access,
            "syslog": self._syslog,
        }  # fmt: skip
        chosen = every.values() if form == "auto" else [every[form]] if form in every else []
        self._readers = list(dict.fromkeys(chosen))

    def read(self, text: str) -> Record:
        """The record of a line; every line has one."""
        prefix = _COMPOSE.match(text)
        if prefix:
            record = self.read(text[prefix.end() :])
            record.text = text
            record.fields = {"service": prefix[1], **record.fields}
            return record
        for read in self._readers:
            record_or_none = read(text)
            if record_or_none is not None:
                return record_or_none
        return self._plain(text)

    def _json(self, text: str) -> Record | None:
        fields = json_object(text)
        if fields is None:
            return None
        if isinstance(fields.get("log"), str) and "stream" in fields and "time" in fields:
            return self._docker(text, fields)
        message = _text(_take(fields, MESSAGE_KEYS))
        inner = fields.get("fields", fields.get("@fields"))
        if message is None and isinstance(inner, dict):
            message = _text(_take(inner, MESSAGE_KEYS))
        time = self._known(fields, TIME_KEYS, self._time)
        journal = "PRIORITY" in fields
        level = self._known(fields, LEVEL_KEYS, lambda value: level_of(value, syslog=journal)) or ""
        logger = _take(fields, LOGGER_KEYS)
        for ours, theirs in (("host", "_HOSTNAME"), ("pid", "_PID")):
            if theirs in fields:
                fields.setdefault(ours, fields.pop(theirs))
        if logger is not None and not isinstance(logger, str):
            fields["logger_"], logger = logger, ""
        return Record("json", text, text if message is None else message, level, time, logger or "", fields)

    @staticmethod
    def _known(fields: dict[str, Any], names: tuple[str, ...], read: Callable[[Any], Any]) -> Any:
        """The first of the fields that can be read, taken out; those that cannot stay."""
        for name in names:
            if name in fields and (found := read(fields[name])):
                del fields[name]
                return found
        return None

    def _docker(self, text: str, fields: dict[str, Any]) -> Record:
        """Docker's json-file driver wraps each line of the program."""
        inner = self.read(str(fields["log"]).rstrip("\n"))
        inner.text = text
        inner.time = self._time(fields["time"]) if inner.time is None else inner.time
        inner.fields = {**inner.fields, "stream": fields["stream"]}
        return inner

    def _time(self, value: Any) -> float | None:
        if isinstance(value, dict):
            if isinstance(value.get("epochSecond"), (int, float)):
                return float(value["epochSecond"]) + float(value.get("nanoOfSecond") or 0) / 1e9
            value = value.get("$date")
        found = parse_time(value)
        if found is None or (
            isinstance(value, str) and not re.search(r"(?:Z|[+-]\d\d:?\d\d|^[\d.]+)$", value)
        ):
            read = leading(value, self._zone, self._reference()) if isinstance(value, str) else None
            return found if read is None else read[0]
        return found

    def _logfmt(self, text: str) -> Record | None:
        fields = logfmt(text)
        if fields is None:
            return None
        message = _text(_take(fields, MESSAGE_KEYS))
        level = self._known(fields, LEVEL_KEYS, level_of) or ""
        time = self._known(fields, TIME_KEYS, self._time)
        logger = _take(fields, LOGGER_KEYS) or ""
        return Record("logfmt", text, text if message is None else message, level, time, logger, fields)

    def _access(self, text: str) -> Record | None:
        found = _ACCESS.match(text)
        if found is None:
            return None
        read = leading(found["time"], self._zone, self._reference())
        if read is None:
            return None
        request, status = found["request"], found["status"]
        fields: dict[str, Any] = {"client_ip": found["ip"]}
        method, _, rest = request.partition(" ")
        path, _, protocol = rest.rpartition(" ")
        if protocol.startswith("HTTP/"):
            fields |= {"method": method, "path": path, "protocol": protocol}
        for name, value in (
            ("user", found["user"]), ("vhost", found["vhost"]), ("referer", found["referer"]),
            ("user_agent", found["agent"]), ("rest", found["rest"].strip()),
        ):  # fmt: skip
            if value and value != "-":
                fields[name] = value
        if status != "-":
            fields["status"] = int(status)
        if found["bytes"] != "-":
            fields["bytes"] = int(found["bytes"])
        level = {"5": "ERROR", "4": "WARNING"}.get(status[0], "INFO")
        return Record("access", text, f"{request} {status}", level, read[0], "", fields)

    def _syslog(self, text: str) -> Record | None:
        from mamimon.logs.wire import syslog

        now = self._reference()
        if text.startswith("<"):
            made = syslog.document(text.encode(errors="replace"), now, self._zone)
            if "facility" not in made:
                return None
        else:
            made = syslog.unmarked(text, now, self._zone)
            # A time in ISO form is everybody's: only a process in brackets makes syslog of it.
            if not made or ("pid" not in made and text[:1].isdigit()) or "service" not in made:
                return None
            if str(made.get("host", "")).lower() in _NAMES:
                made["level"] = _NAMES[made.pop("host").lower()]
        time = parse_time(made.pop("@timestamp", None))
        message = str(made.pop("message"))
        level = str(made.pop("level", "")) or named_level(message)
        logger = str(made.pop("logger", ""))
        return Record("syslog", text, message, level, time, logger, made)

    def _plain(self, text: str) -> Record:
        found = leading(text, self._zone, self._reference())
        if found is None:
            return Record("plain", text, text, named_level(text))
        seconds, end = found
        rest = text[end:]
        fields: dict[str, Any] = {}
        if cri := _CRI.match(rest):
            fields["stream"], rest = cri[1], rest[cri.end() :]
        level = named_level(rest)
        if text[:1] in "IWEFD" and text[1:5].isdigit():
            level = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL", "D": "DEBUG"}[text[0]]
        elif postgres := _POSTGRES.match(rest):
            level = _NAMES.get(postgres[1].lower(), "INFO")
        elif word := _AFTER_TIME.match(rest):
            level = _NAMES[word[1].lower()]
        return Record("plain", text, rest or text, level, seconds, "", fields)


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a line is, or None."""
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def logfmt(text: str) -> dict[str, Any] | None:
    """A line of nothing but `key=value` pairs that has a level or a message."""
    fields: dict[str, Any] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return None
        value = found[2]
        fields[found[1]] = value[1:-1].replace('\\"', '"') if value[:1] == '"' else value
        at = found.end()
    known = any(name in fields for name in (*LEVEL_KEYS, *MESSAGE_KEYS))
    return fields if len(fields) > 1 and known else None


def named_level(text: str) -> str:
    """The level that a plain line names near its start; empty where it names none."""
    found = _IN_TEXT.search(text[:120])
    if found is None:
        return ""
    return _NAMES.get((found[1] or found[2] or found[3] or found[4]).lower(), "INFO")


def level_of(value: Any, *, syslog: bool = False) -> str:
    """The level of a field's value; empty where it is none that we know."""
    if syslog and isinstance(value, str) and value in set("01234567"):
        return _SYSLOG_NUMBERS[int(value)]
    if isinstance(value, str):
        return _NAMES.get(value.strip().lower(), "")
    return _NUMBERS.get(value, "") if isinstance(value, int) else ""


def _take(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in fields:
            return fields.pop(name)
    return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    # journald gives what is no UTF-8 as a list of octets.
    if isinstance(value, list) and value and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value).decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False)
