"""alertmanager.yml as Alertmanager reads it, into `Routing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import yaml

from mamimon.alerts import intervals
from mamimon.alerts.matchers import Matcher, make, parse
from mamimon.alerts.model import duration
from mamimon.alerts.receiver_checks import check_global, check_receiver
from mamimon.alerts.routing import Receiver, Route, Routing, Target, settings_mail, settings_people
from mamimon.alerts.silences import Inhibition
from mamimon.alerts.templates import TemplateError
from mamimon.alerts.templates import parse as parse_template
from mamimon.config import AlertSettings, ConfigError
from mamimon.problems import Problem, bad_input

MAX_BYTES = 4 * 1024 * 1024
_TOP = {
    "global",
    "route",
    "receivers",
    "inhibit_rules",
    "templates",
    "mute_time_intervals",
    "time_intervals",
    "tracing",
}
_ROUTE = {
    "receiver",
    "match",
    "match_re",
    "matchers",
    "group_by",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "continue",
    "routes",
    "mute_time_intervals",
    "active_time_intervals",
    "labels",
}


class _Lines(yaml.CSafeLoader):
    """Remembers on which line each mapping starts."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping = cast("dict[Any, Any]", super().construct_mapping(node, deep=deep))
        mapping["__line__"] = node.start_mark.line + 1
        return mapping


class _At(Exception):  # noqa: N818 - becomes a ConfigError
    def __init__(self, where: Any, message: str) -> None:
        super().__init__(message)
        self.line = where.get("__line__", 1) if isinstance(where, Mapping) else 1


def load(path: Path, settings: AlertSettings) -> Routing:
    """Read a file; raises `ConfigError` with file and line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    return read(text, settings, str(path), path.parent)


def read(text: str, settings: AlertSettings, name: str = "alertmanager.yml", base: Path = Path()) -> Routing:
    """Read a configuration's text; files that it names are found from `base`."""
    try:
        raw = yaml.load(text, Loader=_Lines)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}:1: not valid YAML: {str(error)[:200]}") from None
    try:
        return _Reader(settings, base).read(raw, text)
    except _At as at:
        raise ConfigError(f"{name}:{at.line}: {at}") from None


def _guard(where: Any, work: Callable[..., Any], *args: Any) -> Any:
    try:
        return work(*args)
    except Problem as problem:
        raise _At(where, problem.detail) from None
    except (TypeError, AttributeError, ValueError) as error:
        raise _At(where, f"unexpected value: {str(error)[:200]}") from None


def _known(raw: Any, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _At(raw, f"{what} must be a mapping")
    unknown = sorted(str(key) for key in raw if key not in keys and key != "__line__")
    if unknown:
        raise _At(raw, f"unknown field {unknown[0]!r} in {what}")
    return raw


class _Reader:
    """One pass over a configuration."""

    def __init__(self, settings: AlertSettings, base: Path) -> None:
        self._settings = settings
        self._base = base
        self._global: dict[str, Any] = {}

    def read(self, raw: Any, text: str) -> Routing:
        top = _known(raw, _TOP, "the configuration")
        self._global = top.get("global") or {}
        _guard(self._global, check_global, self._global)
        receivers: dict[str, Receiver] = {}
        for one in top.get("receivers") or []:
            receiver = _guard(one, self._receiver, one)
            if receiver.name in receivers:
                raise _At(one, f"notification config name {receiver.name!r} is not unique")
            receivers[receiver.name] = receiver
        times = {}
        for one in [*(top.get("time_intervals") or []), *(top.get("mute_time_intervals") or [])]:
            if not isinstance(one, dict) or not one.get("name"):
                raise _At(one, "missing name in time interval")
            times[str(one["name"])] = [
                _guard(one, intervals.read, part) for part in one.get("time_intervals") or []
            ]
        if not isinstance(top.get("route"), dict):
            raise _At(top, "no routes provided")
        root = self._route(top["route"], None, "{}")
        if root.matchers:
            raise _At(top["route"], "root route must not have any matchers")
        if not root.receiver:
            raise _At(top["route"], "root route must specify a default receiver")
        for _, route in root.walk():
            if route.receiver not in receivers:
                raise _At(top["route"], f"undefined receiver {route.receiver!r} used in route")
            for name in (*route.mute, *route.active):
                if name not in times:
                    raise _At(top["route"], f"undefined time interval {name!r} used in route")
        return Routing(
            route=root,
            receivers=receivers,
            inhibitions=[_guard(one, self._inhibition, one) for one in top.get("inhibit_rules") or []],
            intervals=times,
            resolve_timeout_s=_guard(self._global, duration, self._global.get("resolve_timeout") or "5m"),
            original=hide_secrets(text),
            templates=self._templates(top),
            people=settings_people(self._settings),
        )

    def _templates(self, top: dict[str, Any]) -> dict[str, Any]:
        defines: dict[str, Any] = {}
        for pattern in top.get("templates") or []:
            for path in sorted(self._base.glob(str(pattern).lstrip("/"))) or (
                [Path(pattern)] if Path(pattern).is_file() else []
            ):
                try:
                    parse_template(path.read_text(encoding="utf-8"), defines)
                except (OSError, UnicodeDecodeError, TemplateError) as error:
                    raise _At(top, f"template {path.name}: {error}") from None
        return defines

    def _matchers(self, raw: dict[str, Any], prefix: str = "") -> list[Matcher]:
        found = [
            make(str(k), "=", str(v)) for k, v in (raw.get(f"{prefix}match") or {}).items() if k != "__line__"
        ]
        for key, value in (raw.get(f"{prefix}match_re") or {}).items():
            if key != "__line__":
                if value is None:
                    raise bad_input(f'invalid regexp value for "{key}"')
                found.append(make(str(key), "=~", str(value)))
        for text in raw.get(f"{prefix}matchers") or []:
            found.extend(parse(str(text)))
        return found

    def _route(self, raw: Any, parent: Route | None, path: str) -> Route:
        fields = _known(raw, _ROUTE, "route")
        matchers: list[Matcher] = _guard(raw, self._matchers, fields)
        if parent is not None:
            path = f"{path}/{{{','.join(str(m) for m in sorted(matchers, key=str))}}}"

        def seconds(key: str, inherited: float) -> float:
            value = fields.get(key)
            return inherited if value is None else float(_guard(raw, duration, value))

        by = fields.get("group_by")
        route = Route(
            id=path,
            receiver=str(fields.get("receiver") or (parent.receiver if parent else "")),
            matchers=matchers,
            group_by=tuple(map(str, by)) if by is not None else (parent.group_by if parent else ()),
            group_wait_s=seconds("group_wait", parent.group_wait_s if parent else 30.0),
            group_interval_s=seconds("group_interval", parent.group_interval_s if parent else 300.0),
            repeat_interval_s=seconds("repeat_interval", parent.repeat_interval_s if parent else 14_400.0),
            continues=bool(fields.get("continue")),
            mute=tuple(map(str, fields.get("mute_time_intervals") or ())),
            active=tuple(map(str, fields.get("active_time_intervals") or ())),
        )
        if len(set(route.group_by)) != len(route.group_by):
            raise _At(raw, "duplicated label in group_by")
        if route.group_interval_s <= 0 or route.repeat_interval_s <= 0:
            raise _At(raw, "group_interval and repeat_interval cannot be zero")
        if path.count("/") > 50:
            raise _At(raw, "routes are nested too deeply")
        route.routes = [self._route(child, route, path) for child in fields.get("routes") or []]
        for number, child in enumerate(route.routes):
            child.id = f"{child.id}/{number}"
        return route

    def _inhibition(self, raw: dict[str, Any]) -> Inhibition:
        return Inhibition(
            tuple(self._matchers(raw, "source_")),
            tuple(self._matchers(raw, "target_")),
            tuple(map(str, raw.get("equal") or ())),
        )

    def _receiver(self, raw: dict[str, Any]) -> Receiver:
        name = str(raw.get("name") or "")
        if not name:
            raise bad_input("missing name in receiver")
        receiver = Receiver(name=name)
        for key, configs in raw.items():
            if not str(key).endswith("_configs"):
                if key not in {"name", "labels", "__line__"}:
                    raise bad_input(f"unknown field {str(key)!r} in receiver {name!r}")
                continue
            kind = str(key).removesuffix("_configs")
            make_target = _KINDS.get(kind)
            for number, one in enumerate(configs or []):
                ref = f"{name}/{kind}/{number}"
                _guard(one, check_receiver, kind, one or {}, self._global)
                if make_target is None:
                    receiver.unsupported.append(kind)
                    continue
                for target in _guard(one, make_target, self, ref, one or {}):
                    resolved = one.get("send_resolved") if isinstance(one, dict) else None
                    target.send_resolved = bool(_RESOLVED.get(kind, True) if resolved is None else resolved)
                    receiver.targets.append(target)
        return receiver

    def secret(self, raw: Mapping[str, Any], key: str, fallback: str = "") -> str:
        """A value, or what its `<key>_file` holds, or the global one."""
        for source, name in ((raw, key), (self._global, fallback)):
            if name and source.get(name):
                return str(source[name])
            if name and source.get(f"{name}_file"):
                path = self._base / str(source[f"{name}_file"])
                try:
                    return path.read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise bad_input(f"{name}_file cannot be read: {error.strerror}") from None
        return ""

    def email(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """One target an address."""
        options = settings_mail(self._settings)
        smarthost = str(raw.get("smarthost") or self._global.get("smtp_smarthost") or "")
        if smarthost:
            host, _, port = smarthost.rpartition(":")
            tls = raw.get("require_tls", self._global.get("smtp_require_tls", True))
            options |= {
                "server": host,
                "port": int(port),
                "security": "ssl" if port == "465" else ("starttls" if tls else "none"),
                "username": raw.get("auth_username") or self._global.get("smtp_auth_username") or "",
                "password": self.secret(raw, "auth_password", "smtp_auth_password"),
            }
        options["from"] = raw.get("from") or self._global.get("smtp_from") or options["from"]
        if not options["server"]:
            raise bad_input("no global SMTP smarthost set")
        if not raw.get("to"):
            raise bad_input("missing to address in email config")
        headers = {k.lower(): v for k, v in (raw.get("headers") or {}).items() if k != "__line__"}
        options["subject"] = str(headers.get("subject") or "")
        return [
            Target(ref=f"{ref}/{n}", kind="email", to=a, options={**options, "address": a})
            for n, a in enumerate(part.strip() for part in str(raw["to"]).split(",") if part.strip())
        ]

    def slack(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """An incoming webhook."""
        url = self.secret(raw, "api_url", "slack_api_url")
        if not url:
            raise bad_input("no global Slack API URL set either inline or in a file")
        keep = ("channel", "username", "title", "text", "icon_emoji")
        options = {"url": url} | {key: str(raw[key]) for key in keep if raw.get(key)}
        return [Target(ref=ref, kind="slack", to=str(raw.get("channel") or "Slack"), options=options)]

    def webhook(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """A URL that is posted Alertmanager's JSON."""
        url = self.secret(raw, "url")
        if urlsplit(url).scheme not in {"http", "https"}:
            raise bad_input("a webhook needs an http or https url")
        auth = raw.get("http_config") or {}
        options: dict[str, Any] = {"url": url, "max_alerts": int(raw.get("max_alerts") or 0)}
        if basic := auth.get("basic_auth"):
            options["basic"] = [str(basic.get("username") or ""), self.secret(basic, "password")]
        if bearer := (auth.get("authorization") or {}):
            options["authorization"] = f"{bearer.get('type', 'Bearer')} {self.secret(bearer, 'credentials')}"
        return [Target(ref=ref, kind="webhook", to=urlsplit(url).hostname or "webhook", options=options)]

    def apprise(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """Any service of apprise, by its URL."""
        url = self.secret(raw, "url")
        return [Target(ref=ref, kind="apprise", to=url.split(":", 1)[0], options={"url": url})]

    def telegram(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """Telegram by apprise."""
        token = self.secret(raw, "bot_token", "telegram_bot_token")
        return self.apprise(ref, {"url": f"tgram://{token}/{raw.get('chat_id', '')}"})

    def discord(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """Discord by apprise."""
        parts = urlsplit(self.secret(raw, "webhook_url")).path.strip("/").split("/")
        return self.apprise(ref, {"url": f"discord://{'/'.join(parts[-2:])}"})

    def pushover(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """Pushover by apprise."""
        user, token = self.secret(raw, "user_key"), self.secret(raw, "token")
        return self.apprise(ref, {"url": f"pover://{quote(user, safe='')}@{quote(token, safe='')}"})

    def opsgenie(self, ref: str, raw: dict[str, Any]) -> list[Target]:
        """Opsgenie by apprise."""
        key = self.secret(raw, "api_key", "opsgenie_api_key")
        if not key:
            raise bad_input("no global OpsGenie API Key set either inline or in a file")
        return self.apprise(ref, {"url": f"opsgenie://{quote(key, safe='')}"})


_KINDS: dict[str, Callable[[_Reader, str, dict[str, Any]], list[Target]]] = {
    "email": _Reader.email,
    "slack": _Reader.slack,
    "webhook": _Reader.webhook,
    "apprise": _Reader.apprise,
    "telegram": _Reader.telegram,
    "discord": _Reader.discord,
    "pushover": _Reader.pushover,
    "opsgenie": _Reader.opsgenie,
}
_RESOLVED = {"email": False, "slack": False}
_SECRETS = ("password", "_key", "token", "api_url", "credentials", "secret", "webhook_url")


def hide_secrets(text: str) -> str:
    """The configuration with secrets replaced, as `/api/v2/status` shows it."""
    raw = yaml.safe_load(text)

    def hide(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: hide(v, str(k)) for k, v in value.items()}
        if isinstance(value, list):
            return [hide(one, key) for one in value]
        secret = any(part in key for part in _SECRETS) or (key == "url" and isinstance(value, str))
        return "<secret>" if secret and value and not key.endswith("_file") else value

    return str(yaml.safe_dump(hide(raw), sort_keys=False, allow_unicode=True))
