"""Reports of the placements on a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

import msgspec

from quarterdeck.model.struct import FEW, Name, Wire


class PlacementReport(Wire, frozen=True, kw_only=True, tag="placements"):
    """Everything of one kind on this node, after a desired set was acted on or a state changed. Always complete."""

    kind: Name
    revision: int  #: of the desired set that every kind has acted on
    #: in the form of the kind's own struct, such as `InstanceStatus`
    statuses: Annotated[tuple[Annotated[dict[Name, Any], FEW], ...], FEW]

    @classmethod
    def of(cls, kind: str, statuses: Iterable[msgspec.Struct], *, revision: int) -> Self:
        """Return the report of these statuses of a kind."""
        return cls(kind=kind, revision=revision, statuses=tuple(map(msgspec.to_builtins, statuses)))
