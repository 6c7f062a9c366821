"""All errors that a user can receive, as one tree. The docstring is the default message; `code` is stable.

QuarterdeckError                internal            500  an internal error
├── BadInput                    bad_input           400
│   ├── BadConfig               bad_config          400
│   ├── BadManifest             bad_manifest        400
│   ├── BadProgram              bad_program         400  C that fails to compile, an object without BTF
│   ├── BadTransform            bad_transform       400  WASM without the exports
│   ├── BadSetting              bad_setting         400
│   ├── BadQuery                bad_query           400
│   ├── BadFrame                bad_frame           400  foreign or truncated bytes on the link
│   └── NoSuchNodes             no_such_nodes       400  a selector that matches no node
├── Unauthenticated             unauthenticated     401
│   ├── TokenUsed               token_used          401
│   ├── TokenExpired            token_expired       401
│   ├── Revoked                 revoked             401
│   └── UnknownNode             unknown_node        401  a node that this server's state has no record of
├── Forbidden                   forbidden           403
│   ├── ForeignHost             foreign_host        421  a request for a host that is not this server
│   └── ForeignOrigin           foreign_origin      403  a request that a page of another site sent
├── NotFound                    not_found           404
├── Conflict                    conflict            409
│   ├── AlreadyExists           already_exists      409
│   ├── InUse                   in_use              409
│   ├── IllegalTransition       illegal_transition  409
│   └── DeployFailed            deploy_failed       409  what was deployed does not run everywhere
├── TooLarge                    too_large           413
│   └── TooMany                 too_many            429
├── TimedOut                    timed_out           504
└── Unavailable                 unavailable         503
    ├── StorageFull             storage_full        507
    ├── StorageCorrupt          storage_corrupt     503
    └── NotInstalled            not_installed       501  an extra or a system library is missing
"""

from __future__ import annotations

from typing import ClassVar

from quarterdeck.model.struct import Struct


class QuarterdeckError(Exception):
    """An internal error of Quarterdeck; please report it."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str = "", *, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        """Set `message` (what was expected and found), `hint` (what to do) and `lines` (the output of a tool)."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        self.lines = lines
        super().__init__(self.message)

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.hint) if part)


class BadInput(QuarterdeckError):
    """The request is not valid."""

    code, http_status, grpc_status, exit_code = "bad_input", 400, "INVALID_ARGUMENT", 2


class BadConfig(BadInput):
    """The configuration contains an unknown key or an invalid value."""

    code = "bad_config"


class BadManifest(BadInput):
    """The module's manifest is not valid."""

    code = "bad_manifest"


class BadProgram(BadInput):
    """The module's eBPF program cannot be used."""

    code = "bad_program"


class BadTransform(BadInput):
    """The module's WASM transform cannot be used."""

    code = "bad_transform"


class BadSetting(BadInput):
    """The module has no setting of this name, or the value is not valid for it."""

    code = "bad_setting"


class BadQuery(BadInput):
    """The query cannot be run."""

    code = "bad_query"


class BadFrame(BadInput):
    """The bytes received are not a message of the link."""

    code = "bad_frame"


class NoSuchNodes(BadInput):
    """No node matches the selector."""

    code, exit_code = "no_such_nodes", 4


class Unauthenticated(QuarterdeckError):
    """The request could not be authenticated."""

    code, http_status, grpc_status, exit_code = "unauthenticated", 401, "UNAUTHENTICATED", 3


class TokenUsed(Unauthenticated):
    """This join token was already used; a token joins one node only. Create another with `qd token create`."""

    code = "token_used"


class TokenExpired(Unauthenticated):
    """This token is no longer valid. Create another with `qd token create`."""

    code = "token_expired"


class Revoked(Unauthenticated):
    """This node's certificate was revoked (the node was removed or re-joined)."""

    code, exit_code = "revoked", 77


class UnknownNode(Unauthenticated):
    """The server's state has no record of this node: neither that it joined nor that it was removed."""

    code = "unknown_node"


class Forbidden(QuarterdeckError):
    """The role of this token does not allow this operation."""

    code, http_status, grpc_status, exit_code = "forbidden", 403, "PERMISSION_DENIED", 3


class ForeignHost(Forbidden):
    """The request is for a host that is not this server."""

    code, http_status = "foreign_host", 421


class ForeignOrigin(Forbidden):
    """A page that does not belong to this server sent the request."""

    code = "foreign_origin"


class NotFound(QuarterdeckError):
    """No object of this name exists."""

    code, http_status, grpc_status, exit_code = "not_found", 404, "NOT_FOUND", 4


class Conflict(QuarterdeckError):
    """The current state does not allow this operation."""

    code, http_status, grpc_status, exit_code = "conflict", 409, "FAILED_PRECONDITION", 5


class AlreadyExists(Conflict):
    """An object of this name already exists."""

    code, grpc_status = "already_exists", "ALREADY_EXISTS"


class InUse(Conflict):
    """The object is still in use."""

    code = "in_use"


class IllegalTransition(Conflict):
    """The object cannot change from its current state to the requested one."""

    code = "illegal_transition"


class DeployFailed(Conflict):
    """A module or service does not run on every node where it should."""

    code, exit_code = "deploy_failed", 1


class TooLarge(QuarterdeckError):
    """The request or its answer exceeds a size limit."""

    code, http_status, grpc_status, exit_code = "too_large", 413, "RESOURCE_EXHAUSTED", 6


class TooMany(TooLarge):
    """The limit of operations that are open at the same time is reached."""

    code, http_status = "too_many", 429


class TimedOut(QuarterdeckError):
    """The operation did not finish within its time limit."""

    code, http_status, grpc_status, exit_code = "timed_out", 504, "DEADLINE_EXCEEDED", 7


class Unavailable(QuarterdeckError):
    """The service is currently unavailable; try again later."""

    code, http_status, grpc_status, exit_code = "unavailable", 503, "UNAVAILABLE", 69
    retry_after_s: float = 1.0  #: how long to wait before the next attempt; an instance may set its own


class StorageFull(Unavailable):
    """The disk is full. No acknowledged data was lost; work continues automatically once space is free."""

    code, http_status = "storage_full", 507


class StorageCorrupt(Unavailable):
    """A file of a store is damaged. Quarterdeck does not repair or replace it automatically."""

    code = "storage_corrupt"


class NotInstalled(Unavailable):
    """A required component is not installed."""

    code, http_status, grpc_status = "not_installed", 501, "UNIMPLEMENTED"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error in an answer of the API: RFC 9457 problem details with the stable `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    hint: str = ""
    lines: tuple[str, ...] = ()


def _tree(root: type[QuarterdeckError]) -> dict[str, type[QuarterdeckError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


#: code → class; the only table from which HTTP, gRPC and exit codes are read
BY_CODE: dict[str, type[QuarterdeckError]] = _tree(QuarterdeckError)


#: path of the server's page about errors
ERRORS_PATH = "/docs/errors"


def to_problem(error: QuarterdeckError) -> Problem:
    """Return the problem document of an error; `type` is a relative reference to the server's page about it."""
    return Problem(
        type=f"{ERRORS_PATH}#{error.code}",
        title=(type(error).__doc__ or error.code).strip(),
        status=error.http_status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        lines=error.lines,
    )


def from_problem(problem: Problem) -> QuarterdeckError:
    """Return the error of a problem document. An unknown code (a newer server) becomes a `QuarterdeckError`."""
    kind = BY_CODE.get(problem.code, QuarterdeckError)
    return kind(problem.detail or problem.title, hint=problem.hint, lines=problem.lines)
