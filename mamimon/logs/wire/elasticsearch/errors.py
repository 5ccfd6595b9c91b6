"""Errors in Elasticsearch's own words."""

from __future__ import annotations

from typing import Any

from mamimon.problems import Kind, Problem


class EsError(Exception):
    """An answer that is an error: the status and Elasticsearch's name for it."""

    def __init__(self, status: int, type: str, reason: str, **extra: Any) -> None:
        super().__init__(reason)
        self.status = status
        self.type = type
        self.reason = reason
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The error object as Elasticsearch nests it."""
        cause = {"type": self.type, "reason": self.reason, **self.extra}
        return {"error": {"root_cause": [cause], **cause}, "status": self.status}


_TYPES = {
    Kind.BAD_INPUT: "parsing_exception",
    Kind.NOT_FOUND: "resource_not_found_exception",
    Kind.TOO_LARGE: "content_too_long_exception",
    Kind.UNSUPPORTED: "media_type_header_exception",
    Kind.TOO_MANY: "es_rejected_execution_exception",
    Kind.UNAVAILABLE: "cluster_block_exception",
    Kind.TIMEOUT: "timeout_exception",
}


def of_problem(problem: Problem) -> EsError:
    """Our own error in Elasticsearch's words."""
    kind = "query_shard_exception" if problem.detail.startswith("Failed to parse query") else None
    return EsError(
        problem.status, kind or _TYPES.get(problem.kind, "illegal_argument_exception"), problem.detail
    )


def illegal(reason: str) -> EsError:
    """An argument that is not allowed."""
    return EsError(400, "illegal_argument_exception", reason)


def parsing(reason: str) -> EsError:
    """A body that cannot be read."""
    return EsError(400, "parsing_exception", reason)


def unknown_index(name: str) -> EsError:
    """There is no such index."""
    return EsError(
        404,
        "index_not_found_exception",
        f"no such index [{name}]",
        **{"resource.type": "index_or_alias", "resource.id": name, "index_uuid": "_na_", "index": name},
    )


def no_handler(method: str, path: str) -> EsError:
    """A call that Elasticsearch has and a log store does not, or that nobody has."""
    return illegal(f"no handler found for uri [{path}] and method [{method}]")
