"""Which frames are the application's own, for clients that do not say.

By platform: where each ecosystem keeps what it did not write itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mamimon.errors.model import Frame

_FOREIGN_PATHS: dict[str, re.Pattern[str]] = {
    "python": re.compile(
        r"/(site|dist)-packages/|/lib/python\d|^<frozen |/importlib/|\.zip/|^<string>$"
        r"|[\\/]lib[\\/]site-packages|(?i:[\\/]python\d+[\\/]lib[\\/])"
    ),
    "javascript": re.compile(
        r"node_modules/|^node:|^internal/|^native$|^\[native code\]$|^<anonymous>$|"
        r"^(chrome|moz|safari(-web)?)-extension:|/webpack/(bootstrap|runtime)|^app:///\(webpack\)|"
        r"/(jquery|react|react-dom|vue|angular|lodash|zone|polyfills?|vendors?|framework)[.\-~][\w.\-~]*\.js|"
        r"^https?://(cdn\.jsdelivr\.net|unpkg\.com|cdnjs\.cloudflare\.com|esm\.sh|ajax\.googleapis\.com|"
        r"code\.jquery\.com|www\.googletagmanager\.com)/|/jquery(\.min)?\.js"
    ),
    "java": re.compile(r"(?!)"),
    "go": re.compile(r"/go/pkg/mod/|/usr/local/go/src/|/go/src/runtime/|/vendor/|^runtime/"),
    "ruby": re.compile(r"/gems/|/rubygems/|/lib/ruby/|^<internal:"),
    "php": re.compile(r"/vendor/|^\[internal\]$"),
    "csharp": re.compile(r"(?!)"),
    "rust": re.compile(r"/\.cargo/registry/|/rustc/|/rustlib/"),
    "elixir": re.compile(r"^deps/|/deps/"),
}
_FOREIGN_MODULES: dict[str, re.Pattern[str]] = {
    "java": re.compile(
        r"^(java|javax|jakarta|jdk|sun|com\.sun|kotlin|kotlinx|scala|groovy|android|androidx|dalvik|"
        r"org\.(springframework|apache|hibernate|eclipse|junit|jboss|aopalliance|postgresql|slf4j|jetbrains|"
        r"mariadb|mongodb|reactivestreams|quartz|jooq|yaml)|reactor|rx|feign|okhttp3|okio|retrofit2|clojure|"
        r"io\.(netty|sentry|undertow|vertx|grpc|micrometer|micronaut|quarkus|reactivex|lettuce|ktor)|oracle\.jdbc|"
        r"ch\.qos\.logback|com\.(zaxxer|fasterxml|android|mysql|google\.(common|gson|inject|protobuf)))\."
    ),
    "csharp": re.compile(
        r"^(System|Microsoft|Windows|Mono|Newtonsoft|Sentry|MS|Npgsql|MySql|MySqlConnector|Dapper|Polly|Serilog|"
        r"NLog|AutoMapper|MediatR|FluentValidation|Hangfire|Grpc|Google\.Protobuf|StackExchange|RabbitMQ|Autofac|"
        r"Xunit|NUnit)\."
    ),
    # The standard library's packages; a module path of one's own begins with a host.
    "go": re.compile(
        r"^(archive|bufio|bytes|compress|container|context|crypto|database|encoding|errors|fmt|go|hash|html|"
        r"internal|io|iter|log|maps|math|mime|net|os|reflect|regexp|runtime|slices|sort|strconv|strings|sync|"
        r"syscall|testing|text|time|unicode|golang\.org)(/|$)"
    ),
    "python": re.compile(r"^(sentry_sdk|importlib|runpy|asyncio|threading|concurrent)(\.|$)"),
    "rust": re.compile(r"^(std|core|alloc|tokio|futures|backtrace|sentry)(::|$)"),
    "ruby": re.compile(r"(?!)"),
    "php": re.compile(r"^(Symfony|Illuminate|Doctrine|Sentry)\\"),
}
_ALIASES = {"node": "javascript", "dotnet": "csharp", "kotlin": "java", "native": "rust"}
# The error clients' own frames: never the application's, whatever the client says.
_CLIENTS = re.compile(
    r"^sentry_(core|panic|backtrace|anyhow|sdk)\b|^sentry(::|\.)|^github\.com/getsentry/sentry-go"
    r"|[/\\](sentry-[\w.\-]+|sentry_sdk|@sentry[\w\-/\\]*|sentry-go[@\w.\-]*)[/\\]|^io\.sentry\.(?!samples)"
    r"|^Sentry[.\\]"
)


def is_client(frame: Frame) -> bool:
    """Whether `frame` belongs to the error client itself."""
    return _names_client(frame.module) or _names_client(frame.path) or _names_client(frame.function)


@lru_cache(maxsize=8192)
def _names_client(name: str) -> bool:
    return _CLIENTS.search(name) is not None


def own(frame: Frame, said: object, platform: str) -> bool:
    """Whether `frame` is the application's own, given what the client said (a bool, or nothing).

    The Rust client calls everything own that it does not know, so its yes is only taken where the
    place does not say otherwise.
    """
    if is_client(frame):
        return False
    if isinstance(said, bool) and not (said and platform in {"native", "rust"}):
        return said
    return is_in_app(frame, platform)


def is_in_app(frame: Frame, platform: str) -> bool:
    """Whether `frame` looks like the application's own code on `platform`."""
    platform = _ALIASES.get(platform, platform)
    paths = _FOREIGN_PATHS.get(platform)
    if paths is not None and (paths.search(frame.path) or paths.search(frame.file)):
        return False
    modules = _FOREIGN_MODULES.get(platform)
    if modules is not None:
        name = frame.module or (frame.function if platform == "rust" else "")
        if name and modules.search(name):
            return False
    return bool(frame.file or frame.module or frame.function)
