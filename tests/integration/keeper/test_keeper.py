"""The keeper with real children: what they print, how they end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from quarterdeck.agent.keeper.client import KeeperClient
from quarterdeck.agent.keeper.start import StartRefused, User
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.model.errors import AlreadyExists
from quarterdeck.model.processes import Limits
from tests.keeping import Kept, runs
from tests.support import require, until


async def test_a_child_has_its_output_its_exit_and_its_surroundings(kept: Kept, tmp_path: Path) -> None:
    script = "read line; echo $line $WHO; pwd; echo err >&2; exit 7"
    await kept.shell("a", script, stdin=b"hello\n", env={"WHO": "you"}, cwd=str(tmp_path))
    exited = await kept.exit("a")
    assert (exited.code, exited.killed, exited.lost) == (7, False, False)
    assert kept.outputs == {("a", 1): f"hello you\n{tmp_path}\n".encode(), ("a", 2): b"err\n"}


async def test_a_child_ended_by_a_signal_says_which(kept: Kept) -> None:
    await kept.shell("a", "kill -USR1 $$")
    assert (await kept.exit("a")).code == -signal.SIGUSR1


async def test_what_cannot_be_started_says_why(kept: Kept) -> None:
    with pytest.raises(StartRefused, match="no program '/no/such/program' on this node"):
        await kept.start("a", "/no/such/program")
    with pytest.raises(StartRefused, match="no program 'no-such-program' on this node's PATH"):
        await kept.start("a", "no-such-program")
    with pytest.raises(StartRefused, match=r"'/etc/passwd' cannot be started: Permission denied\."):
        await kept.start("a", "/etc/passwd")
    with pytest.raises(StartRefused, match=r"folder '/no/such/folder' cannot be entered: No such file"):
        await kept.start("a", "/bin/true", cwd="/no/such/folder")
    with pytest.raises(StartRefused, match=r"the file that is its standard input cannot be opened: No such file"):
        await kept.start("a", "/bin/cat", stdin_file="/no/such/file")
    await kept.start("a", "/bin/true")
    assert (await kept.exit("a")).code == 0


async def test_a_file_is_the_standard_input_of_each_run(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"all of it")
    for child_id in ("a", "b"):
        await kept.shell(child_id, "cat", stdin_file=str(tmp_path / "input"))
        assert (await kept.exit(child_id)).code == 0
        assert kept.outputs[child_id, 1] == b"all of it"


async def test_a_keeper_of_an_earlier_release_gets_no_file_as_standard_input(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept.keeper.connect()
    monkeypatch.setattr(kept.keeper, "_opens_inputs", False)
    with pytest.raises(StartRefused, match="of an earlier release"):
        await kept.start("a", "/bin/cat", stdin_file="/etc/hostname")


async def test_an_id_is_used_once_until_its_exit_is_acknowledged(kept: Kept) -> None:
    kept.acknowledging = False
    await kept.start("a", "/bin/true")
    exited = await kept.exit("a")
    with pytest.raises(AlreadyExists):
        await kept.start("a", "/bin/true")
    await kept.keeper.acknowledge({"a": exited.seq})
    kept.exits.clear()
    await kept.start("a", "/bin/false")
    assert (await kept.exit("a")).code == 1


async def test_an_id_that_is_the_name_of_a_control_file_is_an_id_as_any(kept: Kept) -> None:
    for name in ("tasks", "cgroup.procs", "memory.limit_in_bytes", "cgroup.kill"):
        await kept.shell(name, "echo ran")
        assert (await kept.exit(name)).code == 0


async def test_what_a_program_inherits_belongs_to_its_user(kept: Kept) -> None:
    require(os.geteuid() == 0, "becoming another user needs root")
    script = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr; echo more >> /proc/self/fd/1"
    await kept.shell("a", script, user=User.named("nobody"), stdin=b"in\n")
    assert (await kept.exit("a")).code == 0
    assert kept.outputs == {("a", 1): b"in\nout\nmore\n", ("a", 2): b"err\n"}


#: all that can be ignored and blocked
SIGNALS = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGCHLD})
os.execv(sys.executable, [sys.executable, "-m", "quarterdeck.keeper", *sys.argv[1:]])
"""


@pytest.mark.parametrize("user", [None, "nobody"])
async def test_a_program_begins_with_all_signals_as_usual(kept: Kept, user: str | None) -> None:
    require(user is None or os.geteuid() == 0, "becoming another user needs root")
    keeper = [sys.executable, "-c", SIGNALS, str(kept.home), "--linger", "0.2"]
    assert await (await asyncio.create_subprocess_exec(*keeper)).wait() == 0
    await kept.start("a", "grep", "^Sig[BI]", "/proc/self/status", user=User.named(user) if user else None)
    assert (await kept.exit("a")).code == 0
    _, blocked, _, ignored = kept.outputs["a", 1].split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~(0b11 << 31) == 0, "but for 32 and 33, which posix_spawn of glibc ignores: its own"


async def test_another_user_runs_it(kept: Kept) -> None:
    require(os.geteuid() == 0, "becoming another user needs root")
    await kept.start("a", "id", "-un", user=User.named("nobody"))
    await kept.exit("a")
    assert kept.outputs["a", 1] == b"nobody\n"


async def test_a_child_that_ignores_term_is_killed_after_its_grace(kept: Kept) -> None:
    await kept.shell("a", "trap '' TERM; echo ready; while :; do sleep 1; done")
    await kept.output("a", b"ready")
    await kept.keeper.kill("a", grace_s=0.2)
    exited = await kept.exit("a")
    assert (exited.code, exited.killed) == (-signal.SIGKILL, True)


async def test_a_child_that_is_stopped_is_told_to_go_on_and_acts_on_its_term(kept: Kept) -> None:
    script = "trap 'echo tidied up; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    child = await kept.shell("a", script)
    await kept.output("a", b"ready")
    os.kill(child.pid, signal.SIGSTOP)
    await kept.keeper.kill("a", grace_s=60)
    exited = await kept.exit("a")
    assert (exited.code, exited.killed) == (7, True)
    assert kept.outputs["a", 1] == b"ready\ntidied up\n"


async def test_a_tree_has_its_grace_too(kept: Kept) -> None:
    script = "(trap 'sleep 0.3; echo late; exit' TERM; echo ready; while :; do sleep 0.05; done) & wait"
    await kept.shell("a", script)
    await kept.output("a", b"ready")
    await kept.keeper.kill("a", grace_s=20)
    assert (await kept.exit("a")).code == -signal.SIGTERM
    assert b"late" in kept.outputs["a", 1]


async def test_a_daemon_that_forked_twice_is_killed_too(kept: Kept) -> None:
    script = "(setsid sh -c 'sleep 1000 & echo $! ; exec sleep 1000 >/dev/null' &) ; sleep 1000"
    await kept.shell("a", script)
    await kept.output("a", b"\n")
    daemon = int(kept.outputs["a", 1])
    assert runs(daemon)
    await kept.keeper.kill("a", grace_s=0)
    assert (await kept.exit("a")).survivors == 0
    assert not runs(daemon)


async def test_one_keeper_ends_nothing_of_another_that_uses_the_same_ids(kept: Kept, tmp_path: Path) -> None:
    other = Kept(tmp_path / "other", Cgroups({}, reason="it finds its trees by their marks"))
    script = "setsid sleep 1000 & exec sleep 1000"
    mine, others = await kept.shell("service/web", script), await other.shell("service/web", script)
    await other.keeper.kill("service/web", grace_s=0)
    assert (await other.exit("service/web")).code == -signal.SIGKILL
    assert not runs(others.pid)
    assert runs(mine.pid)
    assert "service/web" not in kept.exits
    await other.clean_up()


async def test_a_tree_ends_with_its_first_process(kept: Kept) -> None:
    await kept.shell("a", "setsid sleep 1000 & sleep 1000 & echo $!")
    exited = await kept.exit("a")
    assert (exited.code, exited.leaves) == (0, 2)
    assert not runs(int(kept.outputs["a", 1]))


async def test_what_is_to_be_remembered_is_gone_when_all_is_acknowledged(kept: Kept) -> None:
    await kept.start("a", "/bin/true")
    await kept.exit("a")
    await until(lambda: not list((kept.home / "children").iterdir()))
    assert not any(map(os.path.exists, dict(kept.cgroups.plan("a", Limits()).groups)))


async def test_the_socket_is_its_users_alone(kept: Kept) -> None:
    await kept.keeper.connect()
    assert (kept.home / "keeper.sock").stat().st_mode & 0o777 in (0o600, 0o700)
    assert kept.home.stat().st_mode & 0o077 == 0


async def test_a_keeper_with_nothing_to_do_ends(kept: Kept) -> None:
    await kept.start("a", "/bin/true")
    await kept.exit("a")
    await kept.keeper.close()
    await until(lambda: not (kept.home / "keeper.sock").exists())


async def test_a_keeper_that_ends_leaves_what_it_could_not_tell_to_the_next(kept: Kept) -> None:
    kept.acknowledging = False
    await kept.shell("a", "echo said; exit 7")
    assert (await kept.exit("a")).code == 7
    before = kept.keeper.pid
    await kept.keeper.stop()
    await kept.keeper.close()
    await until(lambda: not (kept.home / "keeper.sock").exists())
    kept.keeper = KeeperClient(kept.home, linger_s=0.2)
    kept.outputs.clear()
    kept.exits.clear()
    kept.acknowledging = True
    told = await kept.exit("a")
    assert (told.code, told.lost) == (7, False)
    assert kept.outputs == {("a", 1): b"said\n"}
    assert kept.keeper.pid != before


async def test_a_keeper_whose_folder_is_gone_ends_with_all_it_keeps(kept: Kept) -> None:
    child = await kept.shell("a", "sleep 1000")
    keeper = kept.keeper.pid
    await kept.keeper.close()
    await asyncio.to_thread(shutil.rmtree, kept.home)
    await until(lambda: not runs(child.pid) and not runs(keeper))


async def test_two_agents_find_one_keeper(kept: Kept) -> None:
    others = [KeeperClient(kept.home, linger_s=0.2) for _ in range(3)]
    await asyncio.gather(*(other.connect() for other in others))
    assert len({other.pid for other in others}) == 1
    for other in others:
        await other.close()


@pytest.mark.parametrize("kept", ["cgroups"], indirect=True)
async def test_limits_hold(kept: Kept) -> None:
    require(os.geteuid() == 0, "limits need cgroups of our own")
    require("pids" in kept.cgroups.controllers, "limits need a pids controller")
    limits = Limits(pids=10, memory_bytes=64 << 20, cpus=0.5)
    await kept.shell("a", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo done", limits=limits)
    assert (await kept.exit("a")).code != 0
    await kept.start("b", sys.executable, "-Sc", "x = bytearray(200 << 20)", limits=limits)
    assert (await kept.exit("b")).code == -signal.SIGKILL


@pytest.mark.parametrize("kept", ["cgroups"], indirect=True)
async def test_usage_is_of_the_whole_tree(kept: Kept) -> None:
    require("cpuacct" in kept.cgroups.controllers or "cpu" in kept.cgroups.controllers, "no cgroups to count in")
    await kept.shell("a", "for i in 1 2 3; do sh -c 'sleep 1000' & done; echo $!; wait")
    await kept.output("a", b"\n")
    usage = kept.cgroups.usage("a")
    pids = kept.cgroups.pids("a")
    assert pids is not None
    assert len(pids) >= 4
    assert usage.cpu_s


@pytest.mark.parametrize("kept", ["cgroups"], indirect=True)
async def test_a_program_is_in_its_cgroup_from_the_first_and_the_keeper_is_not(kept: Kept) -> None:
    groups = kept.cgroups.plan("a", Limits()).groups
    require(groups, "no cgroups can be made here")
    await kept.keeper.connect()

    async def own() -> str:
        return await asyncio.to_thread(Path(f"/proc/{kept.keeper.pid}/cgroup").read_text)

    before = await own()
    await kept.start("a", "cat", "/proc/self/cgroup")
    assert await own() == before
    await kept.exit("a")
    assert f"{Path(groups[0][0]).parent.name}/process-a\n".encode() in kept.outputs["a", 1]
    assert not (Path(groups[0][0]).parent / "-keeper").exists()
