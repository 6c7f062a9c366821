"""The keeper under faults: killed or absent agents, process trees that do not end, and its own death."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.agent.keeper.messages import Exited
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.model.processes import Limits
from tests.keeping import Kept, runs
from tests.support import require, until

#: starts 100 children, writes each event to a file and acknowledges it afterwards, until it is killed
AGENT = """
    import asyncio, base64, json, sys
    from pathlib import Path
    from quarterdeck.agent.keeper.client import KeeperClient
    from quarterdeck.agent.keeper.messages import Exited, OutputChunk
    from quarterdeck.agent.keeper.start import Start

    async def main():
        keeper = KeeperClient(Path(sys.argv[1]))
        log = open(sys.argv[2], "a")
        script = "for i in 1 2 3 4 5 6; do echo $0 line $i; sleep 0.2; done; exit 3"
        for n in range(100) if "start" in sys.argv else ():
            argv = ("/bin/sh", "-c", script, f"c{n}")
            await keeper.start(Start(id=f"c{n}", argv=argv, env={"PATH": "/bin:/usr/bin"}))
        print("started", flush=True)
        while True:
            for event in await keeper.events():
                what = {"id": event.id, "seq": event.seq}
                if isinstance(event, OutputChunk):
                    what["text"] = event.data.decode()
                else:
                    what["code"] = event.code
                log.write(json.dumps(what) + "\\n")
                log.flush()
                await keeper.acknowledge({event.id: event.seq})

    asyncio.run(main())
"""


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    kept = Kept(tmp_path / "keeper", Cgroups.detect(tmp_path))
    yield kept
    await kept.clean_up()


def told(log: Path) -> dict[tuple[str, int], dict[str, object]]:
    """Each event once, as an agent knows it by its number; a line cut by the kill was not acknowledged."""
    events: dict[tuple[str, int], dict[str, object]] = {}
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        assert events.setdefault((event["id"], event["seq"]), event) == event
    return events


async def test_agents_that_are_killed_lose_neither_exits_nor_output(kept: Kept, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def work(*more: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", textwrap.dedent(AGENT), str(kept.home), str(log), *more]
        return subprocess.Popen(argv, stdout=subprocess.PIPE)

    with work("start") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"started\n"
        first.kill()
    for some in (120, 150, 180):  # of 200 at least: what waits for an agent is joined
        with work() as next_one:
            await until(lambda enough=some: len(told(log)) >= enough)
            next_one.kill()
    with work() as last:
        await until(lambda: sum("code" in event for event in told(log).values()) == 100)
        last.kill()
    events = told(log)
    exits = Counter(event["id"] for event in events.values() if "code" in event)
    assert exits == {f"c{n}": 1 for n in range(100)}
    assert all(event["code"] == 3 for event in events.values() if "code" in event)
    for n in range(100):
        texts = [str(event["text"]) for (of, _), event in sorted(events.items()) if of == f"c{n}" and "text" in event]
        assert "".join(texts) == "".join(f"c{n} line {i}\n" for i in range(1, 7))


async def test_a_thousand_exits_at_once_are_all_told(kept: Kept) -> None:
    kept.cgroups = Cgroups({}, reason="a thousand at once")
    names = [f"c{n}" for n in range(1000)]
    children = await asyncio.gather(*(kept.start(name, "sleep", "1000") for name in names))
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
    for n, child in enumerate(children):
        os.kill(child.pid, signals[n % 3])
    await kept.until(lambda: len(kept.exits) == len(names))
    codes = [[exited.code for exited in kept.exits[name]] for name in names]
    assert codes == [[-signals[n % 3]] for n in range(len(names))]
    assert not zombies(kept.keeper.pid)


def zombies(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if not runs(int(child))]


async def test_ten_thousand_lines_in_one_write(kept: Kept) -> None:
    program = "import os; os.write(1, b''.join(b'line %d\\n' % n for n in range(10000)))"
    await kept.start("a", sys.executable, "-Sc", program)
    assert (await kept.exit("a")).code == 0
    assert kept.outputs["a", 1] == b"".join(b"line %d\n" % n for n in range(10000))


FLOOD = "import os\nfor n in range(40): os.write(1, b'%07d\\n' % n * 65536)"  # 512 KiB each, 20 MiB in all
FLOODED = b"".join(b"%07d\n" % n * 65536 for n in range(40))


async def test_output_waits_on_disk_while_the_agent_is_away(kept: Kept) -> None:
    child = await kept.start("a", sys.executable, "-Sc", FLOOD, spool_bytes=64 << 20)
    await kept.keeper.close()
    await until(lambda: not runs(child.pid))
    assert (await kept.exit("a")).code == 0
    assert kept.outputs["a", 1] == FLOODED
    assert not kept.lost
    await until(lambda: not list((kept.home / "children").iterdir()))


async def test_what_does_not_fit_on_the_disk_is_counted(kept: Kept) -> None:
    child = await kept.start("a", sys.executable, "-Sc", FLOOD, spool_bytes=2 << 20)
    await kept.keeper.close()
    await until(lambda: not runs(child.pid))
    assert (await kept.exit("a")).code == 0
    output = kept.outputs["a", 1]
    assert FLOODED.endswith(output[-(1 << 20) :])  # the oldest goes, the newest stays
    assert kept.lost["a"] > 0
    assert kept.lost["a"] + len(output) == len(FLOODED)
    assert kept.seqs["a"] == sorted(set(kept.seqs["a"]))


async def test_a_slow_agent_holds_the_child_up_and_loses_nothing(kept: Kept) -> None:
    kept.acknowledging = False
    await kept.start("a", sys.executable, "-Sc", FLOOD, spool_bytes=1 << 20)
    await kept.until(lambda: len(kept.outputs.get(("a", 1), b"")) >= 256 << 10)
    kept.acknowledging = True
    await kept.keeper.acknowledge({"a": kept.seqs["a"][-1]})
    assert (await kept.exit("a")).code == 0
    assert kept.outputs["a", 1] == FLOODED
    assert not kept.lost


#: about 25 MB in pieces of all sizes, so that no file and no read ends where another does
UNEVEN = """
import os, random
dice = random.Random(int(sys.argv[1]))
for n in range(600):
    left = b"%06d\\n" % n * dice.randrange(1, 12000)
    while left:
        left = left[os.write(dice.choice((1, 1, 1, 2)), left[:dice.choice((100, 5000, 65536, 1 << 20))]):]
"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_while_there_is_an_agent_however_slowly_it_stores(kept: Kept, seed: int) -> None:
    await kept.start("a", sys.executable, "-Sc", f"import sys\n{UNEVEN}", str(seed), spool_bytes=1 << 20)
    dice, kept.acknowledging = random.Random(seed), False
    while "a" not in kept.exits:
        news = len(kept.seqs.get("a", ()))
        await kept.until(lambda more=news: len(kept.seqs.get("a", ())) > more)
        await kept.keeper.acknowledge({"a": dice.choice(kept.seqs["a"][-3:])})  # what is not fills no window
    assert not kept.lost
    assert sum(map(len, kept.outputs.values())) == sum(kept.exits["a"][0].printed)
    assert kept.seqs["a"] == sorted(set(kept.seqs["a"]))


BOMB = "import os, time\nprint('boom', flush=True)\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)"


async def test_a_fork_bomb_under_a_pids_limit_is_killed_whole(kept: Kept) -> None:
    require("pids" in kept.cgroups.controllers, "the limit needs a pids controller that can be written")
    await kept.start("a", sys.executable, "-Sc", BOMB, limits=Limits(pids=50))
    await kept.until(lambda: len(kept.cgroups.pids("a") or ()) >= 50)
    await kept.keeper.kill("a", grace_s=0)
    assert (await kept.exit("a")).survivors == 0
    assert not kept.cgroups.pids("a")


async def test_children_of_a_lost_keeper_are_ended_and_told_of(kept: Kept) -> None:
    kept.acknowledging = False
    await kept.shell("gone", "exit 4")
    assert (await kept.exit("gone")).code == 4
    child = await kept.shell("a", "echo here; setsid sleep 1000 & wait")
    await kept.output("a", b"here")
    os.kill(kept.keeper.pid, signal.SIGKILL)
    exited: Exited = await kept.exit("a")
    assert (exited.code, exited.lost) == (None, True)
    assert not runs(child.pid)
    assert not kept.cgroups.pids("a")
    assert [exit_.code for exit_ in kept.exits["gone"]] == [4]  # not told twice to the agent that knows it


async def test_what_a_lost_keeper_was_about_to_start_is_ended_and_told_of(kept: Kept) -> None:
    groups = kept.cgroups.plan("a", Limits()).groups
    require(groups, "only a cgroup tells whose a process is that nobody wrote down")
    await kept.keeper.connect()
    os.kill(kept.keeper.pid, signal.SIGSTOP)
    for path, _ in groups:
        await asyncio.to_thread(Path(path).mkdir)
    child = await asyncio.create_subprocess_exec("sleep", "1000")  # as if it had just been started
    for path, _ in groups:
        await asyncio.to_thread(Path(path, "cgroup.procs").write_text, str(child.pid))
    told = {"id": "a", "began": 1.0, "groups": [path for path, _ in groups], "boot": "this"}
    await asyncio.to_thread((kept.home / "children" / "1").write_text, json.dumps(told) + "\n")
    os.kill(kept.keeper.pid, signal.SIGKILL)
    assert (await kept.exit("a")).lost
    assert await child.wait() == -signal.SIGKILL
