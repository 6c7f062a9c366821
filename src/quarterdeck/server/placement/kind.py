"""The interface of a kind of placement: what is declared, what a node is sent, and how a status is presented.

Modules and services are kinds. A kind registers with `Placements` and is named nowhere else: it never compares, stores,
sends or receives anything itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.placements import StoredPlacement

S = TypeVar("S", bound=msgspec.Struct)


class Declared(NamedTuple):
    """A thing that the nodes which `selector` matches should have. Another `version` is another content."""

    name: str
    version: str
    selector: Selector


class Kind(Protocol[S]):
    """One kind of things that are placed on nodes. `S` is what an agent reports of one of them.

    `S` has the fields `revision` (of the desired set that the agent acted on) and `reason` (text for people).
    """

    @property
    def name(self) -> str:
        """Return the name of the kind in desired sets, reports and rows."""
        ...

    @property
    def status(self) -> type[S]:
        """Return the struct that an agent reports of one thing."""
        ...

    async def declared(self, transaction: AsyncConnection) -> Sequence[Declared]:
        """Return everything of the kind that some node should have."""
        ...

    async def describe(self, transaction: AsyncConnection, versions: Mapping[str, str]) -> Mapping[str, msgspec.Struct]:
        """Return what a node is told of each of these things, by name; `versions` is the version wanted of each."""
        ...

    def name_of(self, status: S) -> str:
        """Return the name of the thing that an agent reports on."""
        ...

    def unreported(self, placement: StoredPlacement, *, sent: bool) -> S:
        """Return the status of a placement whose agent has not reported on what is wanted now.

        `sent` tells whether the node was sent it. `revision` and `reason` of the status are filled in by the caller.
        """
        ...
