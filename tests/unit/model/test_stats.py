import pytest

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


def test_intervals_are_seconds() -> None:
    assert StatsConfig().flush_s == 10.0


def test_every_column_says_what_it_is() -> None:
    assert all(column.description for column in STATS_TABLE.columns)
    assert set(STATS_TABLE.order) <= {column.name for column in STATS_TABLE.columns} | {"nid"}
