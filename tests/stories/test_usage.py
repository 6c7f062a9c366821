"""A user asks by SQL what hosts and modules used; nothing is measured where that is switched off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.usage import USAGE_TABLES
from tests.fleet import Fleet

ON = {"QD_AGENT_USAGE__INTERVAL_S": "1s"}
OFF = {"QD_AGENT_USAGE__INTERVAL_S": "0"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as fleet:
        yield fleet


def test_hosts_and_modules_have_usage_over_time(fleet: Fleet) -> None:
    fleet.join("off", environment=OFF)
    fleet.join("on", environment=ON)
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "on", "off")
    on, off = fleet.node("on"), fleet.node("off")
    assert on is not None
    assert off is not None
    fleet.wait_rows(f"SELECT 1 FROM host_usage WHERE gid = {on.gid} AND nid = {on.nid} HAVING count() >= 2")
    shares = "cpu_user + cpu_nice + cpu_system + cpu_irq + cpu_iowait + cpu_steal + cpu_idle"
    assert fleet.rows(f"SELECT count() FROM host_usage WHERE abs({shares} - 1) > 0.001") == [[0]]
    ((size,),) = fleet.wait_rows("SELECT DISTINCT size FROM disk_usage WHERE mount_point = '/'")
    status = os.statvfs("/")
    assert size == status.f_blocks * status.f_frsize
    fleet.client.commands.create(CreateCommand(cmd="execute", args={"cmd": "true"}), wait_s=30)  # which `execs` sees
    fleet.wait_rows(
        "SELECT 1 FROM module_usage WHERE module = 'execs' "
        "HAVING sum(kernel_time) > 0 AND sum(runs) > 0 AND max(memory) > 0"
    )
    ((cost,),) = fleet.rows("SELECT max(kernel_time / interval) FROM module_usage")
    assert isinstance(cost, float)
    assert cost >= 0
    for table in USAGE_TABLES:
        assert fleet.rows(f"SELECT count() FROM {table.name} WHERE nid = {off.nid}") == [[0]]
    names = ", ".join(f"'{table.name}'" for table in USAGE_TABLES)
    assert fleet.rows(f"SELECT count() FROM losses WHERE table IN ({names})") == [[0]]
