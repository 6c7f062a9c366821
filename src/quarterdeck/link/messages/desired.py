"""The desired set of a node."""

from __future__ import annotations

from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.struct import Wire


class Desired(Wire, frozen=True, kw_only=True, tag="desired"):
    """Everything that the node should run."""

    desired: DesiredSet
