"""What is uploaded for source maps: single files, and the zip bundles that sentry-cli makes.

A bundle is `SYSB`, a version and a zip with `manifest.json` (url, type and headers of each file). Its
zip is distrusted: number of files, size of each and of all are bounded while they are unpacked, and
the directory is measured before Python reads it whole.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal
from urllib.parse import urljoin, urlsplit

import msgspec

from mamimon.errors import sourcemap

Kind = Literal["source", "minified_source", "source_map"]
MAX_FILES = 10_000
MAX_FILE_BYTES = sourcemap.MAX_BYTES
MAX_UNPACKED_BYTES = 1 << 30
_MAX_DIRECTORY_BYTES = 4 << 20
_MAX_MANIFEST_BYTES = 8 << 20
_DEBUG_ID = re.compile(rb"[#@] debugId=([0-9a-fA-F-]{32,36})\s*$", re.MULTILINE)
_MAP_URL = re.compile(rb"[#@] sourceMappingURL=([^\s'\"]{1,1000})\s*$", re.MULTILINE)
_UNREADABLE = (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error)
_HEX = re.compile(r"[0-9a-f]{32}")


class Artifact(msgspec.Struct, kw_only=True):
    """One uploaded file; `map_url` is where a minified file's map is, `url` starts with `~/` or a scheme."""

    url: str
    kind: Kind
    body: bytes
    debug_id: str = ""
    map_url: str = ""


def plain_id(value: object) -> str:
    """A debug id as 32 hex digits, or an empty string for none."""
    text = value.replace("-", "").lower()[:32] if isinstance(value, str) else ""
    return text if _HEX.fullmatch(text) else ""


def artifact(url: str, body: bytes, *, kind: str = "", debug_id: object = "", map_url: str = "") -> Artifact:
    """A file with what it says of itself where the uploader did not; raises `ValueError` for a broken map."""
    if not 0 < len(url) <= 2000 or "\x00" in url:
        raise ValueError("a file needs a url of at most 2000 characters")
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"{url[:200]} is larger than {MAX_FILE_BYTES} bytes")
    is_map = kind == "source_map" or (not kind and url.endswith(".map"))
    if is_map:
        found = plain_id(debug_id) or plain_id(sourcemap.parse(body).debug_id)
        return Artifact(url=url, kind="source_map", body=body, debug_id=found)
    tail = body[-4096:]
    if not map_url and (named := _MAP_URL.findall(tail)):
        map_url = named[-1].decode("utf-8", "replace")
    named = _DEBUG_ID.findall(tail)
    return Artifact(
        url=url,
        kind="source" if kind == "source" else "minified_source",
        body=body,
        debug_id=plain_id(debug_id) or (plain_id(named[-1].decode()) if named else ""),
        map_url="" if map_url.startswith("data:") else joined(url, map_url),
    )


def joined(url: str, reference: str) -> str:
    """`reference` as seen from `url`, which may start with `~/`; empty for an empty one."""
    if not reference:
        return ""
    # urljoin knows only schemes that are relative, so the path is joined as http and put back.
    head = "~" if url.startswith("~/") else ""
    if head:
        return head + urlsplit(urljoin("http://x" + url[1:], reference)).path
    scheme, separator, rest = url.partition("://")
    if not separator:
        return urlsplit(urljoin("http://x/" + url, reference)).path.lstrip("/")
    made = urljoin("http://" + rest, reference)
    return scheme + "://" + made.removeprefix("http://") if "://" not in reference else made


def read_bundle(file: BinaryIO) -> tuple[dict[str, Any], Iterator[Artifact]]:
    """The manifest's attributes and the files of a bundle; raises `ValueError` for what is none."""
    _measure(file)
    try:
        archive = zipfile.ZipFile(file)
        # Python's bzip2 and LZMA readers cannot be bounded.
        if any(
            one.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for one in archive.infolist()
        ):
            raise ValueError("the bundle is packed otherwise than by deflate")
        with archive.open("manifest.json") as entry:
            text = entry.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            raise ValueError(f"the bundle's manifest is larger than {_MAX_MANIFEST_BYTES} bytes")
        manifest = msgspec.json.decode(text, type=dict[str, Any])
    except _UNREADABLE as error:
        raise ValueError(f"not an artifact bundle: {str(error)[:200]}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"the bundle's manifest is no JSON: {str(error)[:200]}") from None
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise ValueError("the bundle's manifest has no files")
    if len(files) > MAX_FILES:
        raise ValueError(f"the bundle holds more than {MAX_FILES} files")
    return manifest, _unpack(archive, files)


def _unpack(archive: zipfile.ZipFile, files: dict[str, Any]) -> Iterator[Artifact]:
    left = MAX_UNPACKED_BYTES
    for path, said in files.items():
        info = said if isinstance(said, dict) else {}
        headers = info.get("headers")
        known = {
            str(key).lower(): str(value)
            for key, value in (headers.items() if isinstance(headers, dict) else ())
        }
        try:
            with archive.open(path) as entry:
                body = entry.read(min(left, MAX_FILE_BYTES) + 1)
        except _UNREADABLE as error:
            raise ValueError(f"{path[:200]} of the bundle cannot be read: {str(error)[:200]}") from None
        left -= len(body)
        if left < 0:
            raise ValueError(f"the bundle is larger than {MAX_UNPACKED_BYTES} bytes unpacked")
        kind = str(info.get("type") or "")
        yield artifact(
            str(info.get("url") or f"~/{path}"),
            body,
            kind=kind if kind in {"source", "minified_source", "source_map"} else "",
            debug_id=known.get("debug-id"),
            map_url=known.get("sourcemap", ""),
        )


def _measure(file: BinaryIO) -> None:
    """Refuse a zip whose directory is larger than any honest one, before `zipfile` reads it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ValueError("not an artifact bundle: no zip")
    many, directory = struct.unpack_from("<HI", tail, at + 10)
    if many > MAX_FILES + 1 or directory > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"the bundle holds more than {MAX_FILES} files")
