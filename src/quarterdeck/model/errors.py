"""Every error a user can meet, as one tree. The docstring is the default message; `code` is stable and documented.

QuarterdeckError                internal            500  a fault of ours
├── BadInput                    bad_input           400
│   ├── BadConfig               bad_config          400
│   ├── BadManifest             bad_manifest        400
│   ├── BadProgram              bad_program         400  C that does not compile, an object without BTF
│   ├── BadTransform            bad_transform       400  WASM without the exports
│   ├── BadSetting              bad_setting         400
│   ├── BadQuery                bad_query           400
│   ├── BadFrame                bad_frame           400  foreign or truncated bytes on the link
│   └── NoSuchNodes             no_such_nodes       400  a selector that matches no node
├── Unauthenticated             unauthenticated     401
│   ├── TokenUsed               token_used          401
│   ├── TokenExpired            token_expired       401
│   └── Revoked                 revoked             401
├── Forbidden                   forbidden           403
├── NotFound                    not_found           404
├── Conflict                    conflict            409
│   ├── AlreadyExists           already_exists      409
│   ├── InUse                   in_use              409
│   ├── IllegalTransition       illegal_transition  409
│   └── DeployFailed            deploy_failed       409  a module that does not run everywhere it should
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
    """Something inside Quarterdeck went wrong; this is a fault of ours, please report it."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str = "", *, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        """`message`: what was expected and found; `hint`: what to do; `lines`: a tool's own words."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        self.lines = lines
        super().__init__(self.message)

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.hint) if part)


class BadInput(QuarterdeckError):
    """The request is not one that can be carried out."""

    code, http_status, grpc_status, exit_code = "bad_input", 400, "INVALID_ARGUMENT", 2


class BadConfig(BadInput):
    """The configuration holds a key or a value that is not known."""

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
    """A setting has a name or a value that its module does not know."""

    code = "bad_setting"


class BadQuery(BadInput):
    """The query cannot be run."""

    code = "bad_query"


class BadFrame(BadInput):
    """The bytes received are not a message of the link."""

    code = "bad_frame"


class NoSuchNodes(BadInput):
    """No node matches the selector."""

    code = "no_such_nodes"


class Unauthenticated(QuarterdeckError):
    """Who is asking could not be established."""

    code, http_status, grpc_status, exit_code = "unauthenticated", 401, "UNAUTHENTICATED", 3


class TokenUsed(Unauthenticated):
    """This join token was used before; a token joins one node only. Create another with `qd token create`."""

    code = "token_used"


class TokenExpired(Unauthenticated):
    """This token is no longer valid. Create another with `qd token create`."""

    code = "token_expired"


class Revoked(Unauthenticated):
    """This node's certificate was revoked (the node was removed or re-joined)."""

    code = "revoked"


class Forbidden(QuarterdeckError):
    """The role of this token does not allow that."""

    code, http_status, grpc_status, exit_code = "forbidden", 403, "PERMISSION_DENIED", 3


class NotFound(QuarterdeckError):
    """There is nothing by that name."""

    code, http_status, grpc_status, exit_code = "not_found", 404, "NOT_FOUND", 4


class Conflict(QuarterdeckError):
    """The present state does not allow that."""

    code, http_status, grpc_status, exit_code = "conflict", 409, "FAILED_PRECONDITION", 5


class AlreadyExists(Conflict):
    """There is already one by that name."""

    code, grpc_status = "already_exists", "ALREADY_EXISTS"


class InUse(Conflict):
    """It is still in use."""

    code = "in_use"


class IllegalTransition(Conflict):
    """The state machine has no such transition."""

    code = "illegal_transition"


class DeployFailed(Conflict):
    """The module does not run everywhere it should."""

    code, exit_code = "deploy_failed", 1


class TooLarge(QuarterdeckError):
    """More was sent or asked for than the limit allows."""

    code, http_status, grpc_status, exit_code = "too_large", 413, "RESOURCE_EXHAUSTED", 6


class TooMany(TooLarge):
    """More is open at one time than the limit allows."""

    code, http_status = "too_many", 429


class TimedOut(QuarterdeckError):
    """It did not finish within its time limit."""

    code, http_status, grpc_status, exit_code = "timed_out", 504, "DEADLINE_EXCEEDED", 7


class Unavailable(QuarterdeckError):
    """It cannot be reached now; trying again later may work."""

    code, http_status, grpc_status, exit_code = "unavailable", 503, "UNAVAILABLE", 69
    retry_after_s: float = 1.0  #: how long to wait before the next try; whoever raises may set it


class StorageFull(Unavailable):
    """The disk is full. Nothing acknowledged was lost; free space and it goes on by itself."""

    code, http_status = "storage_full", 507


class StorageCorrupt(Unavailable):
    """A store's file is damaged. Nothing is repaired or replaced without you."""

    code = "storage_corrupt"


class NotInstalled(Unavailable):
    """A part that this needs is not installed."""

    code, http_status, grpc_status = "not_installed", 501, "UNIMPLEMENTED"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as the API answers it: RFC 9457 problem details with our stable `code`."""

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


#: code → class; the one table from which HTTP, gRPC and exit codes are read.
BY_CODE: dict[str, type[QuarterdeckError]] = _tree(QuarterdeckError)


def to_problem(error: QuarterdeckError) -> Problem:
    """The problem document of an error; `type` is a relative reference into the error documentation."""
    return Problem(
        type=f"/docs/errors#{error.code}",
        title=(type(error).__doc__ or error.code).strip(),
        status=error.http_status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        lines=error.lines,
    )


def from_problem(problem: Problem) -> QuarterdeckError:
    """The error a problem document stands for; an unknown code (a newer server) becomes the root with its words."""
    kind = BY_CODE.get(problem.code, QuarterdeckError)
    return kind(problem.detail or problem.title, hint=problem.hint, lines=problem.lines)
