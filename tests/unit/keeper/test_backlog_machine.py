"""A producer that waits while it is full loses nothing, whatever the sizes, the pace of who reads and the disk."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quarterdeck.keeper import backlog as backlog_module
from quarterdeck.keeper.backlog import LOST, PIECE_BYTES, PUT_BYTES, Backlog, Record

#: what a pipe gives: mostly all that was asked for, or a line; and what lies at the edges
SIZES = st.one_of(
    st.integers(1, PUT_BYTES),
    st.sampled_from([1, 80, 4095, 4096, 4097, PIECE_BYTES - 1, PUT_BYTES - 1, PUT_BYTES]),
)
LIMITS = st.sampled_from([0, 1, PIECE_BYTES, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 21, 5 * PIECE_BYTES - 1, 1 << 20])


class Producer(RuleBasedStateMachine):
    """Puts while there is room; takes, acknowledges, connects again, and hands over to the next keeper."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.limit = 4 * PIECE_BYTES
        self.backlog = Backlog(str(self.folder / "a"), self.limit)
        self.put = bytearray()
        self.stored = bytearray()  # what was acknowledged
        self.told: list[Record] = []
        self.count = 0
        self.ended = False  # with its keeper

    def teardown(self) -> None:
        self.disk_takes_again()
        shutil.rmtree(self.folder)

    @rule()
    def disk_refuses(self) -> None:
        backlog_module.__dict__["open"] = _refuse

    @rule()
    def disk_takes_again(self) -> None:
        backlog_module.__dict__.pop("open", None)

    @precondition(lambda self: not self.ended)
    @rule(size=SIZES, often=st.integers(1, 20))
    def puts(self, size: int, often: int) -> None:
        for _ in range(often):
            if self.backlog.full:
                return
            self.count += 1
            data = bytes([self.count % 251]) * size
            self.backlog.put(1, data)
            self.put += data

    @rule(most=st.integers(1, 50))
    def takes(self, most: int) -> None:
        for _ in range(most):
            record = self.backlog.next()
            if record is None:
                return
            assert record.stream != LOST
            self.told.append(record)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def acknowledges(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.told)))
        for record in self.told[:count]:
            assert record.offset == len(self.stored)
            self.stored += record.data
        self.backlog.acknowledge(self.told[count - 1].seq)
        del self.told[:count]

    @rule()
    def another_agent_connects(self) -> None:
        self.backlog.rewind()
        self.told.clear()

    @rule()
    def another_keeper_goes_on(self) -> None:
        spilled = self.backlog.spill()
        self.told.clear()
        if not spilled:  # a keeper stays until it could hand over
            return
        self.ended = True
        self.backlog = Backlog(str(self.folder / "a"), self.limit)
        self.backlog.adopt()

    @invariant()
    def all_is_there_or_on_its_way(self) -> None:
        assert self.put.startswith(self.stored)
        assert self.ended or self.backlog.offsets[0] == len(self.put)

    @rule()
    def all_is_taken(self) -> None:
        while (record := self.backlog.next()) is not None or self.told:
            if record is not None:
                assert record.stream != LOST
                self.told.append(record)
                continue
            for each in self.told:
                assert each.offset == len(self.stored)
                self.stored += each.data
            self.backlog.acknowledge(self.told[-1].seq)
            self.told.clear()
        assert self.stored == self.put
        assert not self.backlog.crowded, "a producer that waits would wait for ever"


def _refuse(path: str, mode: str, **more: Any) -> Any:
    if mode == "wb":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return open(path, mode, **more)  # noqa: PTH123


Producer.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_a_producer_that_waits_while_it_is_full_loses_nothing = Producer.TestCase


@pytest.mark.parametrize("take", [1, 7])
@settings(max_examples=30, deadline=None)
@given(limit=LIMITS, sizes=st.lists(SIZES, min_size=1, max_size=200))
def test_no_limit_is_too_small_to_go_on(take: int, limit: int, sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backlog, taken = Backlog(f"{folder}/a", limit), 0
        for place, size in enumerate(sizes):
            while backlog.full:
                for _ in range(take):
                    record = backlog.next()
                    if record is not None:
                        assert record.stream != LOST
                        taken += len(record.data)
                        backlog.acknowledge(record.seq)
            backlog.put(1 + place % 2, b"." * size)
        while (record := backlog.next()) is not None:
            assert record.stream != LOST
            taken += len(record.data)
            backlog.acknowledge(record.seq)
        assert taken == sum(sizes)
