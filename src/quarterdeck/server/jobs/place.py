"""Where a follower of a command's output is: the token from which the stream goes on, without gap and repetition.

A token is the number of the last change of a job, and of each node of which some was told and more is to come, the
cursor in its messages: a few bytes a node, so that a thousand fit in a header.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey

#: numbers in a token are below this, as they are in every store
_LIMIT = 1 << 63
#: characters of a token: more than ten thousand nodes
_LENGTH = 128 * 1024


class Place(msgspec.Struct):
    """`nodes` has the open ones: their job is over and its result not yet told, or messages of it were told."""

    change: int = 0
    nodes: dict[NodeKey, str] = {}  #: → the cursor behind the last message told; "" for none

    def __str__(self) -> str:
        """The token."""
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
    def parse(cls, token: str) -> Place:
        """The place that a token names; `BadInput` when it names none."""
        change, _, packed = token.partition(".")
        try:
            if len(token) > _LENGTH or not (change.isascii() and change.isdecimal() and int(change) < _LIMIT):
                raise ValueError
            numbers = list(_unpack(b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)))
            place, last = cls(change=int(change)), NodeKey(0, 0)
            for gid, nid, cursor in zip(*[iter(numbers)] * 3, strict=True):
                last = NodeKey(last.gid + gid, last.nid + nid if gid == 0 else nid)
                place.nodes[last] = str(cursor - 1) if cursor else ""
        except (ValueError, binascii.Error) as error:
            raise BadInput(
                f"{token[:100]!r} is not the id of an event.", hint="Send the id of the last event you got, as it is."
            ) from error
        return place


def _pack(number: int, into: bytearray) -> None:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
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
