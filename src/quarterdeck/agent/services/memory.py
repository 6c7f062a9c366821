"""What the next life of the agent must know of services: what their processes were told, and which are over.

A process that was left running tells nobody which version of its service it is; a service that has ended leaves no
process at all. Both are written here before they count. How services ended is forgotten when the host has restarted.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from quarterdeck.agent.boot import boot_id
from quarterdeck.link.private_files import write_private
from quarterdeck.model.jobs import JobState
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)


class Over(Wire, frozen=True, kw_only=True):
    """How a service ended that is not started again."""

    state: JobState
    code: int | None = None
    reason: str = ""


class Told(Wire, frozen=True, kw_only=True):
    """What a service's process was started with."""

    program: str  #: `Service.program`
    version: str = ""
    over: Over | None = None


class _Content(Wire, frozen=True, kw_only=True):
    boot_id: str
    services: dict[str, Told]


class Memory:
    """Owns the file at `path`. A damaged or missing one means that processes are what the desired set says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = self._load()
        self._writing = asyncio.Lock()
        self._dirty = False

    def get(self, name: str) -> Told | None:
        """What was written last of this service."""
        return self._told.get(name)

    async def put(self, name: str, told: Told) -> None:
        """On disk when this returns."""
        if self._told.get(name) != told:
            self._told[name] = told
            await self._save()

    async def forget(self, name: str) -> None:
        """The service is gone."""
        if self._told.pop(name, None) is not None:
            await self._save()

    async def _save(self) -> None:
        """Changes that come while one is written go to disk together. A full disk costs only what the file is for."""
        self._dirty = True
        async with self._writing:
            if not self._dirty:
                return
            self._dirty = False
            content = msgspec.msgpack.encode(_Content(boot_id=boot_id(), services=self._told))
            try:
                await asyncio.to_thread(write_private, self._path, content)
            except OSError as error:
                log.warning("what runs of services could not be noted in %s: %s", self._path, error)

    def _load(self) -> dict[str, Told]:
        try:
            content = msgspec.msgpack.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s is damaged; services are taken for what they should be: %s", self._path, error)
            return {}
        if content.boot_id == boot_id():
            return content.services
        return {name: msgspec.structs.replace(told, over=None) for name, told in content.services.items()}
