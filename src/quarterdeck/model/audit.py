"""The audit log: who asked for what change, and what came of it."""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change that was asked for through the API."""

    id: int
    time: float  #: seconds since the epoch
    actor: str  #: name of the API token
    role: str
    action: str  #: the operation, e.g. "deployModule"
    target: str  #: what it was done to
    result: str  #: "ok", or the error's code
    detail: str = ""
