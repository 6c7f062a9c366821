"""Kernel clocks become epoch time, and times recorded before a jump stay correct."""

from __future__ import annotations

import time

import numpy as np

from quarterdeck.agent.modules.clock import EpochClock

S = 1_000_000_000


class Host:
    """Clocks that a test sets."""

    def __init__(self) -> None:
        self.real, self.mono, self.boot = 1_000 * S, 50 * S, 60 * S

    def read(self, clock: int) -> int:
        return {
            time.CLOCK_REALTIME: self.real,
            time.CLOCK_MONOTONIC: self.mono,
            time.CLOCK_BOOTTIME: self.boot,
            time.CLOCK_TAI: self.real + 37 * S,
        }[clock]

    def pass_time(self, seconds: int, *, asleep: bool = False) -> None:
        self.real += seconds * S
        self.boot += seconds * S
        self.mono += 0 if asleep else seconds * S


def at(clock: EpochClock, reading: int, name: str) -> int:
    return int(clock.to_epoch(np.array([reading], np.uint64), name)[0])


def test_each_clock_has_its_offset() -> None:
    clock = EpochClock(Host().read)
    assert at(clock, 49 * S, "ktime") == at(clock, 49 * S, "") == 999 * S
    assert at(clock, 59 * S, "boottime") == 999 * S
    assert at(clock, 1_036 * S, "tai") == 999 * S
    assert at(clock, 5, "realtime") == 5
    assert at(clock, 0, "ktime") == 0  # never set
    assert clock.to_epoch(np.zeros(0, np.uint64), "ktime").tolist() == []


def test_what_was_recorded_before_the_host_slept_keeps_its_time() -> None:
    host = Host()
    clock = EpochClock(host.read)
    host.pass_time(10)
    clock.measure()
    host.pass_time(3600, asleep=True)
    host.pass_time(1)
    assert clock.measure() == host.real
    assert at(clock, 60 * S, "ktime") == 1_010 * S  # before the sleep
    assert at(clock, 61 * S, "ktime") == 4_611 * S  # after it
    assert at(clock, 70 * S, "boottime") == 1_010 * S
    both = clock.to_epoch(np.array([55 * S, 0, 61 * S], np.uint64), "ktime")
    assert both.tolist() == [1_005 * S, 0, 4_611 * S]


def test_a_slewed_clock_is_followed_without_a_jump() -> None:
    host = Host()
    clock = EpochClock(host.read)
    host.real += 1_000_000
    clock.measure()
    assert at(clock, 40 * S, "ktime") == 990 * S + 1_000_000
