"""Many sources feed one tally, and every interval its rows are emitted with the refused lines."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.tally import KEYS
from quarterdeck.columns import outlet as module
from quarterdeck.columns.arrow import bodies
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.stats import StatSource
from quarterdeck.model.tables import Table

SOURCE = StatSource(cmd="execute", domain="shop", name="cart")


class Sent:
    """Remembers what was emitted and lost."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.lost: list[Loss] = []

    def emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        assert (table.name, module) == ("stats", "")
        assert body
        self.rows.append(rows)
        self.lost += losses


@pytest.fixture
def outlet() -> Sent:
    return Sent()


@pytest.fixture
def aggregator(outlet: Sent) -> Iterator[Aggregator]:
    aggregator = Aggregator(Outlet(emit=outlet.emit, lose=outlet.lost.append))
    yield aggregator
    aggregator.close()


def flush(aggregator: Aggregator) -> int:
    return aggregator.flush(gid=1, nid=7, time_ns=5, interval_ns=10**10)


def test_an_interval_in_which_nothing_was_said_emits_nothing(aggregator: Aggregator, outlet: Sent) -> None:
    assert flush(aggregator) == 0
    aggregator.feed(SOURCE, b"a:1|c")
    assert [flush(aggregator), flush(aggregator)] == [1, 0]
    assert (outlet.rows, outlet.lost) == ([1], [])


def test_processes_of_one_domain_and_name_share_their_keys(aggregator: Aggregator) -> None:
    aggregator.feed(SOURCE, b"a:1|c")
    aggregator.feed(StatSource(cmd="execute", domain="shop", name="cart"), b"a:1|c")
    aggregator.feed(StatSource(cmd="execute", domain="shop", name="desk"), b"a:1|g")
    assert flush(aggregator) == 2


def test_a_process_that_comes_back_after_its_keys_were_forgotten_is_known_again(aggregator: Aggregator) -> None:
    for number in range(3):
        aggregator.feed(StatSource(cmd="execute", name=str(number)), b"bad")
        aggregator.feed(SOURCE, b"a:1|c")
        assert flush(aggregator) == 1


def test_what_is_refused_is_lost_with_a_reason_and_one_example_is_told(
    aggregator: Aggregator, outlet: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    aggregator.feed(SOURCE, b"nonsense\na:1|c\na:1|g\nmore nonsense")
    with caplog.at_level(logging.WARNING):
        flush(aggregator)
    assert [(loss.table, loss.reason, loss.rows, loss.time_ns) for loss in outlet.lost] == [
        ("stats", LossReason.BAD_RECORD, 2, 5),
        ("stats", LossReason.BAD_RECORD, 1, 5),
    ]
    assert [loss.detail for loss in outlet.lost] == ["lines that are not metrics", "lines whose key is of another type"]
    assert "2 statsd lines are not metrics; the first: nonsense" in caplog.text
    assert "1 statsd lines have a key of another type; the first: a:1|g" in caplog.text
    aggregator.feed(SOURCE, b"a:1|c")
    assert flush(aggregator) == 1, "the key goes on with its first type"
    assert len(outlet.lost) == 2


def test_losses_leave_also_when_no_row_does(aggregator: Aggregator, outlet: Sent) -> None:
    aggregator.feed(SOURCE, b"nonsense")
    assert flush(aggregator) == 0
    assert [(loss.reason, loss.rows) for loss in outlet.lost] == [(LossReason.BAD_RECORD, 1)]


def test_when_there_is_no_room_for_keys_the_idle_ones_go_at_once(aggregator: Aggregator, outlet: Sent) -> None:
    aggregator.feed(SOURCE, b"".join(b"old%d:1|c\n" % number for number in range(KEYS)))
    flush(aggregator)
    aggregator.feed(SOURCE, b"new:1|c")
    assert flush(aggregator) == 0
    assert [(loss.reason, loss.rows) for loss in outlet.lost] == [(LossReason.MAP_FULL, 1)]
    aggregator.feed(SOURCE, b"new:1|c")
    assert flush(aggregator) == 1


def test_threads_feed_it_while_it_is_flushed(aggregator: Aggregator, outlet: Sent) -> None:
    lines, batches = b"".join(b"k%d:1|c\nt%d:5|ms\n" % (n, n) for n in range(20)), 200

    def feed() -> None:
        for _ in range(batches):
            aggregator.feed(SOURCE, lines)

    threads = [threading.Thread(target=feed) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        flush(aggregator)
    for thread in threads:
        thread.join()
    flush(aggregator)
    assert set(outlet.rows) <= {40}
    assert outlet.lost == []


def test_an_interval_that_is_larger_than_a_body_leaves_in_several(
    aggregator: Aggregator, outlet: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "bodies", partial(bodies, limit_bytes=1000))
    aggregator.feed(SOURCE, b"\n".join(b"key%d:1|c" % number for number in range(100)) + b"\nno metric")
    assert flush(aggregator) == sum(outlet.rows) == 100
    assert len(outlet.rows) > 10
    assert [(loss.reason, loss.rows) for loss in outlet.lost] == [(LossReason.BAD_RECORD, 1)]
