"""The position of a follower in a command's output, as a token from which the stream resumes without gap or repetition.

A token contains the number of the last change of a job and, for each node of which only a part was sent, the cursor in
its messages: a few bytes a node, so that a thousand fit in a header. It never contains messages.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey

#: numbers in a token are below this, as in every store
_LIMIT = 1 << 63
#: characters of a token: enough for ten thousand nodes
_LENGTH = 128 * 1024


class Position(msgspec.Struct):
    """A position. `nodes` has the open ones: some of their messages were sent, or their job ended unreported."""

    change: int = 0
    nodes: dict[NodeKey, str] = {}  #: → the cursor behind the last message sent; "" for none

    def __str__(self) -> str:
        """Return the token."""
        packed = bytearray()
        last = NodeKey(0, 0)
        for key in sorted(self.nodes):
            nid = key.nid - last.nid if key.gid == last.gid else key.nid
            cursor = self.nodes[key]
            for number in (key.gid - last.gid, nid, int(cursor) + 1 if cursor else 0):
                _pack(number, packed)
            last = key
        return f"{self.change}.{urlsafe_b64encode(packed).decode().rstrip('=')}" if packed else str(self.change)

    @classmethod
    def parse(cls, token: str) -> Position:
        """Return the position in a token; raise `BadInput` when the token is invalid."""
        change, _, packed = token.partition(".")
        try:
            if len(token) > _LENGTH or not (change.isascii() and change.isdecimal() and int(change) < _LIMIT):
                raise ValueError
            numbers = list(_unpack(b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)))
            position, last = cls(change=int(change)), NodeKey(0, 0)
            for gid, nid, cursor in zip(*[iter(numbers)] * 3, strict=True):
                last = NodeKey(last.gid + gid, last.nid + nid if gid == 0 else nid)
                position.nodes[last] = str(cursor - 1) if cursor else ""
        except (ValueError, binascii.Error) as error:
            raise BadInput(
                f"{token[:100]!r} is not the id of an event.", hint="Send the unchanged id of the last event."
            ) from error
        return position


def _pack(number: int, into: bytearray) -> None:
    """Append a number, seven bits a byte, the lowest first; the top bit means that more bytes follow."""
    while number > 0x7F:
        into.append(number & 0x7F | 0x80)
        number >>= 7
    into.append(number)


def _unpack(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if number >= _LIMIT or shift > 63:
            raise ValueError
        if byte & 0x80:
            shift += 7
        else:
            yield number
            number = shift = 0
    if shift:
        raise ValueError
