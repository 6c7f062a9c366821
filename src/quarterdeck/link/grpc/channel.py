"""Settings that both ends of the grpc wire share: method names, keepalive, and how an error is sent as a status."""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from quarterdeck.link.limits import MESSAGE_LIMIT_BYTES
from quarterdeck.model.errors import (
    BY_CODE,
    BadFrame,
    QuarterdeckError,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

SERVICE = "quarterdeck.Link"
JOIN = f"/{SERVICE}/Join"
CONTROL = f"/{SERVICE}/Control"
TELEMETRY = f"/{SERVICE}/Telemetry"

#: a silent peer is probed after this time and given up after two thirds of it more: a cut link is noticed in 25 s
KEEPALIVE_S = 15.0

Options = tuple[tuple[str, int | str], ...]


def common_options(keepalive_s: float) -> Options:
    """Return the options of both ends: message sizes, and pings on idle connections too."""
    patience_ms = int(keepalive_s * 1000 * 2 / 3)
    return (
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.keepalive_time_ms", int(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", patience_ms),
        ("grpc.http2.ping_timeout_ms", patience_ms),  # grpc 1.85 waits for this one; the default is a minute
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )


#: trailing metadata that carries the stable error code
CODE_KEY = "qd-code"

_BY_STATUS: dict[grpc.StatusCode, type[QuarterdeckError]] = {
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLarge,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.INVALID_ARGUMENT: BadFrame,
}


#: BoringSSL's message about a server whose certificate another CA issued
_FOREIGN_SERVER = ("CERTIFICATE_VERIFY_FAILED", "BAD_SIGNATURE")


def to_status(error: QuarterdeckError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return the status, message and trailing metadata of an error."""
    return grpc.StatusCode[error.grpc_status], str(error), ((CODE_KEY, error.code),)


def from_status(
    code: grpc.StatusCode, details: str | None, metadata: Iterable[tuple[str, str | bytes]] | None
) -> QuarterdeckError:
    """Return the error that a status stands for: by our code if the other side sent one, otherwise by grpc's status."""
    for key, value in metadata or ():
        if key == CODE_KEY and isinstance(value, str) and value in BY_CODE:
            return BY_CODE[value](details or "")
    reason = (details or "no details").rpartition("last error: ")[2].rstrip(".")
    if code is grpc.StatusCode.UNAVAILABLE:
        foreign = any(sign in reason for sign in _FOREIGN_SERVER)
        hint = "Its certificate does not come from the CA this node trusts: is it another server?" if foreign else ""
        return Unavailable(f"The connection failed: {reason}.", hint=hint)
    kind = _BY_STATUS.get(code, QuarterdeckError)
    return kind(f"The link ended with {code.name}: {reason}.")
