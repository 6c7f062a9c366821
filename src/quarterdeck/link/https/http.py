"""The HTTP/1.1 that the https wire speaks: a strict subset, the same for requests and answers.

A head of at most `HEAD_LIMIT_BYTES`, then a body of exactly Content-Length bytes. No chunks, no continuation lines, no
upgrades: anything else is a `BadFrame`, so that two readers can never disagree on where a message ends.
It does not depend on paths, sessions or errors of the link.
"""

from __future__ import annotations

import asyncio
import re
import struct

from quarterdeck.link.limits import MESSAGE_LIMIT_BYTES
from quarterdeck.model.errors import BadFrame, TooLarge, Unavailable
from quarterdeck.model.struct import Struct

HEAD_LIMIT_BYTES = 8192
BODY_LIMIT_BYTES = MESSAGE_LIMIT_BYTES + 1024
HEAD_TIMEOUT_S = 10.0
#: a body may take this long, and one second more for each 64 KiB
BODY_TIMEOUT_S = 20.0
_SLOWEST_BYTES_PER_S = 65_536

_REQUEST = re.compile(r"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.1")
_ANSWER = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\x20-\x7e]*)?")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,12}")
_FRAME_LENGTH = struct.Struct("!I")


class Head(Struct, frozen=True, kw_only=True):
    """The first line and the headers of a message; names in lower case."""

    start: str
    headers: dict[str, str]

    @property
    def length(self) -> int:
        """Return the size of the body in bytes; raise `BadFrame` when it is not stated, `TooLarge` over the limit."""
        if "transfer-encoding" in self.headers:
            raise BadFrame("Expected a Content-Length, found a Transfer-Encoding.")
        text = self.headers.get("content-length", "0")
        if not _LENGTH.fullmatch(text):
            raise BadFrame(f"Expected a Content-Length, found '{text[:32]}'.")
        if int(text) > BODY_LIMIT_BYTES:
            raise TooLarge(f"A body of {text} bytes is over the limit of {BODY_LIMIT_BYTES}.")
        return int(text)

    def request(self) -> tuple[str, str]:
        """Return the method and path of a request."""
        found = _REQUEST.fullmatch(self.start)
        if found is None:
            raise BadFrame(f"Expected an HTTP/1.1 request, found '{self.start[:64]}'.")
        return found[1], found[2]

    def status(self) -> int:
        """Return the status of an answer."""
        found = _ANSWER.fullmatch(self.start)
        if found is None:
            raise BadFrame(f"Expected an HTTP/1.1 answer, found '{self.start[:64]}'.")
        return int(found[1])


def parse_head(block: bytes) -> Head:
    """Return the head in `block`, without the empty line that ends it; raise `BadFrame` for anything else."""
    try:
        start, *lines = block.decode("ascii").split("\r\n")
    except UnicodeDecodeError as error:
        raise BadFrame("Expected the head of an HTTP message, found bytes that are not ASCII.") from error
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadFrame(f"Expected a header, found {line[:64]!r}.")
        name = found[1].lower()
        if name in headers and name in {"content-length", "transfer-encoding", "host"}:
            raise BadFrame(f"Expected one header '{name}', found two.")
        headers[name] = found[2]
    return Head(start=start, headers=headers)


async def read_head(reader: asyncio.StreamReader, *, idle_s: float, timeout_s: float = HEAD_TIMEOUT_S) -> Head | None:
    """Return the next head; None when the other side has closed, or has sent nothing within `idle_s`.

    `timeout_s`: from its first byte to its last.
    """
    try:
        async with asyncio.timeout(idle_s):
            first = await reader.read(1)
    except TimeoutError:
        return None
    if not first:
        return None
    try:
        async with asyncio.timeout(timeout_s):
            rest = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except (asyncio.LimitOverrunError, TimeoutError) as error:
        raise BadFrame(f"Expected a head of at most {HEAD_LIMIT_BYTES} bytes in {timeout_s:.0f} s.") from error
    return parse_head(first + rest[:-4])


async def read_body(reader: asyncio.StreamReader, length: int, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Return exactly `length` bytes; raise `Unavailable` when they do not arrive."""
    try:
        async with asyncio.timeout(timeout_s + length / _SLOWEST_BYTES_PER_S):
            return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, TimeoutError) as error:
        raise Unavailable(f"A body of {length} bytes did not arrive completely.") from error


def write_message(start: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return a whole message; refuse line ends in a value, which would make two headers of one."""
    lines = [start, *(f"{name}: {value}" for name, value in headers.items()), f"content-length: {len(body)}"]
    if any("\r" in line or "\n" in line for line in lines):
        raise BadFrame("A header must be one line.")
    return "\r\n".join((*lines, "", "")).encode("ascii") + body


def pack(frames: list[bytes]) -> bytes:
    """Return frames as one body: each after its length, 4 bytes, big-endian."""
    return b"".join(part for frame in frames for part in (_FRAME_LENGTH.pack(len(frame)), frame))


def unpack(body: bytes) -> list[bytes]:
    """Return the frames of a body; raise `BadFrame` when they do not fill it exactly."""
    frames: list[bytes] = []
    at = 0
    while at < len(body):
        begin = at + _FRAME_LENGTH.size
        at = begin + (_FRAME_LENGTH.unpack_from(body, at)[0] if begin <= len(body) else 0)
        if begin > len(body) or at > len(body):
            raise BadFrame(f"Expected whole frames, found a body of {len(body)} bytes that ends within one.")
        frames.append(body[begin:at])
    return frames
