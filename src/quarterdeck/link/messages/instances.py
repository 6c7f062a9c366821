"""Modules on a node: their states and what they cost."""

from __future__ import annotations

from typing import Annotated

from quarterdeck.model.modules import InstanceStats
from quarterdeck.model.struct import FEW, Wire


class StatsReport(Wire, frozen=True, kw_only=True, tag="stats"):
    """The costs of the instances so far."""

    stats: Annotated[tuple[InstanceStats, ...], FEW]
