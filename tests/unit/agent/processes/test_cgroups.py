"""Which cgroups are found, what a process gets of them and what they counted: on trees of plain files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quarterdeck.agent.processes.cgroups import Cgroups, CgroupVersion, TreeUsage
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.processes import Limits

ALL = Limits(memory_bytes=1000, cpus=0.5, pids=10)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")


def unified(folder: Path, controllers: str) -> Path:
    """A folder of version 2 that gives these to those below it."""
    folder.mkdir(parents=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def detect(tmp_path: Path, mounts: str, own: str) -> Cgroups:
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cgroup").write_text(own)
    return Cgroups.detect(tmp_path, mounts=tmp_path / "mountinfo", own=tmp_path / "cgroup")


def mount(place: Path, *, kind: str = "cgroup", options: str = "rw", root: str = "/") -> str:
    place.mkdir(parents=True, exist_ok=True)
    return f"32 31 0:29 {root} {place} rw,relatime - {kind} {kind} {options}\n"


def test_version_2_with_controllers_writes_all_limits_in_one_folder(tmp_path: Path) -> None:
    cgroups = Cgroups({"": unified(tmp_path / "ours", "cpu memory pids\n")})
    assert (cgroups.version, cgroups.controllers) == (CgroupVersion.V2, ("cpu", "memory", "pids"))
    plan = cgroups.plan("a", ALL)
    files = (("memory.max", "1000"), ("cpu.max", "50000 100000"), ("pids.max", "10"))
    assert plan.groups == ((str(tmp_path / "ours/process-a"), files),)
    assert cgroups.plan("a", Limits()).groups == ((str(tmp_path / "ours/process-a"), ()),)


def test_version_2_without_controllers_holds_the_tree_and_says_what_it_cannot_limit(tmp_path: Path) -> None:
    cgroups = Cgroups({"": unified(tmp_path / "ours", "")})
    assert cgroups.plan("a", Limits()).groups == ((str(tmp_path / "ours/process-a"), ()),)
    with pytest.raises(Unavailable, match="No cgroup controller for memory and cpu and pids"):
        cgroups.plan("a", ALL)


def test_a_controller_that_is_there_but_not_given_is_not_used(tmp_path: Path) -> None:
    ours = unified(tmp_path / "ours", "pids")
    (ours / "cgroup.controllers").write_text("cpu memory pids")
    cgroups = Cgroups({"": ours})
    assert cgroups.controllers == ("pids",)
    assert cgroups.plan("a", Limits(pids=10)).groups == ((str(ours / "process-a"), (("pids.max", "10"),)),)
    with pytest.raises(Unavailable, match="for memory can"):
        cgroups.plan("a", Limits(memory_bytes=1000, pids=10))
    assert "cgroups v2" in cgroups.check("pids")
    with pytest.raises(Unavailable, match="for cpu can"):
        cgroups.check("cpu")


def test_version_1_has_a_folder_for_each_controller_and_the_freezer_first(tmp_path: Path) -> None:
    names = ("memory", "cpu", "pids", "freezer")
    cgroups = Cgroups({name: tmp_path / name for name in names})
    assert (cgroups.version, cgroups.controllers) == (CgroupVersion.V1, tuple(sorted(names)))
    plan = cgroups.plan("a", ALL)
    assert plan.groups[0] == (str(tmp_path / "freezer/process-a"), ())
    assert dict(plan.groups) == {
        str(tmp_path / "freezer/process-a"): (),
        str(tmp_path / "pids/process-a"): (("pids.max", "10"),),
        str(tmp_path / "memory/process-a"): (("memory.limit_in_bytes", "1000"),),
        str(tmp_path / "cpu/process-a"): (("cpu.cfs_quota_us", "50000"),),
    }


def test_controllers_that_are_mounted_together_share_a_folder(tmp_path: Path) -> None:
    plan = Cgroups({"cpu": tmp_path, "cpuacct": tmp_path}).plan("a", Limits(cpus=2))
    assert plan.groups == ((str(tmp_path / "process-a"), (("cpu.cfs_quota_us", "200000"),)),)


def test_both_versions_kill_with_2_and_limit_with_1(tmp_path: Path) -> None:
    cgroups = Cgroups({"memory": tmp_path / "memory", "": unified(tmp_path / "ours", "")})
    assert cgroups.version is CgroupVersion.HYBRID
    plan = cgroups.plan("a", Limits(memory_bytes=1000))
    assert plan.groups == (
        (str(tmp_path / "ours/process-a"), ()),
        (str(tmp_path / "memory/process-a"), (("memory.limit_in_bytes", "1000"),)),
    )


def test_none_has_no_group_and_says_why() -> None:
    cgroups = Cgroups({}, reason="the test has none")
    assert (cgroups.version, cgroups.controllers) == (CgroupVersion.NONE, ())
    assert "the test has none" in str(cgroups)
    assert cgroups.plan("a", Limits()).groups == ()
    with pytest.raises(Unavailable, match="the test has none"):
        cgroups.plan("a", ALL)
    assert cgroups.pids("a") is None
    assert cgroups.usage("a") == TreeUsage()


def test_both_versions_say_how_many_were_killed_for_memory(tmp_path: Path) -> None:
    written(tmp_path / "ours/process-a", memory__events="low 0\noom 5\noom_kill 2\noom_group_kill 0\n")
    written(tmp_path / "memory/process-b", memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert Cgroups({"": tmp_path / "ours"}).oom_kills("a") == 2
    cgroups = Cgroups({"memory": tmp_path / "memory", "": tmp_path / "ours"})
    assert (cgroups.oom_kills("b"), cgroups.oom_kills("none")) == (3, 0)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".", "..", "x" * 300, "\n", "ä"])
def test_no_id_leaves_our_folder(tmp_path: Path, name: str) -> None:
    ((path, _),) = Cgroups({"": unified(tmp_path / "ours", "")}).plan(name, Limits()).groups
    assert Path(path).parent == tmp_path / "ours"
    assert Path(path).name.removeprefix("hashed-").isalnum()


#: control files of both versions, and how the folders of ours are called
TAKEN = ["tasks", "cgroup.procs", "notify_on_release", "memory.limit_in_bytes", "cpu.max", "pids.current", "hashed-0"]


@pytest.mark.parametrize("name", TAKEN)
def test_no_id_is_the_name_of_a_control_file_or_of_another_process(tmp_path: Path, name: str) -> None:
    cgroups = Cgroups({"": unified(tmp_path / "ours", "")})
    ((path, _),) = cgroups.plan(name, Limits()).groups
    assert Path(path).name == f"process-{name}", "no control file has a dash in its name"
    ((other, _),) = cgroups.plan("service/web", Limits()).groups
    ((same, _),) = cgroups.plan(Path(other).name, Limits()).groups
    assert same != other


def test_detect_finds_version_2_beside_the_agents_own(tmp_path: Path) -> None:
    unit = tmp_path / "fs/system.slice/quarterdeck.service"
    written(unit, cgroup__controllers="cpu memory\n")
    own = "0::/system.slice/quarterdeck.service/agent\n"
    cgroups = detect(tmp_path, mount(tmp_path / "fs", kind="cgroup2"), own)
    assert (cgroups.version, cgroups.reason) == (CgroupVersion.V2, "")
    assert "+" in (unit / "cgroup.subtree_control").read_text()
    ((path, _),) = cgroups.plan("a", Limits()).groups
    assert Path(path).parent.parent == unit
    assert Path(path).parent.is_dir()


def test_detect_finds_version_1_by_its_controllers(tmp_path: Path) -> None:
    mounts = mount(tmp_path / "memory", options="rw,memory") + mount(tmp_path / "both", options="rw,cpu,cpuacct")
    mounts += mount(tmp_path / "systemd", options="rw,name=systemd")
    cgroups = detect(tmp_path, mounts, "4:memory:/\n3:cpu,cpuacct:/\n1:name=systemd:/\n")
    assert (cgroups.version, cgroups.controllers) == (CgroupVersion.V1, ("cpu", "cpuacct", "memory"))
    assert not list((tmp_path / "systemd").iterdir())


def test_detect_needs_no_freezer_beside_version_2(tmp_path: Path) -> None:
    mounts = mount(tmp_path / "fs", kind="cgroup2") + mount(tmp_path / "freezer", options="rw,freezer")
    own = "2:freezer:/\n0::/\n"
    assert detect(tmp_path, mounts, own).version is CgroupVersion.V2
    assert not list((tmp_path / "freezer").iterdir())
    first = detect(tmp_path, mounts.splitlines()[1] + "\n", own).plan("a", Limits()).groups[0][0]
    Path(first).mkdir()  # left by an agent that had the freezer alone
    assert detect(tmp_path, mounts, own).version is CgroupVersion.V2


def test_detect_stays_below_what_is_mounted(tmp_path: Path) -> None:
    cgroups = detect(tmp_path, mount(tmp_path / "fs", kind="cgroup2", root="/pod"), "0::/pod-other/x\n")
    ((path, _),) = cgroups.plan("a", Limits()).groups
    assert Path(path).parent.parent == tmp_path / "fs"


def test_detect_says_what_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "fs").touch()  # a folder in which nothing can be made
    mounts = f"32 31 0:29 / {tmp_path / 'fs'} rw - cgroup2 cgroup2 rw\n"
    cgroups = detect(tmp_path, mounts, "0::/\n")
    assert cgroups.version is CgroupVersion.NONE
    assert str(tmp_path / "fs") in cgroups.reason
    assert detect(tmp_path, "", "").reason == "no cgroups are mounted"


def test_usage_of_version_2(tmp_path: Path) -> None:
    cgroups = Cgroups({"": unified(tmp_path / "ours", "memory")})
    written(
        tmp_path / "ours/process-a",
        cpu__stat="usage_usec 1500000\nuser_usec 1\n",
        memory__current="4096\n",
        memory__peak="8192\n",
        io__stat="8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
        pids__current="3\n",
        cgroup__procs="5\n6\n",
    )
    written(tmp_path / "ours/process-a/below", cgroup__procs="7\n")
    assert cgroups.pids("a") == (5, 6, 7)
    assert cgroups.usage("a") == TreeUsage(
        cpu_s=1.5, memory_bytes=4096, memory_peak_bytes=8192, read_bytes=11, written_bytes=22, pids=3
    )


def test_usage_of_version_1(tmp_path: Path) -> None:
    names = ("memory", "cpuacct", "blkio", "pids")
    cgroups = Cgroups({name: tmp_path / name for name in names})
    written(tmp_path / "memory/process-a", memory__usage_in_bytes="4096\n", memory__max_usage_in_bytes="8192\n")
    written(tmp_path / "cpuacct/process-a", cpuacct__usage="2500000000\n")
    written(
        tmp_path / "blkio/process-a",
        blkio__throttle__io_service_bytes="8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
    )
    written(tmp_path / "pids/process-a", pids__current="3\n", cgroup__procs="5\n")
    assert cgroups.pids("a") == (5,)
    assert cgroups.usage("a") == TreeUsage(
        cpu_s=2.5, memory_bytes=4096, memory_peak_bytes=8192, read_bytes=10, written_bytes=20, pids=3
    )


def test_a_tree_that_is_gone_has_used_nothing_that_is_known(tmp_path: Path) -> None:
    cgroups = Cgroups({"": unified(tmp_path / "ours", "")})
    assert cgroups.pids("a") == ()
    assert cgroups.usage("a") == TreeUsage()
