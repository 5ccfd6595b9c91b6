"""Checks of databases and caches, each in its own protocol and with a log-in."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding
from mamimon.health.probes.network import hang_up
from mamimon.health.probes.outcome import Failed, Look, Unchecked, in_thread
from mamimon.health.said import quoted, said


async def redis(check: CheckSettings, _: Look) -> Finding:
    """Redis and its kin: AUTH, SELECT, PING."""
    url = urlsplit(check.target)
    context = ssl.create_default_context() if url.scheme == "rediss" else None
    reader, writer = await asyncio.open_connection(url.hostname or "localhost", url.port or 6379, ssl=context)
    try:
        if url.password:
            user = [unquote(url.username)] if url.username else []
            await _redis_ask(reader, writer, "AUTH", *user, unquote(url.password))
        if (database := url.path.strip("/")) and database != "0":
            await _redis_ask(reader, writer, "SELECT", database)
        answer = await _redis_ask(reader, writer, "PING")
    finally:
        await hang_up(writer)
    if answer != "PONG":
        raise Failed(said("PING was answered %(answer)s", answer=repr(answer[:80])))
    return Finding("up", quoted("PONG"))


async def _redis_ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    writer.write(b"".join(parts))
    await writer.drain()
    line = (await reader.readline()).decode("utf-8", "replace").strip()
    if not line:
        raise Failed(said("the connection was closed after %(command)s", command=words[0]))
    if line.startswith("-"):
        raise Failed(quoted(line[1:]))
    return line[1:]


async def postgres(check: CheckSettings, _: Look) -> Finding:
    """PostgreSQL: a log-in and two questions."""
    try:
        import asyncpg
    except ImportError:
        raise Unchecked(said("needs a driver: pip install 'mamimon[%(extra)s]'", extra="postgres")) from None
    connection = await asyncpg.connect(check.target, timeout=None)
    try:
        version = await connection.fetchval("SHOW server_version")
        read_only = await connection.fetchval("SELECT pg_is_in_recovery()")
    finally:
        connection.terminate()
    words = quoted(f"PostgreSQL {version}")
    return Finding("up", words.also(said("in recovery")) if read_only else words)


async def mysql(check: CheckSettings, look: Look) -> Finding:
    """MySQL and MariaDB: a log-in and two questions."""
    version, read_only = await in_thread(check, look, _mysql_ask, check.target, check.timeout_s or 10.0)
    words = quoted(("" if "maria" in version.lower() else "MySQL ") + version)
    return Finding("up", words.also(said("read-only")) if read_only else words)


def _mysql_ask(target: str, timeout_s: float) -> tuple[str, bool]:
    try:
        import pymysql
    except ImportError:
        raise Unchecked(said("needs a driver: pip install 'mamimon[%(extra)s]'", extra="mysql")) from None
    url = urlsplit(target)
    options = parse_qs(url.query)
    secured = ssl.create_default_context() if options.get("tls", ["0"])[-1] not in {"", "0"} else None
    try:
        connection = pymysql.connect(
            host=url.hostname or "localhost",
            port=url.port or 3306,
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            database=url.path.strip("/") or None,
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            write_timeout=timeout_s,
            ssl=secured,
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT version(), @@global.read_only")
            row = cursor.fetchone()
    except (pymysql.MySQLError, RuntimeError) as error:
        # PyMySQL's errors are (number, text); a RuntimeError asks for a package that a log-in needs.
        raise Failed(quoted(str(error.args[-1] if error.args else error)[:300])) from None
    assert row is not None
    return str(row[0]), bool(row[1])


async def sqlite(check: CheckSettings, look: Look) -> Finding:
    """A file that SQLite can read."""
    path = Path(check.target.removeprefix("sqlite:///"))
    return Finding("up", said("%(count)s tables", count=await in_thread(check, look, _sqlite_tables, path)))


def _sqlite_tables(path: Path) -> int:
    if not path.is_file():
        raise Failed(said("there is no such file"))
    with contextlib.closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
    ) as raw:
        return int(raw.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])
