"""Errors in HTTP answers: the error's class as a code in a header, its message as the body."""

from __future__ import annotations

from quarterdeck.model.errors import BY_CODE, QuarterdeckError, Unavailable

CODE_HEADER = "qd-code"
OK = 200
#: the other side ended the stream in order
GONE = 410


def to_answer(error: QuarterdeckError) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an error."""
    return error.http_status, {CODE_HEADER: error.code}, str(error).encode()


def from_answer(status: int, headers: dict[str, str], body: bytes) -> QuarterdeckError:
    """Return the error of an answer. An answer without our code comes from a server between the agent and ours."""
    words = body.decode(errors="replace")
    kind = BY_CODE.get(headers.get(CODE_HEADER, ""))
    if kind is not None:
        return kind(words)
    return Unavailable(f"Expected an answer of the server, found HTTP status {status} from a proxy or another server.")
