import pytest

from quarterdeck.cli.config import load
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.stats import STATS_TABLE, StatsConfig, StatSource


def test_a_key_is_prefixed_as_documented() -> None:
    full = StatSource(cmd="execute", domain="shop", name="cart")
    assert full.prefix(gid=3, nid=7) == "3.7.execute.shop.cart."
    assert StatSource(cmd="execute").prefix(gid=3, nid=7) == "3.7.execute.unknown.unknown."


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.05, float("nan")])
def test_an_interval_that_would_emit_nothing_or_too_often_is_refused(seconds: float) -> None:
    with pytest.raises(BadConfig, match="expected at least"):
        StatsConfig(flush_s=seconds)


@pytest.mark.parametrize("address", ["8125", "localhost", "localhost:", ":8125", "localhost:http", "localhost:65536"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadConfig, match="expected host:port"):
        StatsConfig(statsd_udp=address)


def test_a_wrong_address_in_the_environment_is_refused_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_STATS__STATSD_UDP", "nowhere")
    with pytest.raises(BadConfig, match=r"stats\.statsd_udp: expected host:port, found 'nowhere'\."):
        load(AgentConfig, flags={})


def test_intervals_are_seconds() -> None:
    assert StatsConfig().flush_s == 10.0


def test_every_column_says_what_it_is() -> None:
    assert all(column.description for column in STATS_TABLE.columns)
    assert set(STATS_TABLE.order) <= {column.name for column in STATS_TABLE.columns} | {"nid"}
