"""How an error travels in an answer: its class as a code in a header, its words as the body."""

from __future__ import annotations

from quarterdeck.model.errors import BY_CODE, QuarterdeckError, Unavailable

CODE_HEADER = "qd-code"
OK = 200
#: the other side ended the stream orderly
GONE = 410


def to_answer(error: QuarterdeckError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error."""
    return error.http_status, {CODE_HEADER: error.code}, str(error).encode()


def from_answer(status: int, headers: dict[str, str], body: bytes) -> QuarterdeckError:
    """The error an answer stands for. One without a code of ours is from something between us and the server."""
    words = body.decode(errors="replace")
    kind = BY_CODE.get(headers.get(CODE_HEADER, ""))
    if kind is not None:
        return kind(words)
    return Unavailable(f"Expected an answer of the server, found HTTP status {status} of something on the way.")
