"""The records of services for the next agent: how their processes were started, and which services have ended.

A process that was left running does not state the version of its service, and a service that has ended has no process
at all. Both are written to disk before they take effect. The ends of services are forgotten when the host restarts.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from quarterdeck.keeper.boot import boot_id
from quarterdeck.kit.checked_files import read_checked, write_checked
from quarterdeck.model.jobs import JobState
from quarterdeck.model.struct import Wire

log = logging.getLogger(__name__)


class FinalOutcome(Wire, frozen=True, kw_only=True):
    """The end of a service that is not started again."""

    state: JobState
    code: int | None = None
    reason: str = ""


class LaunchRecord(Wire, frozen=True, kw_only=True):
    """The start of a service's process, and its outcome if it has ended."""

    program: str  #: `Service.program`
    version: str = ""
    outcome: FinalOutcome | None = msgspec.field(default=None, name="over")  #: None: it may run


class _Content(Wire, frozen=True, kw_only=True):
    """The contents of the file."""

    boot_id: str
    services: dict[str, LaunchRecord]


class LaunchRecords:
    """Owns the file at `path`. If it is damaged or missing, a process is taken for the service that the desired set
    has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records = self._load()
        self._writing = asyncio.Lock()
        self._dirty = False

    def get(self, name: str) -> LaunchRecord | None:
        """Return what was written last about this service."""
        return self._records.get(name)

    async def put(self, name: str, record: LaunchRecord) -> None:
        """Write a record; it is on disk when this returns."""
        if self._records.get(name) != record:
            self._records[name] = record
            await self._save()

    async def forget(self, name: str) -> None:
        """Remove the record of a service that is gone."""
        if self._records.pop(name, None) is not None:
            await self._save()

    async def _save(self) -> None:
        """Write all records; changes that come meanwhile are written together. A full disk is only logged."""
        self._dirty = True
        async with self._writing:
            if not self._dirty:
                return
            self._dirty = False
            content = msgspec.msgpack.encode(_Content(boot_id=boot_id(), services=self._records))
            try:
                await asyncio.to_thread(write_checked, self._path, content)
            except OSError as error:
                log.warning("what runs of services could not be noted in %s: %s", self._path, error)

    def _load(self) -> dict[str, LaunchRecord]:
        try:
            content = msgspec.msgpack.decode(read_checked(self._path), type=_Content)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s is damaged; services are taken for what they should be: %s", self._path, error)
            return {}
        if content.boot_id == boot_id():
            return content.services
        return {name: msgspec.structs.replace(record, outcome=None) for name, record in content.services.items()}
