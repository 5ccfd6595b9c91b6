"""The part of Sentry's web API that sentry-cli and the bundlers' plugins need: `/api/0/…`.

| path | what it does |
|---|---|
| `GET /api/0/` | says who asks (`sentry-cli info`) |
| `GET`, `POST /api/0/organizations/<org>/chunk-upload/` | the limits of uploads; takes parts of bundles |
| `POST …/artifactbundle/assemble/`, `…/releases/<version>/assemble/` | puts a bundle together |
| `POST`, `PUT`, `GET …/releases/…` | confirms: a release exists by being named; a finalized one is a deploy |
| `POST …/releases/<version>/deploys/` | marks the deploy |
| `POST …/releases/<version>/files/` | one file of a release (sentry-cli before 2.0 and scripts) |

Every organization's name is taken: there is one. A project is named by its number or its name.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, route
from litestar.datastructures import UploadFile
from litestar.params import FromPath

from mamimon.errors.artifact_store import CHUNK_BYTES, MAX_BUNDLE_BYTES
from mamimon.problems import Problem, bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

_MAX_CHUNKS = 12
_Sha1 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]


class Assemble(msgspec.Struct, kw_only=True):
    """A bundle to put together; `projects` by name or number."""

    checksum: _Sha1
    chunks: Annotated[list[_Sha1], msgspec.Meta(max_length=10_000)]
    projects: list[str | int] = []
    version: str | None = None
    dist: str | None = None


class NewRelease(msgspec.Struct, kw_only=True, rename="camel"):
    """A release as sentry-cli names it."""

    version: str = ""
    projects: list[str | int] = []
    date_released: str | None = None


class Deploy(msgspec.Struct, kw_only=True, rename="camel"):
    """A deploy of a release as sentry-cli reports it; times as ISO 8601."""

    environment: str = ""
    name: str | None = None
    date_started: str | None = None
    date_finished: str | None = None


def api0_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """Every path of the module."""

    @route("/api/0", http_method=["GET"], include_in_schema=False)
    async def info() -> Response[Any]:
        """Who asks; the gate has let them in."""
        return _json({"version": "0", "auth": {"scopes": ["project:releases", "org:read"]}, "user": None})

    @route("/api/0/{rest:path}", http_method=["GET", "POST", "PUT"], include_in_schema=False)
    async def anything(request: Request[Any, Any, Any], rest: FromPath[str]) -> Response[Any]:
        """Dispatch by the path's parts; a version may hold slashes."""
        parts = rest.strip("/").split("/")
        try:
            return await _answer(room, request, parts)
        except Problem as problem:
            headers = {"Retry-After": "60"} if problem.retry_after_s else {}
            return _json({"detail": problem.detail}, problem.status, headers)

    return [info, anything]


async def _answer(room: ErrorRoom, request: Request[Any, Any, Any], parts: list[str]) -> Response[Any]:
    method = request.method
    if len(parts) == 3 and parts[0] == "organizations" and parts[2] == "chunk-upload":
        return _limits(parts[1]) if method == "GET" else await _chunks(room, request)
    if method == "POST" and parts[0] == "organizations" and parts[-1] == "assemble" and len(parts) > 3:
        version = "/".join(parts[3:-1]) if parts[2] == "releases" else ""
        return await _assemble(room, request, version)
    if len(parts) >= 3 and parts[0] == "organizations" and parts[2] == "releases":
        return await _releases(room, request, parts[3:], [])
    if len(parts) >= 4 and parts[0] == "projects" and parts[3] == "releases":
        return await _releases(room, request, parts[4:], [parts[2]])
    raise not_found("mamimon does not have this part of Sentry's API")


def _limits(organization: str) -> Response[Any]:
    return _json(
        {
            # Relative to /api/0, so that it is right under whatever name the server is reached.
            "url": f"/organizations/{organization}/chunk-upload/",
            "chunkSize": CHUNK_BYTES,
            "chunksPerRequest": _MAX_CHUNKS,
            "maxFileSize": MAX_BUNDLE_BYTES,
            "maxRequestSize": _MAX_CHUNKS * CHUNK_BYTES,
            "concurrency": 1,
            "hashAlgorithm": "sha1",
            "compression": ["gzip"],
            "accept": ["release_files", "artifact_bundles", "artifact_bundles_v2"],
        }
    )


async def _chunks(room: ErrorRoom, request: Request[Any, Any, Any]) -> Response[Any]:
    form = await request.form()
    found = []
    for field in ("file", "file_gzip"):
        for one in form.getall(field, []):
            if not isinstance(one, UploadFile):
                raise bad_input("a chunk is a file whose name is its SHA-1")
            found.append((one.filename, await one.read(), field == "file_gzip"))
    if len(found) > _MAX_CHUNKS:
        raise bad_input(f"more than {_MAX_CHUNKS} chunks in a request")
    await room.uploads.add_chunks(found)
    return _json({})


async def _assemble(room: ErrorRoom, request: Request[Any, Any, Any], version: str) -> Response[Any]:
    asked = await _body(request, Assemble)
    projects = await _projects(room, asked.projects)
    done = await room.uploads.assemble(
        asked.checksum,
        asked.chunks,
        projects,
        (version or asked.version or "")[:250],
        (asked.dist or "")[:64],
    )
    return _json(done)


async def _releases(
    room: ErrorRoom, request: Request[Any, Any, Any], rest: list[str], projects: list[str]
) -> Response[Any]:
    if rest and rest[-1] == "files" and request.method == "POST":
        return await _release_file(room, request, "/".join(rest[:-1]), projects)
    if rest and rest[-1] in {"files", "deploys", "commits", "previous-with-commits"}:
        if request.method == "GET":
            return _json([])
        if rest[-1] == "deploys":
            deploy = await _body(request, Deploy)
            await _deployed(room, "/".join(rest[:-1]), deploy.date_finished, deploy.environment)
            return _json({"id": "1", **msgspec.to_builtins(deploy)}, 201)
        raise not_found("mamimon does not have this part of Sentry's API")
    if request.method == "GET" and not rest:
        return _json([])
    asked = NewRelease() if request.method == "GET" else await _body(request, NewRelease)
    version = "/".join(rest) or asked.version
    if not version or len(version) > 250:
        raise bad_input("a release needs a version of at most 250 characters")
    numbers = await _projects(room, [*projects, *asked.projects])
    known = {one.id: one.name for one in await room.projects()}
    if asked.date_released:
        await _deployed(room, version, asked.date_released, "")
    now = dt.datetime.fromtimestamp(room.core.clock.now(), dt.UTC).isoformat()
    body = {
        "version": version,
        "url": None,
        "dateCreated": now,
        "dateReleased": asked.date_released,
        "projects": [{"slug": known[one], "name": known[one]} for one in numbers],
    }
    return _json(body, 201 if request.method == "POST" else 200)


async def _deployed(room: ErrorRoom, version: str, finished: str | None, environment: str) -> None:
    if not version or len(version) > 200:
        raise bad_input("a release needs a version of at most 200 characters")
    at = room.core.clock.now()
    if finished:
        try:
            given = dt.datetime.fromisoformat(finished)
        except ValueError:
            raise bad_input(f"not an ISO 8601 time: {finished[:40]!r}") from None
        at = (given if given.tzinfo else given.replace(tzinfo=dt.UTC)).timestamp()
    await room.on_deploy(version, at, environment[:200])


async def _release_file(
    room: ErrorRoom, request: Request[Any, Any, Any], version: str, projects: list[str]
) -> Response[Any]:
    form = await request.form()
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise bad_input("the form has no file")
    name = str(form.get("name") or file.filename)
    dist = str(form.get("dist") or "")[:64]
    body = await file.read()
    for project in await _projects(room, projects):
        made = await room.uploads.add_file(project, version[:250], dist, name, body)
    return _json({"id": made.url, "name": made.url, "size": len(body), "sha1": None, "headers": {}}, 201)


async def _projects(room: ErrorRoom, named: list[str] | list[str | int]) -> list[int]:
    """The projects' numbers; the first one where none is named."""
    known = await room.projects()
    by_name = {one.name.lower(): one.id for one in known} | {str(one.id): one.id for one in known}
    found = []
    for name in named:
        number = by_name.get(str(name).lower())
        if number is None:
            raise not_found(f"there is no project {str(name)[:60]}; there are: " + ", ".join(sorted(by_name)))
        found.append(number)
    return found or [known[0].id]


async def _body(request: Request[Any, Any, Any], kind: Any) -> Any:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.DecodeError as error:
        raise bad_input(f"the body is not as it should be: {error}") from None


def _json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response[Any]:
    return Response(
        msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json"
    )
