"""Signals reach those who listen to their kind, and those who follow their subjects."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.signals import LocalSignals, Signal

NODES = Signal("nodes", NodeKey)
NUMBERS = Signal("numbers", int)


def test_listeners_get_the_subjects_of_their_kind_once() -> None:
    signals = LocalSignals()
    seen: list[Collection[int]] = []
    signals.listen(NUMBERS, seen.append)
    signals.send(NUMBERS, [2, 1, 2])
    signals.send(NODES, [NodeKey(1, 1)])
    assert seen == [{1, 2}]


def test_what_changes_nothing_is_not_signalled() -> None:
    signals = LocalSignals()
    seen: list[Collection[int]] = []
    signals.listen(NUMBERS, seen.append)
    signals.send(NUMBERS, [])
    assert seen == []


async def test_a_follower_hears_of_its_subject_until_it_stops() -> None:
    signals = LocalSignals()
    with signals.follow(NUMBERS, 1) as one, signals.follow(NUMBERS, 1) as same, signals.follow(NUMBERS, 2) as two:
        signals.send(NUMBERS, [1])
        assert (one.is_set(), same.is_set(), two.is_set()) == (True, True, False)
    one.clear()
    signals.send(NUMBERS, [1, 2])
    assert not one.is_set()
    assert not signals._followers


async def test_following_ends_with_the_caller() -> None:
    signals = LocalSignals()
    with pytest.raises(ZeroDivisionError), signals.follow(NODES, NodeKey(1, 1)):
        raise ZeroDivisionError
    assert not signals._followers
