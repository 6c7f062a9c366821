"""The agent: the Quarterdeck process on a node. It gets its identity, by joining if needed, and works until stopped.

Owns the folder `agent/` below its home, and the lock that excludes a second agent. It leaves nothing behind when it
ends: modules are detached, and unsent rows are on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import logging
import os
from pathlib import Path

from quarterdeck.agent.assembly.modules import InstancesFactory
from quarterdeck.agent.connection import RETRIES, Retries
from quarterdeck.agent.facts import gather_facts
from quarterdeck.agent.identity import Identity
from quarterdeck.agent.joining import Joining
from quarterdeck.agent.memory import keep_freed_blocks
from quarterdeck.agent.work import Work
from quarterdeck.kit.race import within
from quarterdeck.link.wire import AgentWire
from quarterdeck.link.wires import agent_wire
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import BadConfig, TimedOut, Unavailable

log = logging.getLogger(__name__)


class Agent:
    """One agent. `run` joins if needed and works until it is cancelled or `stop` is called."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        instances: InstancesFactory,
        ebpf_reason: str = "",
        wire: AgentWire | None = None,
        retries: Retries = RETRIES,
    ) -> None:
        self._config = config
        self._home = Path(config.home or ".") / "agent"
        self._instances = instances
        self._facts = functools.partial(gather_facts, ebpf_reason=ebpf_reason)
        self._wire = wire or agent_wire(config.server)
        self._retries = retries
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `run` cleanly. Must be called in the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. Raise before work begins when the node has no identity and cannot get one."""
        keep_freed_blocks()
        lock = _lock(self._home)
        try:
            joining = self._joining()
            identity = await self._identity(joining)
            if identity is not None:
                work = Work(
                    self._config,
                    home=self._home,
                    identity=identity,
                    joining=joining,
                    wire=self._wire,
                    retries=self._retries,
                    facts=self._facts,
                    instances=self._instances,
                )
                await work.run(self._stopping)
        finally:
            os.close(lock)

    def _joining(self) -> Joining:
        facts = self._facts()
        return Joining(
            self._home,
            wire=self._wire,
            address=self._config.server,
            name=self._config.name or facts.hostname,
            labels=self._config.labels,
            facts=facts,
        )

    async def _identity(self, joining: Joining) -> Identity | None:
        """Return the node's identity; retry to join while the server is unreachable. None when stopped meanwhile."""
        while not self._stopping.is_set():
            try:
                return await joining.identity(self._config.token)
            except (Unavailable, TimedOut) as error:
                log.warning("cannot join yet: %s", error)
            await within(self._retries.unreachable.cap_s / 4, self._stopping.wait())
        return None


def _lock(home: Path) -> int:
    """Lock the home for one agent; the kernel releases the lock when the process ends."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"The data folder {home} cannot be used: {error.strerror}.", hint="Set QD_HOME to another."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BadConfig(
            f"Another agent works in {home} already.", hint="Stop it, or give this one another QD_HOME."
        ) from error
    return descriptor
