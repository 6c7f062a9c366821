"""Programs as jobs: the real keeper, the message log, the ledger and the executor, without a server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from quarterdeck.agent.processes.environment import Environment
from quarterdeck.agent.processes.supervised_process import Process
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.jobs import JobState
from quarterdeck.model.messages import Level, Mark
from quarterdeck.model.processes import Phase, ProcessSettings
from tests.keeping import runs
from tests.node_life import life
from tests.support import require, until


async def test_a_result_says_all_that_came_of_a_program(home: Path) -> None:
    async with life(home) as node:
        node.shell("good", "cat; echo '20::{\"n\":1}'; echo 9::bad; echo said >&2", domain="d", name="n")
        node.execute("in", "cat", data="from stdin\n")
        node.shell("three", "exit 3")
        node.shell("shot", "kill -KILL $$")
        good = await node.server.result("good")
        assert (good.state, good.code, good.reason) == (JobState.OK, 0, "")
        assert (good.data, good.level, good.critical) == ('{"n":1}', 20, "bad")
        assert good.streams == ('20::{"n":1}\n9::bad\n', "said\n")
        assert (await node.server.result("in")).streams == ("from stdin\n", "")
        three, shot = await node.server.result("three"), await node.server.result("shot")
        assert (three.state, three.code, three.reason) == (JobState.ERROR, 3, "exit code 3")
        assert (shot.state, shot.code, shot.reason) == (JobState.ERROR, -9, "signal 9 (KILL)")
        log = await node.log("good", levels="1-9,20")
        assert {(each.level, each.data) for each in log} == {(20, '{"n":1}'), (9, "bad"), (2, "said")}
        assert {(each.domain, each.name) for each in log} == {("d", "n")}
        node.processes.release("good")  # again: nothing


async def test_a_fault_of_ours_at_the_start_is_a_result_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise LookupError("the folder is nowhere")

    async with life(home) as node:
        monkeypatch.setattr(Environment, "folder", broken)
        node.execute("job", "true")
        result = await node.server.result("job")
        assert result.state is JobState.ERROR
        assert "the folder is nowhere" in result.reason


async def test_only_the_last_thousand_lines_of_a_stream_are_in_the_result_and_all_are_kept(home: Path) -> None:
    async with life(home) as node:
        lines = "".join(f"line {number}\n" for number in range(10_000))
        node.execute("many", "cat", data=lines)  # in one write
        result = await node.server.result("many")
        assert result.streams[0] == "".join(f"line {number}\n" for number in range(9_000, 10_000))
        assert "".join(each.data + "\n" for each in await node.log("many")) == lines


async def test_what_a_program_finds_around_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_TOKEN", "secret")
    async with life(home) as node:
        node.execute("env", "env", env={"MINE": "$tmp/x $root", "LANG": "C"})
        node.shell("cwd", "pwd; echo $0 $1", workingdir="$root")
        node.execute("args", "$root/bin/echo", "$agentroot", "$tmp", "$root", "{agent.tmp}")
        node.shell("shell", 'root=/y; tmp=1 agentroot=2; echo "$root" "$tmp" $agentroot')
        node.execute("gone", "true", workingdir="/no/such/folder")
        node.execute("who", "true", user="nobody-of-that-name")
        node.execute("no", "/no/such/program")
        found = dict(line.split("=", 1) for line in (await node.server.result("env")).streams[0].splitlines())
        assert found.pop("QD_PROCESS").startswith("env-")
        assert found["MINE"] == "$tmp/x $root"
        assert (found["QD_GID"], found["QD_NID"], found["QD_NODE"], found["QD_JOB_ID"]) == ("7", "3", "here", "env")
        names = {
            "PATH",
            "HOME",
            "LANG",
            "TMPDIR",
            "USER",
            "LOGNAME",
            "QD_GID",
            "QD_NID",
            "QD_NODE",
            "QD_JOB_ID",
            "MINE",
        }
        assert set(found) == names
        assert (await node.server.result("cwd")).streams[0].startswith("/\n")
        assert (await node.server.result("args")).streams[0] == "$agentroot $tmp $root {agent.tmp}\n"
        assert (await node.server.result("shell")).streams[0] == "/y 1 2\n"
        for id_, words in (
            ("gone", "folder '/no/such/folder'"),
            ("who", "no user"),
            ("no", "program '/no/such/program'"),
        ):
            result = await node.server.result(id_)
            assert (result.state, result.code) == (JobState.ERROR, None)
            assert words in result.reason


async def test_another_user_starts_at_home_without_the_agents_folder(home: Path) -> None:
    require(os.geteuid() == 0, "another user needs root")
    async with life(home) as node:
        node.shell("who", "id -un; echo $USER $TMPDIR", user="nobody")
        assert (await node.server.result("who")).streams[0].splitlines() == ["nobody", "nobody /tmp"]


async def test_time_and_kill_end_the_whole_tree_and_the_result_keeps_what_it_printed(home: Path) -> None:
    async with life(home) as node:
        node.shell("late", "echo begun; sleep 600 & echo $!; wait", max_time=0.3)
        node.shell("deaf", "trap '' TERM; echo $$; while :; do sleep 600; done", grace=0.2)
        await node.printed("deaf", "")
        node.server.kill("deaf")
        late, deaf = await node.server.result("late"), await node.server.result("deaf")
        assert (late.state, late.code) == (JobState.TIMEOUT, -signal.SIGTERM)
        assert late.reason == "It ran longer than its max_time of 0.3 s."
        begun, child = late.streams[0].split()
        assert begun == "begun"
        assert (deaf.state, deaf.code, deaf.reason) == (JobState.KILLED, -9, "It was ended by request.")
        assert not runs(int(child))
        assert not runs(int(deaf.streams[0]))


async def test_what_fails_is_started_again_so_often_and_then_says_so(home: Path) -> None:
    async with life(home) as node:
        node.shell("bad", "echo run; exit 1", max_restart=2)
        result = await node.server.result("bad")
        assert (result.state, result.reason) == (JobState.ERROR, "exit code 1")
        assert "failed 3 times" in result.critical
        log = await node.log("bad")
        assert [each.data for each in log if each.level == Level.STDOUT] == ["run"] * 3
        levels = [each.level for each in log if each.level != Level.STDOUT]
        assert levels == [Level.OPS_ERROR, Level.OPS_ERROR, Level.CRITICAL], "each failed run says why"
        node.execute("absent", "/no/such/program", max_time=-1, max_restart=1)
        absent = await node.server.result("absent")
        assert "no program '/no/such/program'" in absent.reason
        assert "failed 2 times" in absent.critical


async def test_what_recurs_or_lasts_starts_again_after_killall_and_not_after_a_kill(home: Path) -> None:
    async with life(home) as node:
        node.shell("again", "echo turn", recurring_period=0.05)
        node.shell("lasting", "echo up; sleep 600", max_time=-1)
        node.shell("once", "echo up; sleep 600")
        for id_ in ("again", "lasting", "once"):
            await node.printed(id_, "")
        node.server.offer("all", cmd="killall")
        assert json.loads((await node.server.result("all")).data)["killed"] >= 2
        assert (await node.server.result("once")).state is JobState.KILLED
        await node.printed("lasting", "up", times=2)
        await node.printed("again", "turn", times=3)
        node.server.kill("lasting", "again")
        for id_ in ("again", "lasting"):
            assert (await node.server.result(id_)).state is JobState.KILLED


async def test_jobs_that_last_leave_room_for_others(home: Path) -> None:
    async with life(home, max_jobs=1) as node:
        node.execute("service", "sleep", "600", max_time=-1)
        node.execute("job", "true")
        assert (await node.server.result("job")).state is JobState.OK
        node.server.kill("service")
        await node.server.result("service")


async def test_blocks_binary_and_endless_lines_lose_nothing(home: Path) -> None:
    async with life(home) as node:
        node.shell("block", "printf '5:::\\none\\n\\ntwo'")
        node.shell("long", "head -c 3000000 /dev/zero | tr '\\0' x")
        node.shell("raw", "printf '\\377\\000\\n'")
        for id_ in ("block", "long", "raw"):
            assert (await node.server.result(id_)).state is JobState.OK
        (block,) = await node.log("block")
        assert (block.level, block.data) == (5, "one\n\ntwo")
        assert block.marks & Mark.UNTERMINATED
        assert sum(len(each.data) for each in await node.log("long")) == 3_000_000
        assert [each.raw for each in await node.log("raw")] == [b"\xff\x00"]


async def test_the_next_life_takes_up_what_runs_and_what_ended_meanwhile(home: Path) -> None:
    async with life(home) as node:
        node.shell("goes-on", "echo one; printf half; read line < go; echo ' line'; exit 4", workingdir=str(home))
        node.shell("ends", "echo before; read line < end; echo after", workingdir=str(home))
        os.mkfifo(home / "go")
        os.mkfifo(home / "end")
        await node.printed("goes-on", "one")
        await node.printed("ends", "before")
        began = node.processes.running()[0].began * 1000
    await asyncio.to_thread((home / "end").write_text, "\n")
    async with life(home) as node:
        ends = await node.server.result("ends")
        assert (ends.state, ends.streams[0]) == (JobState.OK, "before\nafter\n")
        assert ends.starttime <= began  # that of the life before
        await asyncio.to_thread((home / "go").write_text, "\n")
        goes_on = await node.server.result("goes-on")
        assert (goes_on.state, goes_on.code, goes_on.streams[0]) == (JobState.ERROR, 4, "one\nhalf line\n")
        assert await node.lines("goes-on") == ["one", "half line"]
        assert await node.lines("ends") == ["before", "after"]


async def test_a_killed_agent_leaves_every_job_one_result_and_every_line_once(home: Path) -> None:
    jobs = [f"job-{number}" for number in range(100)]
    async with life(home) as node:
        for id_ in jobs:
            node.shell(id_, "for i in 1 2 3 4 5 6 7 8; do echo $i; printf 'half '; sleep 0.1; done")
        await until(lambda: len(node.processes.running()) > 80)
        node.killed = True
    async with life(home) as node:
        results = [await node.server.result(id_) for id_ in jobs]
        text = "".join(f"{number}\nhalf " for number in range(1, 9))
        for result in results:
            if result.state is not JobState.LOST:  # killed before the keeper heard of it
                assert (result.state, result.streams[0]) == (JobState.OK, text)
                assert await node.lines(result.id) == text.split("\n")
        assert sum(result.state is JobState.LOST for result in results) < 40
        assert sorted(result.id for result in node.server.results) == sorted(jobs)


async def test_what_lasts_is_started_again_when_it_cannot_be_taken_up(home: Path) -> None:
    async with life(home) as node:
        node.shell("lasting", "echo up; sleep 600", max_time=-1)
        node.shell("once", "echo up; sleep 600")
        await node.printed("lasting", "up")
        await node.printed("once", "up")
        ran = await node.processes.end_all()
        assert ran == 2
        assert (await node.server.result("once")).reason == "It was ended with the agent."
    async with life(home) as node:
        await node.printed("lasting", "up", times=2)
        node.server.kill("lasting")
        assert (await node.server.result("lasting")).state is JobState.KILLED


async def test_a_process_that_nobody_knows_goes_on_and_can_be_ended(home: Path) -> None:
    async with life(home, with_jobs=False) as node:
        kept = node.processes.keep(Process(id="stray", argv=("sleep", "600"), settings=ProcessSettings(max_time=-1)))
        await until(lambda: kept.pid is not None)
        pid = kept.pid
        assert pid is not None
    assert runs(pid)
    async with life(home) as node:
        await until(lambda: node.processes.end_unknown("stray", "ended by request"))
        await until(lambda: not runs(pid))


async def test_samples_and_looks_are_fed_to_statsd(home: Path) -> None:
    async with life(home) as node:
        node.shell("s", "echo '10::hits:1|c'; echo '10::hits:2|c'; sleep 600", domain="d", name="n", stats_interval=0.1)
        await until(lambda: any(b"_rss_" in lines for _, lines in node.fed))
        assert any(lines == b"hits:1|c\nhits:2|c" for _, lines in node.fed)
        gauges = next(lines for _, lines in node.fed if b"_rss_" in lines).decode().splitlines()
        named = {line.partition(":")[0] for line in gauges}
        assert named == {
            f"_{key}_" for key in ["cpu", "rss", "vms", "swap", "threads", "fds", "read_bytes", "written_bytes"]
        }
        assert {(source.cmd, source.domain, source.name) for source, _ in node.fed} == {("execute", "d", "n")}
        node.server.offer("all", cmd="get_processes_stats", args={"domain": "d"})
        node.server.offer("one", cmd="get_process_stats", args={"id": "s"})
        node.server.offer("none", cmd="get_process_stats", args={"id": "t"})
        (found,) = json.loads((await node.server.result("all")).data)["processes"]
        assert found["processes"] == 2
        assert json.loads((await node.server.result("one")).data)["id"] == "s"
        assert (await node.server.result("none")).state is JobState.ERROR


#: it goes on when it is held, so that it is there to be looked at
BOMB = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)"


async def test_a_fork_bomb_is_held_and_ended(home: Path) -> None:
    async with life(home) as node:
        require("pids" in node.cgroups.controllers, "a fork bomb needs a pids controller to be held by")
        node.execute("bomb", sys.executable, "-Sc", BOMB, pids=30, grace=0.1)
        kept = None
        while kept is None or kept.pid is None:
            await asyncio.sleep(0.01)
            kept = node.processes.get("bomb")
        pids = set[int]()
        while len(pids) < 20:
            pids |= set(node.cgroups.pids("bomb") or ())
            await asyncio.sleep(0.01)
        node.server.kill("bomb")
        assert (await node.server.result("bomb")).state is JobState.KILLED
        assert not any(map(runs, pids))


async def test_a_full_disk_stops_no_program_and_no_result(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with life(home) as node:
        full = True
        store = node.messages._store  # pyright: ignore[reportPrivateUsage]
        append = store.append

        def refuse(*given: object) -> None:
            if full:
                raise StorageFull("no room")
            append(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "append", refuse)
        node.shell("chatty", "i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done")
        assert (await node.server.result("chatty")).state is JobState.OK
        full = False
        await node.printed("chatty", "line 39999")
        assert [each.data for each in await node.log("chatty")] == [f"line {number}" for number in range(40_000)]


async def test_one_that_is_kept_can_be_told_to_start_again(home: Path) -> None:
    async with life(home, with_jobs=False) as node:
        seen: list[Phase] = []
        kept = node.processes.keep(
            Process(id="service/web", argv=("sleep", "600"), settings=ProcessSettings(max_time=-1)),
            changed=lambda: seen.append(kept.state.phase),
        )
        await until(lambda: kept.pid is not None)
        first = kept.pid
        kept.tell(Ending.RESTART)
        await until(lambda: kept.pid not in (None, first))
        assert kept.runs == 2
        kept.tell(Ending.KILLED)
        assert (await kept.over()).state is JobState.KILLED
        assert {Phase.RUNNING, Phase.ENDING, Phase.DONE} <= set(seen)
        node.processes.release("service/web")
        again = node.processes.keep(Process(id="service/web", argv=("true",), settings=ProcessSettings()))
        assert (await again.over()).state is JobState.OK
        node.processes.release("service/web")


async def test_a_flood_holds_up_neither_other_programs_nor_its_own_end(home: Path) -> None:
    async with life(home) as node:
        node.shell("flood", "yes & yes else >&2")
        await until(lambda: node.messages.stored)
        for number in range(5):
            node.execute(f"quick-{number}", "echo", "hi")
            assert (await node.server.result(f"quick-{number}")).streams == ("hi\n", "")
            assert [each.data for each in await node.log(f"quick-{number}")] == ["hi"]
        node.server.kill("flood")
        assert (await node.server.result("flood")).state is JobState.KILLED


async def test_a_prompt_and_progress_are_there_before_their_line_ends(home: Path) -> None:
    go = home / "go"
    async with life(home) as node:
        script = (
            f"printf 'Password: '; printf '10%%\\r' >&2; until [ -e {go} ]; do sleep 0.05; done; echo x; printf '7::w'"
        )
        node.shell("asks", script)

        async def shown() -> set[tuple[int, str, int]]:
            return {(each.level, each.data, each.marks) for each in await node.log("asks")}

        async def both() -> bool:
            return await shown() == {(1, "Password: ", Mark.CONTINUES), (2, "10%", Mark.CONTINUES)}

        await until(both)
        go.touch()
        assert (await node.server.result("asks")).streams == ("Password: x\n7::w", "10%\r")
        assert (1, "x", 0) in await shown()


async def test_a_program_reads_a_content_that_the_server_has(home: Path) -> None:
    content = bytes(range(256)) * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    (home / sha256).write_bytes(content)
    async with life(home) as node:
        node.execute("reads", "sha256sum", stdin_sha256=sha256)
        assert (await node.server.result("reads")).streams == (f"{sha256}  -\n", "")
        node.execute("both", "cat", data="x", stdin_sha256=sha256)
        assert "found both" in (await node.server.result("both")).reason
        node.execute("none", "cat", stdin_sha256="0" * 64)
        assert "its standard input" in (await node.server.result("none")).reason


async def test_an_input_is_fetched_once_and_there_until_the_last_program_that_reads_it_is_over(home: Path) -> None:
    content = b"line\n" * 100_000
    sha256 = hashlib.sha256(content).hexdigest()
    (home / sha256).write_bytes(content)
    go, inputs = home / "go", home / "inputs"
    again = f"sha256sum; test -e {go} || exit 1"
    async with life(home) as node:
        for name in ("one", "two"):
            node.shell(name, f"while [ ! -e {go} ]; do sleep 0.05; done; sha256sum", stdin_sha256=sha256)
        node.shell("again", again, stdin_sha256=sha256, max_restart=9, max_time=-1)
        await until(lambda: (kept := node.processes.get("again")) is not None and kept.runs > 1)
        assert node.fetched == ["its standard input"]
        assert [path.name for path in inputs.iterdir()] == [sha256]
    (home / sha256).unlink()
    async with life(home) as node:  # the next life of the agent has it
        go.touch()
        for name in ("one", "two", "again"):
            result = await node.server.result(name)
            assert result.streams[0].endswith(f"{sha256}  -\n"), result
        assert node.fetched == []
        await until(lambda: list(inputs.iterdir()) == [])


async def test_a_program_of_another_user_may_open_its_input_again(home: Path) -> None:
    require(os.geteuid() == 0, "becoming another user needs root")
    sha256 = hashlib.sha256(b"in").hexdigest()
    (home / sha256).write_bytes(b"in")
    async with life(home) as node:
        node.shell("job", "cat /dev/stdin; echo x >> /dev/stdin", user="nobody", stdin_sha256=sha256)
        out, err = (await node.server.result("job")).streams
        assert (out, "Permission denied" in err or "cannot create" in err) == ("in", True)
