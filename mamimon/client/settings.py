"""What `init` was told, merged with the environment.

Precedence: argument, environment, `.env` in the current folder, default; a `MAMIMON_*` variable goes
before the mission's own name for the same thing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

MIB = 1024 * 1024


class Dsn(NamedTuple):
    """A Sentry DSN, `http://KEY@HOST/<path/>PROJECT` (develop.sentry.dev, SDK overview)."""

    key: str
    project: str
    envelope_url: str


class Settings(NamedTuple):
    """One resolved configuration; immutable. Sizes in bytes, times in seconds."""

    url: str = ""
    service: str = "app"
    environment: str = "production"
    release: str = ""
    token: str = ""
    dsn: str = ""
    bulk_url: str = ""
    bulk_auth: str = ""
    level: str = "INFO"
    levels: Mapping[str, str] = {}
    console: str = "auto"
    ecs: bool = False
    mask: bool = True
    linger_s: float = 0.25
    batch_records: int = 500
    batch_bytes: int = MIB
    queue_records: int = 10_000
    timeout_s: float = 10.0
    spool: bool = True
    spool_dir: str = ""
    spool_bytes: int = 64 * MIB
    spool_age_s: float = 3 * 86_400.0
    flush_s: float = 2.0
    metrics_dir: str = ""
    push_metrics_s: float = 0.0
    capture_logged: bool = True
    send_locals: bool = True
    install_hooks: bool = True
    propagate: bool = True
    propagate_hosts: tuple[str, ...] = ()


def parse_dsn(text: str) -> Dsn | None:
    """The parts of a DSN, or None where it is not one."""
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    path, _, project = parts.path.rstrip("/").rpartition("/")
    # A project is a number; the placeholder of .env.example ("project-id") is therefore no DSN.
    if parts.scheme not in ("http", "https") or not parts.username or not parts.hostname:
        return None
    if not project.isdigit():
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Dsn(parts.username, project, f"{parts.scheme}://{host}{port}{path}/api/{project}/envelope/")


def split_credentials(url: str) -> tuple[str, str]:
    """Take `user:password@` out of a URL; returns the bare URL and `user:password` or nothing."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{host}{slash}{path}".rstrip("/"), unquote(credentials) if at else ""


def resolve(arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Merge arguments (None means not given) with the environment; bad values fall back to defaults.

    Without `environ` it is the process's own over the `.env` of the folder it was started in.
    """
    env: Mapping[str, str] = {**read_env_file(".env"), **os.environ} if environ is None else environ
    values: dict[str, Any] = {}
    for name, default in Settings._field_defaults.items():
        given = arguments.get(name)
        if given is None:
            given = _convert(env.get("MAMIMON_" + name.upper()), default)
        values[name] = default if given is None else given
    if isinstance(values["propagate_hosts"], str):
        values["propagate_hosts"] = _convert(values["propagate_hosts"], ()) or ()
    values["propagate_hosts"] = tuple(values["propagate_hosts"])
    values["url"], credentials = split_credentials(str(values["url"]))
    values["dsn"] = values["dsn"] or env.get("SENTRY_DSN") or env.get("VITE_SENTRY_DSN") or ""
    if values["url"]:
        values["bulk_url"] = values["bulk_url"] or values["url"] + "/es/_bulk"
        values["bulk_auth"] = values["bulk_auth"] or _authorization(values["token"], credentials)
    elif env.get("ELASTICSEARCH_URL"):
        bare, credentials = split_credentials(env["ELASTICSEARCH_URL"])
        user = env.get("ELASTICSEARCH_USERNAME", "")
        if user and not credentials:
            credentials = f"{user}:{env.get('ELASTICSEARCH_PASSWORD', '')}"
        values["bulk_url"] = bare + "/_bulk"
        values["bulk_auth"] = _authorization("", credentials)
    return Settings(**values)


def read_env_file(path: str) -> dict[str, str]:
    """Our own `KEY=value` lines of a `.env`; other people's variables and empty values are left alone."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 4 ms of the import
            lines = file.read(65_536).splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if equals and (name in _MISSION or name.startswith("MAMIMON_")):
            text = value.strip()
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
            text = text[1:-1] if quoted else text.split(" #")[0].strip()
            if text:
                found[name] = text
    return found


_MISSION = frozenset(
    ("ELASTICSEARCH_URL", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD", "SENTRY_DSN", "VITE_SENTRY_DSN")
)


def _convert(text: str | None, default: object) -> object:
    if text is None or not text.strip() or isinstance(default, dict):
        return None
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        if isinstance(default, bool):
            return text.strip().lower() in ("1", "true", "yes", "on")
        if isinstance(default, (int, float)):
            return type(default)(text)
    except ValueError:
        warn(f"ignoring an environment variable: {text!r} is not a number")
        return None
    return text.strip()


def _authorization(token: str, credentials: str) -> str:
    if token:
        return f"Bearer {token}"
    if credentials:
        from base64 import b64encode

        return "Basic " + b64encode(credentials.encode()).decode()
    return ""


def warn(message: str) -> None:
    """One line on stderr for the operator; never through logging, which could come back to us."""
    try:
        sys.stderr.write(f"mamimon: {message}\n")
    except Exception:  # noqa: S110 - a closed stderr must not reach the application
        pass
