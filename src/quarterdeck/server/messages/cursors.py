"""Cursors over the messages of several nodes, as people and programs pass them around: opaque, and checked when read.

A token holds how far each node was read, by the node's own cursor, and how far the table was. It is small, and grows
with the nodes; it owns nothing.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import NodeKey
from quarterdeck.store.telemetry.messages import RowPlace

#: characters of a token that is looked at; that of 2,000 nodes is shorter
TOKEN_LIMIT = 64 * 1024


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """How far messages were read."""

    newest_first: bool
    since_ms: int  #: a node that is not in `nodes` is read from this time on
    nodes: tuple[tuple[int, int, int], ...]  #: gid, nid, cursor
    table: RowPlace | None = None  #: None: it has no more, or was not read

    @property
    def cursors(self) -> dict[NodeKey, str]:
        """The nodes' cursors."""
        return {NodeKey(gid, nid): str(cursor) for gid, nid, cursor in self.nodes}


def write(reached: Reached) -> str:
    """As a token."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(reached)).decode().rstrip("=")


def read(token: str) -> Reached:
    """From a token; `BadInput` when it is none."""
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
            f"'{token[:100]}' is no cursor.", hint="Use the cursor of the answer before, as it is."
        ) from error
    return reached


def _fits(gid: int, nid: int, cursor: int, _: int) -> bool:
    return 0 <= gid < 1 << 32 and 0 <= nid < 1 << 32 and 0 <= cursor < 1 << 59
