"""A keeper under test: started by the client, its events gathered, and every trace of it removed at the end."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.messages import ChildStatus, Exited, OutputChunk, OutputLost
from quarterdeck.agent.keeper.start import Start
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.keeper.tree import Group
from quarterdeck.model.processes import Limits

ENV = {"PATH": os.environ["PATH"]}


class Kept:
    """A keeper, and what it told: acknowledged as it comes unless `acknowledging` is False."""

    def __init__(self, home: Path, cgroups: Cgroups) -> None:
        self.home, self.cgroups, self._detected = home, cgroups, cgroups
        self.keeper = KeeperClient(home, linger_s=0.2)
        self.outputs: dict[tuple[str, int], bytes] = {}
        self.lost: Counter[str] = Counter()
        self.exits: dict[str, list[Exited]] = {}
        self.seqs: dict[str, list[int]] = {}
        self.acknowledging = True

    async def start(self, child_id: str, *argv: str, limits: Limits | None = None, **more: object) -> ChildStatus:
        plan = self.cgroups.plan(child_id, limits or Limits())
        more.setdefault("env", ENV)
        return await self.keeper.start(Start(id=child_id, argv=argv, plan=plan, **more))  # type: ignore[arg-type]

    async def shell(self, child_id: str, script: str, **more: object) -> ChildStatus:
        return await self.start(child_id, "/bin/sh", "-c", script, **more)  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], object]) -> None:
        """Take what the keeper tells until the condition holds."""
        while not condition():
            try:
                async with asyncio.timeout(0.05):
                    events = await self.keeper.events()
            except TimeoutError:
                continue
            for event in events:
                self.seqs.setdefault(event.id, []).append(event.seq)
                match event:
                    case OutputChunk():
                        before = self.outputs.get((event.id, event.stream), b"")
                        self.outputs[event.id, event.stream] = before + event.data
                    case OutputLost():
                        self.lost[event.id] += sum(event.bytes)
                    case Exited():
                        self.exits.setdefault(event.id, []).append(event)
            if self.acknowledging:
                await self.keeper.acknowledge({event.id: event.seq for event in events})

    async def exit(self, child_id: str) -> Exited:
        await self.until(lambda: child_id in self.exits)
        assert len(self.exits[child_id]) == 1
        return self.exits[child_id][0]

    async def output(self, child_id: str, text: bytes) -> None:
        """Wait until it has printed this."""
        await self.until(lambda: text in self.outputs.get((child_id, 1), b""))

    async def clean_up(self) -> None:
        """No child, no keeper, no cgroup is left."""
        await end(self.keeper, self.home)
        await self.remove_groups()

    async def remove_groups(self) -> None:
        """No cgroup is left, nor who is in one."""
        for path, _ in self._detected.plan("any", Limits()).groups:
            ours = Group(str(Path(path).parent))
            while not ours.remove():
                ours.kill()
                await asyncio.sleep(0.01)


async def end(keeper: KeeperClient, home: Path) -> None:
    """No child and no keeper is left, and nothing that another would have to tell."""
    async with asyncio.timeout(60):
        await keeper.close()
        while children := await keeper.connect():
            for child in children:
                await keeper.kill(child.id, grace_s=0)
                await keeper.acknowledge({child.id: 1 << 62})
            await asyncio.sleep(0.02)
            await keeper.close()
        await keeper.stop()
        await keeper.close()
        while (home / "keeper.sock").exists():  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
