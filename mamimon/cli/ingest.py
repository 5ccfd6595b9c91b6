"""`mamimon logs ingest`: log files and standard input become lines of a running server."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from mamimon.cli.ask import server_options, server_token, server_url
from mamimon.cli.recognise.formats import FORMATS, Reader, Record
from mamimon.cli.recognise.join import Joiner, links
from mamimon.cli.ship import ShipError, Shipper
from mamimon.cli.sources import Followed, opened, piped_lines, text_of, whole_lines
from mamimon.client.plain import dump, plain
from mamimon.logs.dates import zone
from mamimon.logs.wire.document import RESERVED, timestamp
from mamimon.problems import Problem

_POLL_S = 0.2
_IDLE_S = 0.5
_WAIT_S = 1.0
_SHOWN_REASONS = 5


class Options(msgspec.Struct):
    """What holds for every source."""

    form: str
    tz: dt.tzinfo | None
    service: str
    printed: bool


class Stream:
    """The lines of one source on their way to documents."""

    def __init__(self, options: Options, name: str, reference: Callable[[], float] | None = None) -> None:
        self._options = options
        self._name = name
        self._joiner = Joiner(Reader(options.form, options.tz, reference))
        self._carried: float | None = None
        self._reference = reference
        self.lines = 0
        self.records = 0

    def feed(self, line: bytes) -> list[bytes]:
        """The documents that this line completes."""
        text = text_of(line).removeprefix("\ufeff") if not self.lines else text_of(line)
        self.lines += 1
        return [self._document(record) for record in self._joiner.feed(text)]

    def flush(self) -> list[bytes]:
        """The document that is held back."""
        return [self._document(record) for record in self._joiner.flush()]

    def _document(self, record: Record) -> bytes:
        self.records += 1
        # A line without a time is as old as the one before it; before the first, as its file.
        if record.time is not None:
            self._carried = record.time
        when = self._carried if self._carried is not None else self._reference and self._reference()
        return _encoded(document_of(record, when or None, self._name, self._options.service))


def document_of(record: Record, when: float | None, path: str, service: str) -> dict[str, Any]:
    """A record as it is stored."""
    out: dict[str, Any] = {}
    if when is not None:
        out["@timestamp"] = timestamp(round(when * 1_000_000) * 1000)
    if record.level:
        out["level"] = record.level
    if record.logger:
        out["logger"] = record.logger
    found = links(record) if record.trace else []
    message = record.message
    if record.kind == "trace" and found:
        message = f"{found[-1].kind}: {found[-1].message}" if found[-1].message else found[-1].kind
    elif record.more and not found:
        message = "\n".join([message, *record.more])
    if message != record.text or record.kind != "json":
        out["message"] = message
    if found:
        last = found[-1]
        kind = f"{last.module}.{last.kind}" if last.module not in {"", "builtins"} else last.kind
        first = [record.text] if record.kind == "trace" else []
        trace = "\n".join([*first, *record.more])
        out["exception"] = {"type": kind, "message": last.message, "stacktrace": trace}
        if out.get("level") not in {"ERROR", "CRITICAL"}:
            out["level"] = "ERROR"
    if service and "service" not in record.fields:
        out["service"] = service
    if path:
        out["log.file.path"] = path
    for name, value in record.fields.items():
        taken = name == "@timestamp" or (name in out and name in RESERVED | {"exception"})
        out["field_" + name.lstrip("@") if taken else name] = value
    return out


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        # Lone surrogates and endless numbers, which Python's json reads.
        return dump(plain(document))


@click.command()
@click.argument("files", nargs=-1)
@click.option("--format", "form", type=click.Choice(FORMATS), default="auto", help="What the lines are.")
@click.option("--dataset", default="", help="Dataset of the lines (default: the server's).")
@click.option("--service", default="", help="Service of lines that name none.")
@click.option("--time-zone", default="", help="Zone of times without one (default: this machine's).")
@click.option("--follow", is_flag=True, help="Go on reading what is appended, over rotation.")
@click.option("--from-end", is_flag=True, help="With --follow: only what is appended from now on.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --follow: remember here what is stored.",
)
@click.option(
    "--patience",
    default=60.0,
    show_default=True,
    help="Seconds to try again for where the server is away.",
)
@click.option("--print", "printed", is_flag=True, help="Print the documents instead of sending them.")
@server_options
def ingest(
    files: tuple[str, ...],
    form: str,
    dataset: str,
    service: str,
    time_zone: str,
    follow: bool,
    from_end: bool,
    state: Path | None,
    patience: float,
    printed: bool,
    url: str | None,
    token: str | None,
    data_dir: Path | None,
) -> None:
    """Send the lines of FILES (- is standard input) to a running server.

    JSON, logfmt, access logs, syslog and plain lines with a time are told apart line by line; stack
    traces are kept together. Files may be compressed (gzip, zstd). Exits with 1 where a line was
    refused or the server could not be reached.
    """
    if not files and sys.stdin.isatty():
        raise click.UsageError("name a file, or - for standard input")
    files = files or ("-",)
    if (from_end or state) and not follow:
        raise click.UsageError("--from-end and --state go with --follow")
    if follow and "-" in files:
        raise click.UsageError("standard input is followed by itself, without --follow")
    try:
        tz = zone(time_zone) if time_zone else None
    except Problem as problem:
        raise click.UsageError(problem.detail) from None
    stop = _stopping(follow)
    shipper = Shipper(
        server_url(url, data_dir), server_token(url, token, data_dir), dataset,
        None if follow else patience, again=lambda: not stop(),
    )  # fmt: skip
    run = _Run(Options(form, tz, service, printed), shipper, stop)
    code = 0
    try:
        if follow:
            run.follow([Path(name) for name in files], from_end, state)
        else:
            for name in files:
                run.read(name)
        run.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        raise  # who reads what --print prints has enough
    except (ShipError, OSError, EOFError) as error:
        click.echo(f"mamimon: {error}", err=True)
        code = 1
    finally:
        run.close()
    run.summary(len(files))
    sys.exit(code or (1 if shipper.refused else 0))


def _stopping(follow: bool) -> Callable[[], bool]:
    asked: list[int] = []
    if follow:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, _: asked.append(signum))
    return lambda: bool(asked)


class _Run:
    """One run of the command."""

    def __init__(self, options: Options, shipper: Shipper, stop: Callable[[], bool]) -> None:
        self._options = options
        self._shipper = shipper
        self._stop = stop
        self._streams: list[Stream] = []
        self._shown = sys.stderr.isatty()
        self._shown_at = 0.0
        self._began = time.monotonic()

    def read(self, name: str) -> None:
        """A whole file, or standard input to its end."""
        if name == "-":
            self._take(piped_lines(0, _IDLE_S), self._stream("", None))
            return
        path = Path(name)
        written = path.stat().st_mtime
        stream = self._stream(str(path), lambda: written)
        with opened(path) as file:
            self._take(whole_lines(file), stream)

    def _stream(self, name: str, reference: Callable[[], float] | None) -> Stream:
        stream = Stream(self._options, name, reference)
        self._streams.append(stream)
        return stream

    def _take(self, source: Iterator[list[bytes] | None] | Iterator[list[bytes]], stream: Stream) -> None:
        for lines in source:
            for line in lines or ():
                self._send(stream.feed(line))
            if lines is None:
                self._send(stream.flush())
            if lines is None or self._shipper.age_s > _WAIT_S:
                self._shipper.flush()
            self._progress()
        self._send(stream.flush())

    def _send(self, documents: list[bytes], source: Any = None, place: Any = None) -> None:
        for document in documents:
            if self._options.printed:
                click.echo(document)
            else:
                self._shipper.add(document, source, place)

    def follow(self, paths: list[Path], from_end: bool, state: Path | None) -> None:
        """Read what is there and what is appended, until a signal."""
        known = _read_state(state)
        followed = []
        for path in paths:
            inode, offset = known.get(str(path.resolve()), (0, 0))
            followed.append((Followed(path, inode, offset, from_end=from_end), self._stream(str(path), None)))
        if state is not None:
            self._shipper.acknowledged = lambda places: _write_state(state, known, places)
        last = time.monotonic()
        while not self._stop():
            moved = False
            for file, stream in followed:
                moved |= self._follow_one(file, stream)
            now = time.monotonic()
            last = now if moved else last
            if not moved:
                if now - last > _IDLE_S:
                    for file, stream in followed:
                        self._send(stream.flush(), str(file.path.resolve()), file.place)
                    self._shipper.flush()
                time.sleep(_POLL_S)
            elif self._shipper.age_s > _WAIT_S:
                self._shipper.flush()
            self._progress()
        for file, stream in followed:
            self._send(stream.flush(), str(file.path.resolve()), file.place)
            file.close()

    def _follow_one(self, file: Followed, stream: Stream) -> bool:
        name = str(file.path.resolve())
        before = file.place
        lines = file.lines()
        inode, at = file.place if before[0] == 0 else before
        if before[0] == 0:
            at -= sum(len(line) + 1 for line in lines)
        for line in lines:
            self._send(stream.feed(line), name, (inode, at))
            at += len(line) + 1
        if file.turned:
            # The last line of the old file must not join the first of the new one.
            file.turned = False
            self._send(stream.flush(), name, file.place)
            return True
        return bool(lines)

    def flush(self) -> None:
        """Send what waits."""
        self._shipper.flush()

    def close(self) -> None:
        """Close the connection."""
        self._shipper.close()

    def _progress(self) -> None:
        now = time.monotonic()
        if self._shown and now - self._shown_at > 0.5:
            self._shown_at = now
            click.echo(f"\r{sum(stream.lines for stream in self._streams):,} lines", nl=False, err=True)

    def summary(self, count: int) -> None:
        """Say what became of the lines."""
        if self._shown:
            click.echo("\r", nl=False, err=True)
        lines = sum(stream.lines for stream in self._streams)
        records = sum(stream.records for stream in self._streams)
        sources = f"{count} file{'s' * (count != 1)}"
        took = time.monotonic() - self._began
        told = f", {self._shipper.taken:,} stored, {self._shipper.refused:,} refused"
        told = "" if self._options.printed else told
        click.echo(f"{lines:,} lines of {sources} are {records:,} records{told} ({took:.1f} s)", err=True)
        for reason, n in self._shipper.reasons.most_common(_SHOWN_REASONS):
            click.echo(f"  refused {n:,}: {reason}", err=True)


def _read_state(path: Path | None) -> dict[str, tuple[int, int]]:
    if path is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {str(name): (int(inode), int(offset)) for name, (inode, offset) in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise click.ClickException(f"{path} is no state of mamimon logs ingest") from None


def _write_state(path: Path, known: dict[str, tuple[int, int]], places: dict[str, tuple[int, int]]) -> None:
    known.update(places)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(known))
    os.replace(fresh, path)  # noqa: PTH105 - the same as Path.replace, atomic
