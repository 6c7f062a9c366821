"""The launcher: has the keeper start and end the programs of supervised processes.

It builds the start request from the settings of a process and from this node's cgroups, users and folders. An id is
started again only when the exit of the previous run is acknowledged. It decides neither when a program starts nor what
its end means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.start import Start, User
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.deliveries import FORWARDED, Deliveries
from quarterdeck.agent.processes.environment import Environment
from quarterdeck.agent.processes.supervised_process import SupervisedProcess
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import UsualSettings

log = logging.getLogger(__name__)


class KeeperLauncher:
    """Starts programs through `keeper`. `usual`: settings that a process does not have; `spawn` runs a task."""

    def __init__(
        self,
        keeper: KeeperClient,
        *,
        deliveries: Deliveries,
        messages: MessageLog,
        environment: Environment,
        cgroups: Cgroups,
        usual: UsualSettings,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.usual = usual
        self._keeper = keeper
        self._deliveries = deliveries
        self._messages = messages
        self._environment = environment
        self._cgroups = cgroups
        self._spawn = spawn

    def launch(self, process: SupervisedProcess) -> None:
        """Start its current run, and call `running` or `refused` then."""
        self._messages.pacing.expect(process.id)
        self._spawn(self._launch(process))

    def end(self, process: SupervisedProcess) -> None:
        """Send TERM to its whole tree, and KILL after its grace period."""
        self._messages.pacing.lift(process.id)
        self._spawn(self._keeper.kill(process.id, grace_s=process.process.settings.grace))

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None:
        """Add a message of the agent's own to its log, and forward it."""
        self._spawn(self._messages.put(process.output.noted(level, text), FORWARDED))

    async def _launch(self, process: SupervisedProcess) -> None:
        run = process.run
        await self._deliveries.settle_exit(process.id)
        try:
            plan = partial(plan_start, process, environment=self._environment, cgroups=self._cgroups)
            start = await asyncio.to_thread(plan) if process.process.settings.user else plan()
            await self._keeper.start(start, started=lambda child: process.running(child, run))
        except QuarterdeckError as error:
            process.refused(str(error))
        except OSError as error:
            process.refused(f"The program cannot be started: {error}.")
        except Exception as error:
            log.exception("the process '%s' was not started because of an internal error", process.id)
            process.refused(f"Internal error: {type(error).__name__}: {error}.")


def plan_start(supervised: SupervisedProcess, *, environment: Environment, cgroups: Cgroups) -> Start:
    """Return the request for the next run. For a named user it may take seconds, if a directory service is slow.

    Raise `Unavailable` when a limit of the process cannot be enforced here.
    """
    process, settings = supervised.process, supervised.process.settings
    return Start(
        id=process.id,
        argv=process.argv,
        env=environment.variables(process.id, settings.env, user=settings.user),
        cwd=environment.folder(settings.workingdir, user=settings.user),
        user=User.named(settings.user) if settings.user else None,
        stdin=process.stdin,
        stdin_file=process.stdin_file,
        plan=cgroups.plan(process.id, settings.limits),
        restarts=supervised.state.restarts,
    )
