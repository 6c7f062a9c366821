"""Every measurement after the first sends rows; a table that cannot be read does not affect the others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from quarterdeck.agent.commands.disks import Disks
from quarterdeck.agent.usage.collectors import Files, InstanceUse
from quarterdeck.agent.usage.usage import Usage, usage_batch
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.modules import InstanceStats
from quarterdeck.model.usage import NIC_USAGE_TABLE, UsageConfig
from tests.unit.agent.usage.kernels import NET_DEV, NEW_STAT, new_kernel, write
from tests.unit.agent.usage.test_collectors import measured

USE = InstanceUse(module="execs", since=1.0, stats=InstanceStats(instance_id="i"))


class Sent:
    """The rows that were sent, and the losses."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.losses: list[Loss] = []
        self.outlet = Outlet(
            emit=lambda table, rows, *_: self.rows.update({table.name: self.rows.get(table.name, 0) + rows}),
            lose=self.losses.append,
        )


def usage(root: Path, sent: Sent) -> Usage:
    return Usage(
        UsageConfig(),
        outlet=sent.outlet,
        instances=lambda: [USE],
        files=Files(root),
        disks=Disks(measure=measured),
    )


def test_the_first_measurement_begins_an_interval_and_the_second_sends_its_rows(tmp_path: Path) -> None:
    new_kernel(tmp_path)
    sent = Sent()
    mine = usage(tmp_path, sent)
    mine.measure()
    assert sent.rows == {}
    write(tmp_path, {"proc/stat": NEW_STAT.replace("cpu  1000", "cpu  1001")})
    mine.measure()
    assert sent.rows == {"host_usage": 1, "host_pressure": 3, "disk_usage": 4, "disk_io": 1, "nic_usage": 2}
    assert sent.losses == []


def test_a_table_without_its_file_has_no_rows_is_logged_once_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_kernel(tmp_path)
    sent = Sent()
    mine = usage(tmp_path, sent)
    mine.measure()
    with caplog.at_level(logging.WARNING):
        (tmp_path / "proc/net/dev").unlink()
        mine.measure()
        write(tmp_path, {"proc/net/dev": NET_DEV.replace("eth0:1000", "eth0:x")})
        mine.measure()
    assert "nic_usage" not in sent.rows
    assert sent.rows["disk_io"] == 2
    assert [each.message.split(" has")[0] for each in caplog.records if "table" in each.message] == ["table nic_usage"]
    write(tmp_path, {"proc/net/dev": NET_DEV})
    mine.measure()
    assert "nic_usage" not in sent.rows  # it begins again
    mine.measure()
    assert sent.rows["nic_usage"] == 2


def test_rows_that_fit_no_column_are_counted_as_lost() -> None:
    sent = Sent()
    row = {column.name: -1 for column in NIC_USAGE_TABLE.columns}
    sent.outlet.send(NIC_USAGE_TABLE, lambda: usage_batch(NIC_USAGE_TABLE, [row], time_ns=1, interval_ns=1), rows=1)
    assert [(loss.table, loss.reason, loss.rows) for loss in sent.losses] == [("nic_usage", LossReason.BAD_RECORD, 1)]
