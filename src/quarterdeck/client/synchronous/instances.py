"""`client.instances`: modules on nodes."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.calls import get
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.modules import Instance


class Instances(Namespace):
    """Modules on nodes."""

    def list(self, module: str | None = None) -> Sequence[Instance]:
        """Return every instance with its wanted and actual state, of one module or of all."""
        return self._connection.send(get("/instances", list[Instance], module=module))
