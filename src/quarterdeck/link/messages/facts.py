"""Changes of a host's facts."""

from __future__ import annotations

from quarterdeck.model.nodes import Facts
from quarterdeck.model.struct import Wire


class FactsChanged(Wire, frozen=True, kw_only=True, tag="facts"):
    """The current facts of a host, after they have changed."""

    facts: Facts
