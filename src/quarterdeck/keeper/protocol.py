"""The protocol of agent and keeper: frames over a Unix socket, each with a JSON header and a body of bytes.

    size u32 · size of the header u32 · header (JSON object with the key "t") · body            (big-endian)

    agent → keeper   hello · start · kill · ack · stop
    keeper → agent   hello · started · refused · output · lost · exit · forgotten

Both sides use this file. It owns the form of a frame. It never opens a socket and never interprets a header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from typing import Any

    Header = dict[str, Any]

#: the socket, in the keeper's folder
SOCKET = "keeper.sock"
#: what this version speaks; a keeper outlives its agent's upgrade, so an agent goes on speaking the older ones
VERSION = 1
#: larger than any frame that is meant: a peer that sends more is not one of ours
FRAME_LIMIT_BYTES = 64 * 1024 * 1024

_SIZES = struct.Struct("!II")


class NotAFrame(ValueError):
    """The peer sent bytes that are not a frame; what follows cannot be read either."""


def frame(header: Header, body: bytes = b"") -> bytes:
    """Return a frame."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((_SIZES.pack(len(head) + len(body) + 4, len(head)), head, body))


class Frames:
    """A decoder of frames from bytes that arrive in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Header, bytes]]:
        """Yield the frames that are complete now. Raise `NotAFrame` when the connection is of no use any more."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _SIZES.size:
                size, head = _SIZES.unpack_from(self._buffer, at)
                if size > FRAME_LIMIT_BYTES or head + 4 > size:
                    raise NotAFrame(f"a frame of {size} bytes with a header of {head}")
                if len(self._buffer) - at < size + 4:
                    return
                start = at + _SIZES.size
                at += size + 4
                yield _header(bytes(self._buffer[start : start + head])), bytes(self._buffer[start + head : at])
        finally:
            del self._buffer[:at]


def _header(text: bytes) -> Header:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter: nested too deep
        raise NotAFrame("a header that is not JSON") from error
    if not isinstance(header, dict) or not isinstance(header.get("t"), str):  # pyright: ignore[reportUnknownMemberType]
        raise NotAFrame("a header that does not say what it is")
    return header  # pyright: ignore[reportUnknownVariableType]
