"""Cursors over the messages of several nodes, as opaque tokens for clients, checked when they are read.

A token contains how far each node was read, by the node's own cursor, and how far the table was read. Its size grows
with the number of nodes. This module never reads messages.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey
from quarterdeck.store.telemetry.messages import RowPlace

#: characters of the longest accepted token; that of 2,000 nodes is shorter
TOKEN_LIMIT = 64 * 1024


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """The position up to which messages were read."""

    newest_first: bool
    since_ms: int  #: a node that is not in `nodes` is read from this time on
    nodes: tuple[tuple[int, int, int], ...]  #: gid, nid, cursor
    table: RowPlace | None = None  #: None: the table has no more messages, or was not read

    @property
    def cursors(self) -> dict[NodeKey, str]:
        """Return the nodes' cursors."""
        return {NodeKey(gid, nid): str(cursor) for gid, nid, cursor in self.nodes}


def write(reached: Reached) -> str:
    """Return the token of a position."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(reached)).decode().rstrip("=")


def read(token: str) -> Reached:
    """Return the position in a token; raise `BadInput` when the token is invalid."""
    try:
        if len(token) > TOKEN_LIMIT or not token.isascii():
            raise ValueError(token)
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        reached = msgspec.msgpack.decode(body, type=Reached)
        if not all(_fits(*place) for place in ((*each, 0) for each in reached.nodes)):
            raise ValueError(token)
        if reached.table is not None and not (abs(reached.table[0]) < 1 << 62 and _fits(*reached.table[1:], 0)):
            raise ValueError(token)
        if abs(reached.since_ms) >= 1 << 62:
            raise ValueError(token)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as error:
        raise BadInput(
            f"'{token[:100]}' is not a cursor.", hint="Use the unchanged cursor of the previous answer."
        ) from error
    return reached


def _fits(gid: int, nid: int, cursor: int, _: int) -> bool:
    return 0 <= gid < 1 << 32 and 0 <= nid < 1 << 32 and 0 <= cursor < 1 << 59
