"""The main job: deploy a module, and a moment later ask in SQL what the kernel did."""

from __future__ import annotations

import subprocess
import uuid

import pytest

from quarterdeck.model.errors import BadInput, BadQuery, BadSetting, Conflict, InUse, NoSuchNodes, NotFound
from quarterdeck.model.modules import InstanceState, ModuleState
from quarterdeck.model.nodes import Selector
from tests.fleet import Fleet, eventually


@pytest.fixture(scope="module", autouse=True)
def deployed(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web"})
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "one")


def test_what_the_kernel_did_is_there_in_sql(fleet: Fleet) -> None:
    mark = uuid.uuid4().hex
    subprocess.run(["/bin/sh", "-c", f"exit 7 # {mark}"], check=False)
    rows = fleet.wait_rows(f"SELECT pid, filename, args, gid, nid FROM execs WHERE args LIKE '%{mark}%'")
    pid, filename, args, gid, nid = rows[0]
    assert len(rows) == 1
    assert (filename, args) == ("/bin/sh", f"/bin/sh -c exit 7 # {mark}")
    assert (gid, nid) == (1, 1)
    assert fleet.wait_rows(f"SELECT exit_code FROM exits WHERE pid = {pid}") == [[7]]


def test_the_tail_shows_rows_as_they_are_stored(fleet: Fleet) -> None:
    mark = uuid.uuid4().hex
    rows = fleet.client.tables.tail("execs", where=f"args LIKE '%{mark}%'")
    process = subprocess.Popen(["/bin/sh", "-c", f"sleep 1; /bin/true {mark}; sleep 30"])
    try:
        first = next(rows)
        names = [column.name for column in first.columns]
        assert mark in str(first.rows[0][names.index("args")])
    finally:
        process.kill()
        process.wait()


def test_deploying_again_changes_nothing_and_a_built_in_module_is_not_deleted(fleet: Fleet) -> None:
    before = fleet.instances("execs")["one"].status.since
    assert fleet.client.modules.deploy("execs").desire_state is ModuleState.DEPLOYED
    with pytest.raises(Conflict, match="built in"):
        fleet.client.modules.remove("execs")
    assert fleet.instances("execs")["one"].status.since == before


def test_a_setting_reaches_the_kernel_and_a_wrong_one_is_refused_by_name(fleet: Fleet) -> None:
    with pytest.raises(BadSetting, match="only_uit") as caught:
        fleet.client.modules.deploy("execs", settings={"only_uit": 1})
    assert "only_uid" in str(caught.value)
    with pytest.raises(BadSetting):
        fleet.client.modules.deploy("execs", settings={"only_uid": "everyone"})
    fleet.client.modules.deploy("execs", settings={"only_uid": 4_000_000_000})
    eventually(lambda: fleet.client.modules.get("execs").settings == {"only_uid": 4_000_000_000}, "the setting")
    fleet.wait_running("execs", "one")
    mark = uuid.uuid4().hex
    subprocess.run(["/bin/true", mark], check=True)
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "one")
    after = uuid.uuid4().hex
    eventually(lambda: _ran_and_seen(fleet, after), "rows without the setting")
    assert fleet.rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'") == []


def _ran_and_seen(fleet: Fleet, mark: str) -> bool:
    subprocess.run(["/bin/true", mark], check=True)
    return bool(fleet.rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'"))


def test_undeploying_stops_it_and_keeps_its_rows(fleet: Fleet) -> None:
    fleet.client.modules.deploy("oom_kills")
    fleet.wait_running("oom_kills", "one")
    fleet.client.modules.undeploy("oom_kills")
    eventually(lambda: not fleet.instances("oom_kills"), "its instance to go")
    assert fleet.client.modules.get("oom_kills").desire_state is ModuleState.UNDEPLOYED
    assert fleet.rows("SELECT count() FROM oom_kills") == [[0]]


def test_a_module_of_ones_own_from_source_to_rows(fleet: Fleet) -> None:
    module = fleet.client.modules.create(
        {
            "module.toml": b'name = "uptime"\n[[table]]\nname = "uptime"\nfrom = "beats"\nrow = "beat"\n',
            "uptime.bpf.c": _SOURCE,
        }
    )
    assert [column.name for column in module.build.sources[0].table.columns] == ["time", "pid", "beat"]
    fleet.client.modules.deploy("uptime", Selector(labels={"role": "web"}))
    rows = fleet.wait_rows("SELECT beat, pid FROM uptime ORDER BY beat LIMIT 3")
    assert [row[0] for row in rows[:1]] == [0]
    assert fleet.instances("uptime")["one"].status.state is InstanceState.SUCCEEDED
    with pytest.raises(InUse):
        fleet.client.modules.remove("uptime")
    fleet.client.modules.undeploy("uptime")
    fleet.client.modules.remove("uptime")
    with pytest.raises(NotFound):
        fleet.client.modules.get("uptime")


_SOURCE = b"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct beat { u32 pid; u32 beat; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } beats SEC(".maps");
u32 count;
SEC("tp_btf/sched_process_exit")
int on_exit(void *ctx)
{
    struct beat *b = bpf_ringbuf_reserve(&beats, sizeof(*b), 0);
    if (!b) return 0;
    b->pid = bpf_get_current_pid_tgid() >> 32;
    b->beat = __sync_fetch_and_add(&count, 1);
    bpf_ringbuf_submit(b, 0);
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


_BROKEN = b'name = "broken"\n[[table]]\nname = "broken"\nfrom = "events"\n'


def test_a_module_reads_no_file_of_the_servers_machine(fleet: Fleet) -> None:
    token = next(fleet.server.home.rglob("admin.token"))
    assert (secret := token.read_text().strip())
    source = f'#include "{token}"\n'.encode()
    with pytest.raises(BadInput) as caught:
        fleet.client.modules.create({"module.toml": _BROKEN, "broken.bpf.c": source})
    assert secret not in "\n".join((str(caught.value), *caught.value.lines))
    with pytest.raises(BadInput, match=r"not found|Permission denied"):
        fleet.client.modules.create({"module.toml": _BROKEN, "broken.bpf.c": b'#include "/dev/zero"\n'})


def test_mistakes_are_answered_in_words(fleet: Fleet) -> None:
    with pytest.raises(NoSuchNodes, match="role db"):
        fleet.client.modules.deploy("opens", Selector(labels={"role": "db"}))
    with pytest.raises(NotFound, match="exec"):
        fleet.client.modules.deploy("exec")
    with pytest.raises(BadInput, match="sorce"):
        fleet.client.modules.create({"module.toml": b'name = "x"\nsorce = "x.c"\n', "x.bpf.c": b""})
    with pytest.raises(BadInput) as caught:
        fleet.client.modules.create({"module.toml": _BROKEN, "broken.bpf.c": b"int x = ;\n"})
    assert any("broken.bpf.c:1" in line for line in caught.value.lines)
    for sql in (
        "SELEC 1",
        "DROP TABLE execs",
        "INSERT INTO execs (pid) VALUES (1)",
        "SELECT * FROM file('/etc/passwd')",
    ):
        with pytest.raises(BadQuery):
            fleet.client.queries.run(sql)
    assert fleet.rows("SELECT 1") == [[1]], "the server goes on"
