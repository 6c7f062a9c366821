"""Notices of the server about this node, which come with its welcome: logged, each once."""

from __future__ import annotations

import logging

from quarterdeck.agent.connection import LiveLink
from quarterdeck.link.conversation import WhileLinked

log = logging.getLogger(__name__)


class Notices(WhileLinked[LiveLink]):
    """Logs the notices that the welcome before did not have."""

    def __init__(self) -> None:
        super().__init__(self._log)
        self._noticed: frozenset[str] = frozenset()

    async def _log(self, link: LiveLink) -> None:
        for notice in link.welcome.notices:
            if notice not in self._noticed:
                log.warning("%s", notice)
        self._noticed = frozenset(link.welcome.notices)
