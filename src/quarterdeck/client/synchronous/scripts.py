"""`client.scripts`: the source code that commands run."""

from __future__ import annotations

from quarterdeck.client.calls import get, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.scripts import ScriptSource


class Scripts(Namespace):
    """The source code that commands run."""

    def get(self, sha256: str) -> ScriptSource:
        """Return a script, by the `sha256` in the arguments of its command."""
        return self._connection.send(get(f"/scripts/{segment(sha256)}", ScriptSource))
