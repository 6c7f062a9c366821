"""A row has a time at which its program was attached, whatever the program wrote there."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.reader import Reader
from quarterdeck.agent.modules.times import TimeCheck
from quarterdeck.columns.batch import Batch
from quarterdeck.model.modules import Field, FieldKind, TableSource
from quarterdeck.model.tables import Column, ColumnType, Table

S = 1_000_000_000
TABLE = Table(name="t", columns=(Column(name="time", type=ColumnType.TIMESTAMP),))
DAY = 86_400 * S
START = 1_700_000_000 * S


class Host:
    """Clocks that a test sets."""

    def __init__(self) -> None:
        self.real, self.mono = START, 50 * S

    def read(self, clock: int) -> int:
        return self.real if clock == time.CLOCK_REALTIME else self.mono

    def pass_time(self, seconds: int) -> None:
        self.real += seconds * S
        self.mono += seconds * S


class Still(Reader):
    """A reader with nothing to read."""

    def due(self, now_s: float) -> float:
        return float("inf")

    def read(self, now_s: float, *, last: bool = False) -> None: ...

    def abandon(self, detail: str) -> None: ...


def batch(*times: int) -> Batch:
    return Batch(TABLE, {"time": np.array(times, np.int64)}, len(times))


class Rig:
    """A reader on a host whose clocks are a test's."""

    def __init__(self) -> None:
        self.host = Host()
        self.clock = EpochClock(self.host.read)
        self.notices: list[str] = []
        fields = tuple(Field(column=name, kind=FieldKind.SCALAR, offset=8, size=8) for name in ("time", "ts"))
        self.reader = Still(
            TableSource(table=TABLE, maps=(), record_size=16, fields=fields),
            "m",
            times=TimeCheck(self.clock, self.clock.moment()),
            notice=self.notices.append,
        )

    def times(self, *times: int) -> list[int]:
        self.clock.measure()
        self.reader.keep(batch(*times))
        (kept,) = self.reader.pile.take()
        values = kept.columns["time"]
        assert isinstance(values, np.ndarray)
        return values.tolist()


def test_times_since_the_program_was_attached_are_kept() -> None:
    rig = Rig()
    rig.host.pass_time(60)
    good = [START, START + 30 * S, START + 60 * S]
    assert rig.times(*good) == good
    assert not rig.notices


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: 0, id="never written"),
        pytest.param(lambda: START - 50 * S + 4_000, id="a duration, read as a clock"),
        pytest.param(lambda: START - 60 * S, id="before it was attached"),
        pytest.param(lambda: START + 300 * 365 * DAY // 300 * 200, id="in the twenty-third century"),
        pytest.param(lambda: -5, id="negative"),
        pytest.param(lambda: 2**63 - 1, id="the end of time"),
        pytest.param(lambda: START + 120 * S, id="not come yet"),
    ],
)
def test_a_time_that_cannot_be_becomes_that_of_reading_and_is_told_once(wrong: Callable[[], int]) -> None:
    rig = Rig()
    rig.host.pass_time(60)
    assert rig.times(START + S, wrong(), START + 2 * S) == [START + S, START + 60 * S, START + 2 * S]
    assert rig.times(wrong()) == [START + 60 * S]
    (notice,) = rig.notices
    assert "1 row of table 't'" in notice
    assert "[table.columns.ts]" in notice


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_date_that_is_set_makes_no_time_wrong(seconds: int) -> None:
    rig = Rig()
    rig.host.pass_time(60)
    rig.clock.measure()
    rig.host.real += seconds * S
    rig.host.pass_time(10)
    by_the_old_date, by_the_new_one = START + 30 * S, START + (65 + seconds) * S
    assert rig.times(by_the_old_date, by_the_new_one) == [by_the_old_date, by_the_new_one]
    assert not rig.notices
