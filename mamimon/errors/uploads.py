"""Takes uploads apart: single files, and bundles that come in parts and are put together again."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import msgspec

from mamimon.errors.artifact_store import CHUNK_BYTES, MAX_BUNDLE_BYTES, ArtifactStore
from mamimon.errors.bundle import Artifact, artifact, read_bundle
from mamimon.problems import bad_input, too_large, unavailable
from mamimon.storage import Core

_SHA1 = re.compile(r"[0-9a-f]{40}")
_BATCH_BYTES = 16 << 20


class Assembly(msgspec.Struct, kw_only=True, rename="camel"):
    """What became of a bundle, in Sentry's words."""

    state: str
    missing_chunks: list[str] = []
    detail: str | None = None


class Uploads:
    """The way in for source maps; one bundle at a time is put together."""

    def __init__(self, core: Core, store: ArtifactStore) -> None:
        self._core = core
        self._store = store
        self._folder = core.data_dir / "errors"
        self._turn = asyncio.Lock()

    def check_room(self) -> None:
        """Raise `UNAVAILABLE` where the disk takes no more."""
        if not self._core.writable():
            raise unavailable("the disk is full: uploads are not taken in", retry_after_s=60)

    async def add_file(self, project: int, release: str, dist: str, url: str, body: bytes) -> Artifact:
        """Keep one file; raises `BAD_INPUT` for one that is not what its name says."""
        self.check_room()
        try:
            made = await asyncio.to_thread(artifact, url, body)
        except ValueError as error:
            raise bad_input(str(error)) from None
        if not release and not made.debug_id:
            raise bad_input(f"{url[:200]} has no debug id", "give a release, or put debug ids into the build")
        await self._store.add(project, release, dist, [made])
        return made

    async def add_chunks(self, chunks: Sequence[tuple[str, bytes, bool]]) -> None:
        """Keep parts of bundles as (SHA-1, bytes, whether gzipped); a wrong sum or size is refused."""
        self.check_room()
        await self._store.add_chunks(await asyncio.to_thread(_checked, chunks))

    async def assemble(
        self, checksum: str, chunks: Sequence[str], projects: Sequence[int], release: str, dist: str
    ) -> Assembly:
        """Put a bundle together and take it in, or say which parts are missing."""
        self.check_room()
        if not _SHA1.fullmatch(checksum) or not all(_SHA1.fullmatch(one) for one in chunks):
            raise bad_input("a checksum is 40 hex digits")
        if len(chunks) * CHUNK_BYTES > MAX_BUNDLE_BYTES:
            raise too_large(f"a bundle has at most {MAX_BUNDLE_BYTES} bytes")
        places = [(project, release, dist) for project in projects]
        async with self._turn:
            if await self._store.has_bundle(checksum, places):
                return Assembly(state="ok")
            missing = await self._store.missing(chunks)
            if missing or not chunks:
                return Assembly(state="not_found", missing_chunks=missing)
            try:
                await self._take_in(checksum, chunks, projects, release, dist)
            except ValueError as error:
                return Assembly(state="error", detail=str(error))
            await self._store.finish(checksum, places, chunks)
        return Assembly(state="ok")

    async def _take_in(
        self, checksum: str, chunks: Sequence[str], projects: Sequence[int], release: str, dist: str
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            total = hashlib.sha1(usedforsecurity=False)
            for one in chunks:
                part = await self._store.chunk(one)
                if part is None:
                    raise ValueError("a part of the bundle went away")
                total.update(part)
                await asyncio.to_thread(file.write, part)
            if total.hexdigest() != checksum:
                raise ValueError("the bundle's checksum is not that of its parts")
            manifest, files = await asyncio.to_thread(read_bundle, cast(BinaryIO, file))
            release = release or str(manifest.get("release") or "")[:250]
            dist = dist or str(manifest.get("dist") or "")[:64]
            while batch := await asyncio.to_thread(_next_batch, files):
                for project in projects:
                    await self._store.add(project, release, dist, batch)


def _next_batch(files: Iterator[Artifact]) -> list[Artifact]:
    batch: list[Artifact] = []
    size = 0
    for one in files:
        batch.append(one)
        size += len(one.body)
        if size >= _BATCH_BYTES:
            break
    return batch


def _checked(chunks: Sequence[tuple[str, bytes, bool]]) -> list[tuple[str, bytes]]:
    made = []
    for sha1, sent, gzipped in chunks:
        body = sent
        if gzipped:
            try:
                with gzip.GzipFile(fileobj=io.BytesIO(sent)) as file:
                    body = file.read(CHUNK_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise bad_input(f"a chunk is not valid gzip: {str(error)[:100]}") from None
        if len(body) > CHUNK_BYTES:
            raise too_large(f"a chunk has at most {CHUNK_BYTES} bytes")
        if hashlib.sha1(body, usedforsecurity=False).hexdigest() != sha1:
            raise bad_input(f"chunk {sha1[:40]} has another checksum")
        made.append((sha1, body))
    return made
