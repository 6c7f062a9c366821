"""The audit log: the changes requested through the API, who requested them, and their results."""

from __future__ import annotations

from quarterdeck.model.struct import Struct


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change that was requested through the API."""

    id: int
    time: float  #: seconds since the epoch
    actor: str  #: name of the API token
    role: str
    action: str  #: the operation, e.g. "deployModule"
    target: str  #: the object of the operation
    result: str  #: "ok", or the error's code
    detail: str = ""
