"""Stack ids and addresses become lists of names, each distinct stack looked up once."""

from __future__ import annotations

from typing import Any

import numpy as np

from quarterdeck.agent.modules.stacks import StackMap, Stacks
from quarterdeck.columns.values import Values, Varying


class Names:
    """A symbolizer that records its queries."""

    def kernel(self, addresses: Any) -> list[str]:
        return [f"k{address:x}" for address in addresses]

    def user(self, pid: int, addresses: Any) -> list[str]:
        return [f"{pid}:{address:x}" for address in addresses]


class Map:
    """A stack map of four entries and depth 3. All but the innermost are return addresses, one behind the call."""

    value_size, max_entries = 24, 4

    def __init__(self) -> None:
        self.held = {1: [0x10, 0x12], 2: [0x20], 3: [0x30, 0x32, 0x33]}
        self.asked: list[list[int]] = []

    def stacks(self, ids: list[int]) -> Any:
        self.asked.append(ids)
        found = np.zeros((len(ids), 3), np.uint64)
        for row, each in enumerate(ids):
            held = self.held.get(each, [])
            found[row, : len(held)] = held
        return found

    def delete(self, keys: Any) -> int:
        for each in keys.view(np.uint32).tolist():
            self.held.pop(each, None)
        return 0


def frames(values: Values) -> list[list[str]]:
    assert isinstance(values, Varying)
    texts = values.items
    assert isinstance(texts, Varying)
    raw = np.asarray(texts.items).tobytes()
    names = [raw[a:b].decode() for a, b in zip(texts.offsets[:-1], texts.offsets[1:], strict=True)]
    return [names[a:b] for a, b in zip(values.offsets[:-1], values.offsets[1:], strict=True)]


def stacks(found: Map) -> Stacks:
    symbolizer: Any = Names()
    kernel_map: Any = found
    return Stacks(symbolizer, {"stacks": StackMap(kernel_map)})


def test_ids_are_looked_up_once_and_named_for_each_process() -> None:
    found = Map()
    ids = np.array([1, -14, 1, 2, 1], np.int32)
    pids = np.array([7, 7, 8, 7, 7], np.uint32)
    named = frames(stacks(found).of_ids("stacks", ids, pids))
    assert named == [["7:10", "7:11"], [], ["8:10", "8:11"], ["7:20"], ["7:10", "7:11"]]
    assert found.asked == [[1, 2]]
    assert frames(stacks(found).of_ids("stacks", ids, None)) == [
        ["k10", "k11"],
        [],
        ["k10", "k11"],
        ["k20"],
        ["k10", "k11"],
    ]
    assert frames(stacks(found).of_ids("stacks", ids[:0], None)) == []


def test_a_map_half_seen_is_emptied_and_what_is_still_on_its_way_is_remembered() -> None:
    found = Map()
    reading = stacks(found)
    assert frames(reading.of_ids("stacks", np.array([1, 2, 3], np.int32), None))[2] == ["k30", "k31", "k32"]
    assert found.held == {}
    assert frames(reading.of_ids("stacks", np.array([2, 0], np.int32), None)) == [["k20"], []]


def test_addresses_in_the_record_end_at_the_first_zero() -> None:
    addresses = np.array([[0x1, 0x3, 0], [0, 0x9, 0], [0x3, 0, 0x4]], np.uint64)
    named = frames(stacks(Map()).of_addresses(addresses, np.array([5, 5, 6], np.uint32)))
    assert named == [["5:1", "5:2"], [], ["6:3"]]
