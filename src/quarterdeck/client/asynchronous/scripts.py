"""`client.scripts`: the source code that commands run."""

from __future__ import annotations

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get, segment
from quarterdeck.model.scripts import ScriptSource


class Scripts(Namespace):
    """The source code that commands run."""

    async def get(self, sha256: str) -> ScriptSource:
        """Return a script, by the `sha256` in the arguments of its command."""
        return await self._connection.send(get(f"/scripts/{segment(sha256)}", ScriptSource))
