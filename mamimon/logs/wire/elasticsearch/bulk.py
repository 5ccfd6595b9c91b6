"""`_bulk` and single documents: NDJSON actions to records, outcomes back by item."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.ingest import Refusal
from mamimon.logs.model import LogRecord, dataset_of
from mamimon.logs.screen import Screen
from mamimon.logs.store.day import Stored
from mamimon.logs.wire.elasticsearch.body import token
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal
from mamimon.logs.wire.elasticsearch.names import check_name, parse_names, write_index

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_ACTIONS = ("index", "create", "update", "delete")
_META = {
    "_index", "_id", "_type", "_source", "routing", "version", "version_type", "if_seq_no", "if_primary_term",
    "retry_on_conflict", "pipeline", "op_type", "require_alias", "require_data_stream", "dynamic_templates",
    "list_executed_pipelines",
}  # fmt: skip
_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_CREATED = ',"_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"_seq_no":'
_END = ',"_primary_term":1,"status":201}}'
_TARGETS = 100
_decode_action = msgspec.json.Decoder(dict[str, Any]).decode


class _Target(msgspec.Struct):
    """Where actions of one spelling go: most of a body's action lines are the same."""

    action: str
    index: str
    dataset: str
    plain: bool
    create: bool
    written: str
    """How the answer of a created document begins, up to its id."""


class _Item(msgspec.Struct):
    """One action on its way: either a record or already an error."""

    action: str
    index: str
    id: str
    record: LogRecord | None = None
    error: EsError | None = None
    target: _Target | None = None


class Bulk:
    """Reads one `_bulk` body and writes its answer."""

    def __init__(self, room: LogRoom, now: float, default_index: str, require_alias: bool = False) -> None:
        self._room = room
        self._now = now
        self._default = default_index
        self._require_alias = require_alias
        self.pipelines: frozenset[str] = frozenset({"_none"})
        """Ingest pipelines that an action may name."""
        self.delete: Callable[[str, str], Awaitable[dict[str, Any]]] | None = None
        """Deletes a document of an index by its id."""
        self._names: dict[str, tuple[str, str, bool, EsError | None]] = {}

    async def run(self, body: bytes) -> tuple[dict[str, Any], int]:
        """The answer and its status; a full queue answers 429 as a whole, nothing being stored."""
        items = self.read(body)
        parts: list[str] = []
        errors = False
        # A document is deleted where the body says so: after what stands before, before what follows.
        for deleting, group in groupby(items, key=lambda item: item.action == "delete"):
            if deleting:
                answers = [await self._deleted(item) for item in group]
                errors |= any("error" in one["delete"] for one in answers)
                parts += [msgspec.json.encode(one).decode() for one in answers]
            else:
                errors |= await self._store(list(group), parts)
        written = msgspec.Raw(f"[{','.join(parts)}]".encode())
        return {"errors": errors, "took": 0, "items": written}, 200

    async def _store(self, items: list[_Item], parts: list[str]) -> bool:
        """Append the items' records and their written answers; whether one of them is an error."""
        records = [item.record for item in items if item.record is not None]
        stored = iter(await self._room.ingest.append(records))
        errors = False
        for item in items:
            outcome = next(stored) if item.record is not None else None
            if outcome is not None and outcome.version == 1 and not item.id and item.target is not None:
                # What all but a few answers say, written at once; our own ids need no escaping.
                parts.append(f'{item.target.written}{outcome.id}"{_CREATED}{outcome.seq}{_END}')
                continue
            answer = self.answer(item, outcome)
            errors |= "error" in answer[item.action]
            parts.append(msgspec.json.encode(answer).decode())
        return errors

    async def _deleted(self, item: _Item) -> dict[str, Any]:
        if item.error is not None or self.delete is None:
            return self.answer(item, None)
        done = await self.delete(item.index, item.id)
        return {"delete": {**done, "_shards": _SHARDS, "status": 200 if done["result"] == "deleted" else 404}}

    def read(self, body: bytes) -> list[_Item]:
        """The actions of a body; a broken action line refuses the whole, as Elasticsearch does."""
        if not body.strip():
            raise EsError(400, "parse_exception", "request body is required")
        if not body.endswith(b"\n"):
            raise illegal("The bulk request must be terminated by a newline [\\n]")
        lines = body.split(b"\n")
        lines.pop()
        screen = Screen(body)
        targets: dict[bytes, _Target] = {}
        items: list[_Item] = []
        at = place = 0
        while at < len(lines):
            line = lines[at]
            at += 1
            place += len(line) + 1
            target = targets.get(line)
            if target is None and not line.strip():
                continue
            action, meta = self._action(line, at) if target is None else (target.action, {})
            if action == "delete":
                items.append(self._deletion(meta))
                continue
            if at >= len(lines):
                raise illegal("The bulk request must be terminated by a newline [\\n]")
            document = lines[at]
            at += 1
            trust = screen.trust(place, place + len(document))
            place += len(document) + 1
            if target is not None:
                items.append(self._document(target, "", document, trust))
            elif action == "update":
                items.append(self._refused(action, meta, "log lines cannot be updated"))
            else:
                items.append(item := self._item(action, meta, document, trust))
                if "_id" not in meta and item.target is not None and len(targets) < _TARGETS:
                    targets[line] = item.target
        if not items:
            raise EsError(400, "parse_exception", "request body is required")
        return items

    def _action(self, line: bytes, number: int) -> tuple[str, dict[str, Any]]:
        try:
            parsed = _decode_action(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not str(error).startswith("Expected `object`"):
                raise EsError(
                    400, "x_content_parse_exception", f"Unrecognized token: {str(error)[:100]}"
                ) from None
            raise illegal(
                f"Malformed action/metadata line [{number}], expected START_OBJECT but found [VALUE_STRING]"
            ) from None
        if len(parsed) != 1:
            found = "END_OBJECT" if not parsed else "FIELD_NAME"
            raise illegal(
                f"Malformed action/metadata line [{number}], expected "
                + ("FIELD_NAME" if not parsed else "END_OBJECT")
                + f" but found [{found}]"
            )
        action, meta = next(iter(parsed.items()))
        if action not in _ACTIONS:
            raise illegal(
                f"Malformed action/metadata line [{number}], "
                "expected field [create], [delete], [index] or [update]"
                f" but found [{action[:60]}]"
            )
        if not isinstance(meta, dict):
            raise illegal(
                f"Malformed action/metadata line [{number}], expected START_OBJECT but found [{token(meta)}]"
            )
        if unknown := set(meta) - _META:
            raise illegal(
                f"Action/metadata line [{number}] contains an unknown parameter [{min(unknown)[:60]}]"
            )
        return action, meta

    def _deletion(self, meta: dict[str, Any]) -> _Item:
        index, identity = str(meta.get("_index") or self._default), meta.get("_id")
        if not index or identity in {None, ""}:
            missing = "id" if index else "index"
            raise EsError(
                400, "action_request_validation_exception", f"Validation Failed: 1: {missing} is missing;"
            )
        name, _, _, error = self._dataset(index)
        return _Item("delete", name, str(identity), error=error)

    def _refused(self, action: str, meta: dict[str, Any], reason: str) -> _Item:
        index = str(meta.get("_index") or self._default)
        return _Item(action, index, str(meta.get("_id") or ""), error=illegal(reason))

    def _document(self, target: _Target, identity: str, document: bytes, trust: int) -> _Item:
        item = _Item(target.action, target.index, identity, target=target)
        try:
            item.record = self._room.ingest.record_of(
                document.rstrip(b"\r") if document.endswith(b"\r") else document,
                target.dataset,
                plain=target.plain,
                id=identity,
                create=target.create,
                trust=trust,
            )
        except Refusal as refusal:
            item.error = EsError(400, refusal.type, refusal.reason)
        return item

    def _item(self, action: str, meta: dict[str, Any], document: bytes, trust: int = 0) -> _Item:
        index = meta.get("_index") or self._default
        if not index or not isinstance(index, str):
            raise EsError(
                400, "action_request_validation_exception", "Validation Failed: 1: index is missing;"
            )
        identity = meta.get("_id")
        name, dataset, plain, error = self._dataset(index)
        item = _Item(action, name, "" if identity is None else str(identity))
        if identity == "":
            error = illegal("if _id is specified it must not be empty")
        elif identity is not None and len(item.id.encode()) > 512:
            error = illegal(f"id [{item.id[:40]}…] is too long, must be no longer than 512 bytes")
        if (self._require_alias or meta.get("require_alias")) and index not in self._room.aliases:
            error = EsError(
                404,
                "index_not_found_exception",
                f"no such index [{index}] and [require_alias] request flag is [true]"
                f" and [{index}] is not an alias",
                index=index,
            )
        if (pipeline := meta.get("pipeline")) is not None and pipeline not in self.pipelines:
            error = illegal(f"pipeline with id [{str(pipeline)[:80]}] does not exist")
        if error is not None:
            item.error = error
            return item
        create = action == "create" or meta.get("op_type") == "create"
        if create:
            action = "create"
        written = f'{{"{action}":{{"_index":{msgspec.json.encode(name).decode()},"_id":"'
        target = _Target(action, name, dataset, plain, create, written=written)
        return self._document(target, item.id, document, trust)

    def _dataset(self, index: str) -> tuple[str, str, bool, EsError | None]:
        """The index that is written to, its dataset, whether it is plain, and what is wrong with it."""
        known = self._names.get(index)
        if known is None:
            error: EsError | None = None
            name = index
            try:
                if index.startswith("<"):
                    name = parse_names(index, self._now, {}).take[0]
                name = write_index(name, self._room.aliases)
                check_name(name)
            except EsError as refused:
                error = refused
            known = self._names[index] = (name, *dataset_of(name), error)
        return known

    def answer(self, item: _Item, stored: Stored | None) -> dict[str, Any]:
        """The item of the answer for one action."""
        body: dict[str, Any] = {"_index": item.index, "_id": item.id or None}
        if stored is not None and stored.conflict:
            item.error = EsError(
                409,
                "version_conflict_engine_exception",
                f"[{item.id}]: version conflict, document already exists"
                f" (current version [{stored.version}])",
                index=item.index,
                shard="0",
            )
        if item.error is not None:
            cause = {"type": item.error.type, "reason": item.error.reason, **item.error.extra}
            return {item.action: {**body, "status": item.error.status, "error": cause}}
        assert stored is not None
        created = stored.version == 1
        return {
            item.action: {
                "_index": item.index,
                "_id": stored.id,
                "_version": stored.version,
                "result": "created" if created else "updated",
                "_shards": _SHARDS,
                "_seq_no": stored.seq,
                "_primary_term": 1,
                "status": 201 if created else 200,
            }
        }
