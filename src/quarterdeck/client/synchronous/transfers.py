"""`client.transfers`: transfers of files to and from nodes."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import get
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.files import Transfer


class Transfers(Namespace):
    """Transfers of files to and from nodes."""

    def list(self) -> Sequence[Transfer]:
        """Return the progress of each recent transfer."""
        return self._connection.send(get("/transfers", list[Transfer]))
