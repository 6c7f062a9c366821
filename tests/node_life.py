"""One life of a node's processes, messages and jobs, with the real keeper and without a server.

Several lives may follow each other in one folder. `killed` ends one as abruptly as a SIGKILL would: nothing is flushed,
acknowledged or closed. `clean_up` leaves no keeper, no process and no cgroup behind.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from quarterdeck.agent.commands.command import Command
from quarterdeck.agent.commands.execute import execute_command
from quarterdeck.agent.commands.processes import process_commands
from quarterdeck.agent.commands.standard_input import StandardInputs
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.jobs import Jobs
from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.environment import Environment, Templates
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.columns.outlet import Outlet
from quarterdeck.keeper.tree import Group
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.errors import NotFound
from quarterdeck.model.losses import Loss
from quarterdeck.model.messages import Mark, Message, MessageFilter
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.processes import UsualSettings
from quarterdeck.model.stats import StatSource
from quarterdeck.model.tables import Table
from tests.keeping import end
from tests.support import until
from tests.unit.agent.jobs.rig import Server


class Life:
    """The parts of one life. `emitted`: tables of the rows that were forwarded; `fed`: what statsd was fed."""

    def __init__(self, home: Path, *, cgroups: Cgroups | None = None, linger_s: float = 0.5, **log: Any) -> None:
        self.home = home
        self.cgroups = cgroups or Cgroups.detect(home)
        self.emitted: list[tuple[str, int]] = []
        self.fed: list[tuple[StatSource, bytes]] = []
        self.messages = MessageLog(
            home / "messages",
            outlet=Outlet(emit=self._emit, lose=lambda _: None),
            **log,
        )
        who = AgentIdentity(agent_id="a", gid=7, nid=3, serial="1")
        self.templates = Templates(home)
        self.processes = Processes(
            home / "processes",
            messages=self.messages,
            environment=Environment(self.templates, who=lambda: who, node="here"),
            measuring=Measuring(self.cgroups, feed=lambda source, lines: self.fed.append((source, bytes(lines)))),
            cgroups=self.cgroups,
            usual=UsualSettings(),
            keeper=KeeperClient(home / "processes", linger_s=linger_s),
        )
        self.jobs: Jobs | None = None
        self.fetched: list[str] = []
        self.server: Server = cast("Server", None)
        self.killed = False
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, *, commands: Mapping[str, Command] | None = None, with_jobs: bool = True, **config: Any) -> None:
        self._tasks += [asyncio.create_task(self.messages.keep()), asyncio.create_task(self.processes.run())]
        if with_jobs:
            inputs = StandardInputs(self.processes, self.home / "inputs", fetch=self._content)
            self.jobs = Jobs(
                self.home,
                config=JobsConfig(**config),
                commands={
                    "execute": execute_command(self.processes, self.templates, inputs),
                    **process_commands(self.processes),
                    **(commands or {}),
                },
                noted=self.processes.release,
                recovered=self.processes.judge_jobs,
                unfinished=inputs.recovered,
                end_unknown=self.processes.end_unknown,
            )
            self.server = Server(self.jobs)
            self._tasks += [
                asyncio.create_task(self.jobs.run()),
                asyncio.create_task(self.jobs.linked(cast("LiveLink", self.server))),
            ]

    async def _content(self, sha256: str, path: Path, *, name: str, keep_free_bytes: int) -> None:
        self.fetched.append(name)
        try:
            shutil.copyfile(self.home / sha256, path)
        except FileNotFoundError as error:
            raise NotFound(f"The server has nothing with the hash of '{name}'.") from error

    def _emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        self.emitted.append((table.name, rows))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        faults = [each for each in results if isinstance(each, Exception)]
        if self.jobs is not None:
            await self.jobs.close()
        if self.killed:
            for task in tuple(self.processes._tasks):  # pyright: ignore[reportPrivateUsage]
                task.cancel()
            await self.processes._keeper.close()  # pyright: ignore[reportPrivateUsage]
        else:
            await self.processes.close()
            await self.messages.close()
        assert not faults, faults

    def execute(self, id_: str, cmd: str, *args: str, data: str = "", **settings: Any) -> None:
        """The server offers a job."""
        self.server.offer(id_, cmd="execute", data=data, args={"cmd": cmd, "args": list(args), **settings})

    def shell(self, id_: str, script: str, **settings: Any) -> None:
        self.execute(id_, "/bin/sh", "-c", script, **settings)

    async def printed(self, job_id: str, text: str, *, times: int = 1) -> None:
        """Wait until a job has printed this so often."""

        async def enough() -> bool:
            return sum(text in message.data for message in await self.log(job_id)) >= times

        await until(enough)

    async def log(self, job_id: str, **wanted: Any) -> list[Message]:
        """All of a job's messages."""
        found: list[Message] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.messages.select(MessageFilter(job_id=job_id, cursor=cursor, **wanted))
            found += page.messages
            cursor = page.cursor
        return found

    async def lines(self, job_id: str, **wanted: Any) -> list[str]:
        """All lines of a job, whose pieces are joined: a slow machine gives a line before its end arrives."""
        lines = [""]
        for each in await self.log(job_id, **wanted):
            lines[-1] += each.data
            if not each.marks & Mark.CONTINUES:
                lines.append("")
        return lines if lines[-1] else lines[:-1]


@asynccontextmanager
async def life(
    home: Path, *, cgroups: Cgroups | None = None, linger_s: float = 0.5, **more: Any
) -> AsyncGenerator[Life]:
    """One life. An idle keeper lives on for `linger_s` after it."""
    await asyncio.to_thread(home.mkdir, exist_ok=True)
    log = {name: more.pop(name) for name in ("file_bytes", "total_bytes", "queue_bytes") if name in more}
    living = Life(home, cgroups=cgroups, linger_s=linger_s, **log)
    living.start(**more)
    try:
        yield living
    finally:
        await living.end()


async def clean_up(home: Path) -> None:
    """No child, no keeper, no cgroup is left."""
    folder = home / "processes"
    if not (folder / "keeper.sock").exists() and not any(folder.glob("children/*")):
        return
    keeper = KeeperClient(folder, linger_s=0.2)
    children = await keeper.connect()
    await end(keeper, folder)
    for child in children:
        for path in child.groups:
            Group(path).remove()
