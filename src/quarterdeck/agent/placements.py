"""The placements of this node: takes desired sets, applies each kind's part, and reports the statuses.

A kind registers an object that applies its part and returns its statuses; this module names no kind. Owns the last
desired set, on disk too, and the revision that every kind has acted on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.desired import DesiredFile
from quarterdeck.kit.race import until_first
from quarterdeck.link.conversation import Conversation, Delegated
from quarterdeck.link.messages import Desired, PlacementReport
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadInput

T = TypeVar("T", bound=msgspec.Struct)
T_contra = TypeVar("T_contra", bound=msgspec.Struct, contravariant=True)

log = logging.getLogger(__name__)

#: changes that follow one another this closely become one report
_GATHER_S = 0.05


class Things(Protocol[T_contra]):
    """The things of one kind on this node."""

    async def apply(self, wanted: Sequence[T_contra], *, revision: int) -> None:
        """Make the things equal to `wanted`, their part of a desired set; keep retrying in the background."""
        ...

    def statuses(self) -> Sequence[msgspec.Struct]:
        """Return the status of each thing, with the `revision` that last wanted it."""
        ...


class _Kind(NamedTuple, Generic[T]):
    item: type[T]  #: one thing's entry in a desired set
    things: Things[T]
    news: asyncio.Event  #: the statuses have changed since the last report


class Placements:
    """All placements of this node. Created and used in its event loop, except for `changed`."""

    takes = (Desired,)

    def __init__(self, path: Path, *, agent_id: Callable[[], str]) -> None:
        self._file = DesiredFile(path)
        self._agent_id = agent_id
        self._kinds: dict[str, _Kind[Any]] = {}
        self._wanted = self._file.load()
        self._acted: tuple[str, int] = ("", 0)  # the agent id, and the revision
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def register(self, name: str, item: type[T], things: Things[T]) -> None:
        """Have `things` apply the parts of this kind of desired sets, in the order of registration."""
        self._kinds[name] = _Kind(item, things, asyncio.Event())

    def changed(self, name: str) -> None:
        """Report this kind again. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._mark, name)

    def _mark(self, name: str) -> None:
        self._kinds[name].news.set()

    # ── what is wanted ───────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def acted(self) -> int:
        """Return the revision that every kind has acted on; 0 if it was given to an agent of another id."""
        agent_id, revision = self._acted
        return revision if agent_id == self._agent_id() else 0

    @property
    def held(self) -> int:
        """Return the revision of the desired set, if it was given to this agent and not to an earlier one."""
        wanted = self._wanted
        own = wanted is not None and wanted.agent_id in ("", self._agent_id())
        return wanted.revision if wanted is not None and own else 0

    def open(self, link: LiveLink) -> Conversation:
        """Take sets and report on every kind over a new link."""
        return Delegated(self.received, partial(self._report_all, link))

    def received(self, message: Desired) -> None:
        """Take the set that the server sends."""
        self.want(message.desired)

    def want(self, desired: DesiredSet) -> None:
        """Apply this set, which was given to this agent."""
        self._wanted = msgspec.structs.replace(desired, agent_id=self._agent_id())
        self._settled.clear()
        self._news.set()

    async def settled(self) -> None:
        """Wait until the wanted set was acted on."""
        await self._settled.wait()

    async def run(self) -> None:
        """Apply the last set at the start, and each new one."""
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            wanted = self._wanted
            if wanted is not None:
                agent_id = self._agent_id()
                await asyncio.to_thread(self._file.save, wanted)
                await self._apply(wanted)
                self._acted = (agent_id, wanted.revision)
                if wanted is self._wanted:
                    self._settled.set()
                for kind in self._kinds.values():
                    kind.news.set()

    async def _apply(self, wanted: DesiredSet) -> None:
        for name, kind in self._kinds.items():
            try:
                items = wanted.read(name, kind.item)
            except BadInput as error:
                log.error("%s What there is of it stays. %s", error, error.hint)
                continue
            await kind.things.apply(items, revision=wanted.revision)
        unknown = wanted.placements.keys() - self._kinds.keys()
        if unknown:
            log.info("the server is newer than this agent: it places things of the kinds %s", sorted(unknown))

    # ── what is reported ─────────────────────────────────────────────────────────────────────────────────────────────
    async def _report_all(self, link: LiveLink) -> None:
        await until_first(*(self._report(link, name) for name in self._kinds))

    async def _report(self, link: LiveLink, name: str) -> None:
        kind = self._kinds[name]
        while True:
            kind.news.clear()
            await link.send(PlacementReport.of(name, kind.things.statuses(), revision=self.acted))
            await kind.news.wait()
            await asyncio.sleep(_GATHER_S)
