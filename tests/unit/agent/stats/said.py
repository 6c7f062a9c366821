"""The content of a tally, in a form that a test can compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from quarterdeck.agent.stats.rows import stats_rows
from quarterdeck.agent.stats.tally import Tally
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Pairs, Values, Varying
from quarterdeck.model.stats import STATS_TABLE, StatKind, StatSource

SOURCE = StatSource(cmd="execute", domain="shop", name="cart")
PREFIX = "1.7.execute.shop.cart."
KINDS = tuple(StatKind)


def rows(tally: Tally, *, interval_s: float = 10.0) -> dict[str, dict[str, Any]]:
    """The interval's rows by the name that was sent; source 1 is SOURCE."""
    interval_ns = round(interval_s * 1e9)
    batch = stats_rows(tally, {1: SOURCE}, gid=1, nid=7, time_ns=99, interval_ns=interval_ns)
    return {row.pop("key").removeprefix(PREFIX): row for row in as_rows(batch)}


def as_rows(batch: Batch) -> list[dict[str, Any]]:
    columns = {column.name: as_list(batch.columns[column.name]) for column in STATS_TABLE.columns}
    columns["kind"] = [KINDS[number] for number in columns["kind"]]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def as_list(values: Values) -> list[Any]:
    if isinstance(values, Varying) and isinstance(values.items, Pairs):
        keys, mapped = as_list(values.items.keys), as_list(values.items.values)
        pairs = list(zip(keys, mapped, strict=True))
        return [dict(pairs[a:b]) for a, b in zip(values.offsets, values.offsets[1:], strict=False)]
    if isinstance(values, Varying):
        assert isinstance(values.items, np.ndarray)
        text = values.items.tobytes()
        return [text[a:b].decode() for a, b in zip(values.offsets, values.offsets[1:], strict=False)]
    assert not isinstance(values, Pairs)
    return values.tolist()
