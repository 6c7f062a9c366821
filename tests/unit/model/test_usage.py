from __future__ import annotations

import pytest

from quarterdeck.cli.config import load
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.tables import ColumnRole, ColumnType, Table
from quarterdeck.model.usage import USAGE_TABLES, UsageConfig


@pytest.mark.parametrize("interval_s", [0.0, 1.0, 60.0])
def test_an_interval_or_none(interval_s: float) -> None:
    assert UsageConfig(interval_s=interval_s).interval_s == interval_s


@pytest.mark.parametrize("interval_s", [-1.0, 0.5, float("nan")])
def test_an_interval_that_is_too_short_is_refused(interval_s: float) -> None:
    with pytest.raises(BadConfig, match=r"usage\.interval_s: expected 0 \(off\) or at least 1 \(seconds\), found"):
        UsageConfig(interval_s=interval_s)


def test_an_interval_is_a_duration_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_USAGE__INTERVAL_S", "1m")
    assert load(AgentConfig, flags={}).config.usage.interval_s == 60.0
    monkeypatch.setenv("QD_AGENT_USAGE__INTERVAL_S", "10ms")
    with pytest.raises(BadConfig, match=r"usage\.interval_s: expected 0"):
        load(AgentConfig, flags={})


@pytest.mark.parametrize("table", USAGE_TABLES, ids=lambda table: table.name)
def test_every_column_is_described_and_every_number_has_a_role(table: Table) -> None:
    assert all(column.description for column in table.columns)
    assert set(table.order) <= {column.name for column in table.columns} | {"nid"}
    numbers = {
        column.name
        for column in table.columns
        if column.type is not ColumnType.STRING and column.role not in {ColumnRole.COUNTER, ColumnRole.GAUGE}
    }
    assert numbers == {"time", "interval"}
