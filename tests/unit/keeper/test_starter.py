"""How the keeper starts programs: by vfork where that is enough, by fork where it is not; the same for the program."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.keeper import starter as module
from quarterdeck.keeper.child import Child
from quarterdeck.keeper.starter import Refused, Starter
from quarterdeck.keeper.tree import Tree

ROOT = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n23 22 0:5 / /proc rw - proc proc rw\n"


def mounted(monkeypatch: pytest.MonkeyPatch, mounts: bytes) -> None:
    def contents(_: str) -> bytes:
        return mounts

    monkeypatch.setattr(module, "contents", contents)


@pytest.fixture
def starter(monkeypatch: pytest.MonkeyPatch) -> Starter:
    mounted(monkeypatch, ROOT)
    monkeypatch.chdir(Path.cwd())  # to be gone back to: a starter ends in /
    return Starter()


def header(*argv: str, **more: Any) -> dict[str, Any]:
    return {"id": "a", "argv": list(argv), "env": {"PATH": "/nowhere:/usr/bin:/bin"}, **more}


def test_what_only_a_copy_of_the_keeper_can_do_is_forked(starter: Starter) -> None:
    assert starter.may_vfork(header("true"), Tree("a", []))
    assert not starter.may_vfork(header("true", user={"uid": 1, "gid": 1, "groups": []}), Tree("a", []))
    limited = Tree.of("a", [["/sys/fs/cgroup/quarterdeck-x/a", [["pids.max", "10"]]]])
    assert not starter.may_vfork(header("true"), limited)
    nowhere = Tree.of("a", [["/not/a/cgroup/a", []]])
    assert not starter.may_vfork(header("true"), nowhere)


@pytest.mark.parametrize("line", [b"/srv rw - nfs4 server:/ rw", b"/home rw - fuse.sshfs x rw", b"/m rw - 9p x rw"])
def test_nothing_is_vforked_while_something_is_mounted_that_may_hang(
    starter: Starter, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    mounted(monkeypatch, ROOT + b"40 22 0:40 / " + line + b"\n")
    starter.look()
    assert not starter.may_vfork(header("true"), Tree("a", []))
    mounted(monkeypatch, ROOT + b"40 22 0:40 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n")
    starter.look()
    assert starter.may_vfork(header("true"), Tree("a", []))


def run(starter: Starter, way: str, *argv: str, **more: Any) -> tuple[bytes, dict[str, Any] | None]:
    """What it printed, or why it could not be started."""
    out, out_write = os.pipe()
    streams = (starter.null, out_write, out_write)
    try:
        if way == "vfork":
            pid = starter.vfork(header(*argv, **more), Tree("a", []), streams)
        else:
            failing, failing_write = os.pipe()
            pid = starter.fork(header(*argv, **more), Tree("a", []), streams, failing_write)
            os.close(failing_write)
            with os.fdopen(failing, "rb") as file:
                if text := file.read():
                    os.waitpid(pid, 0)
                    return b"", module.json.loads(text)
    except Refused as refused:
        return b"", refused.told()
    finally:
        os.close(out_write)
        with os.fdopen(out, "rb") as file:
            printed = file.read()
    os.waitpid(pid, 0)
    return printed, None


@pytest.mark.parametrize("way", ["vfork", "fork"])
def test_both_ways_are_the_same_for_the_program(starter: Starter, way: str, tmp_path: Path) -> None:
    script = 'pwd; echo $QD_PROCESS; test "$(ps -o sid= -p $$ | tr -d " ")" = $$ && echo leads; cat'
    printed, _ = run(starter, way, "sh", "-c", script, cwd=str(tmp_path))
    assert printed.decode().splitlines() == [str(tmp_path), "a", "leads"]
    assert Path.cwd() == Path("/") or way == "fork"


def test_nothing_is_started_from_another_programs_cgroup(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child({"id": "b", "mark": "b"}, "/no/such/folder/1")
    monkeypatch.setattr(starter, "_away", {"/not/a/cgroup/quarterdeck-x/process-a"})
    with pytest.raises(Refused, match="cgroup"):
        child.spawn(header("true"), b"", starter)
    monkeypatch.setattr(starter, "_away", set[str]())
    child.spawn(header("true"), b"", starter)
    os.waitpid(child.pid, 0)
    for descriptor in (*child.outputs, child.failing):
        if descriptor >= 0:
            os.close(descriptor)


@pytest.mark.parametrize("way", ["vfork", "fork"])
def test_both_ways_say_what_is_wrong(starter: Starter, way: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("true")
    text = tmp_path / "text"
    text.write_text("true")
    text.chmod(0o755)
    cases: list[tuple[tuple[str, ...], dict[str, Any], str, int]] = [
        (("no-such-program",), {}, "program", errno.ENOENT),
        (("/no/such/program",), {}, "program", errno.ENOENT),
        ((str(plain),), {}, "program", errno.EACCES),
        (("plain",), {"env": {"PATH": str(tmp_path)}}, "program", errno.EACCES),
        ((str(text),), {}, "program", errno.ENOEXEC),
        (("true",), {"cwd": "/no/such/folder"}, "folder", errno.ENOENT),
        (("true",), {"cwd": str(plain)}, "folder", errno.ENOTDIR),
        (("true", "nul\0"), {}, "program", 0),
    ]
    for argv, more, stage, number in cases:
        _, failure = run(starter, way, *argv, **more)
        assert failure is not None, argv
        assert (failure["stage"], failure["errno"]) == (stage, number), argv


def test_a_cgroup_is_found_in_its_own_hierarchy(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/self/cgroup": b"3:name=systemd:/\n2:cpu,cpuacct:/docker/x/agent\n0::/system.slice/q.service/agent\n",
        "/proc/self/mountinfo": b"22 1 254:0 / / rw - ext4 /dev/root rw\n"
        b"30 22 0:30 / /sys/fs/cgroup rw - tmpfs t rw\n"
        b"31 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n"
        b"32 30 0:32 /docker/x /sys/fs/cgroup/cpu rw - cgroup c rw,cpu,cpuacct\n",
    }
    monkeypatch.setattr(module, "contents", files.__getitem__)
    own = module._own_cgroup  # pyright: ignore[reportPrivateUsage]
    assert own("/sys/fs/cgroup/unified/quarterdeck-1") == "/sys/fs/cgroup/unified/system.slice/q.service/agent"
    assert own("/sys/fs/cgroup/cpu/quarterdeck-1") == "/sys/fs/cgroup/cpu/agent"
    with pytest.raises(ValueError, match="max"):
        own("/elsewhere")
