"""The desired set: everything that one node should have, under one revision number. It is never a delta."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import FEW, Name, Wire

T = TypeVar("T", bound=msgspec.Struct)


class DesiredSet(Wire, frozen=True, kw_only=True):
    """Everything that one node should have. The agent compares it with the current state and makes them equal.

    `placements` has the encoded items of each kind, which only that kind decodes. The field is required: a set in
    another form must not be read as an empty set, which would end everything.
    """

    revision: int
    placements: Annotated[dict[Name, Annotated[tuple[msgspec.Raw, ...], FEW]], FEW]  #: by the name of the kind
    #: the agent that received the set, recorded by that agent; a node that joins again has another agent
    agent_id: Name = ""

    def read(self, kind: str, item: type[T]) -> list[T]:
        """Return the items of a kind, each decoded as an `item`. Raise `BadInput` when one cannot be decoded."""
        try:
            return [msgspec.msgpack.decode(packed, type=item) for packed in self.placements.get(kind, ())]
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadInput(
                f"This agent cannot decode the items of kind '{kind}' in desired set {self.revision}: {error!s:.500}.",
                hint="Install the same release on the server and on the node.",
            ) from error
