"""The transfer of contents between this node and the server: files, scripts and the artefacts of modules."""

from __future__ import annotations

from quarterdeck.agent.artefacts import Artefacts
from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.offers import Offers


class ContentParts:
    """The fetches from the server, the offers to it, and the cache of artefacts."""

    def __init__(self, assembly: AgentAssembly, context: Context) -> None:
        self.fetches, self.offers = Fetches(), Offers()
        self.artefacts = Artefacts(context.home / "artefacts", fetches=self.fetches)
        assembly.topics += [self.fetches, self.offers]
