"""Maps of every kind, read and written whole."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from quarterdeck.bpf import syscall
from quarterdeck.bpf.errors import MapError, SyscallError
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.uapi import Command

KEY = np.dtype([("a", "u4"), ("b", "u4")])
VALUE = np.dtype([("packets", "u8"), ("bytes", "u8"), ("flags", "u4"), ("pad", "u4")])
CPUS = syscall.possible_cpus()


@pytest.fixture
def tables(opened: Callable[[str], BpfObject]) -> BpfObject:
    loaded = opened("tables")
    loaded.maps["stacks"].value_size = 8 * 32
    loaded.load()
    return loaded


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    keys, values = np.zeros(count, KEY), np.zeros(count, VALUE)
    keys["a"] = np.arange(count)
    keys["b"] = np.arange(count) * 7
    values["packets"] = np.arange(count) + 1
    return keys, values


def as_bytes(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint8).reshape(len(array), -1)


@pytest.mark.parametrize("name", ["hash", "hash_lazy", "lru", "unsized"])
@pytest.mark.parametrize("count", [0, 1, 5000, 9000])
def test_hash_entries(tables: BpfObject, name: str, count: int) -> None:
    table = KernelMap(tables.maps[name].fd)
    keys, values = rows(count)
    if count:
        table.update_many(as_bytes(keys), as_bytes(values))
    found = table.entries()
    assert found.keys.shape == (count, 8)
    assert found.values.shape == (count, 24)
    order = np.argsort(found.keys.view(KEY)["a"][:, 0])
    assert (found.keys.view(KEY)[order, 0] == keys).all()
    assert (found.values.view(VALUE)[order, 0] == values).all()
    drained = table.drain()
    assert len(drained.keys) == count
    assert len(table.entries().keys) == 0


def test_percpu_hash_has_a_value_for_each_cpu(tables: BpfObject) -> None:
    table = KernelMap(tables.maps["percpu_hash"].fd)
    keys, values = rows(6000)
    spread = np.zeros((6000, CPUS), VALUE)
    spread["packets"] = values["packets"][:, None] * 10 + np.arange(CPUS)
    table.update_many(as_bytes(keys), as_bytes(spread))
    found = table.entries()
    assert found.values.shape == (6000, CPUS, 24)
    packets = found.values.view(VALUE)[:, :, 0]["packets"]
    first = found.keys.view(KEY)["a"][:, 0].astype(np.uint64) + 1
    assert (packets == first[:, None] * 10 + np.arange(CPUS)).all()
    assert KernelMap(tables.maps["percpu_hash"].fd).drain().values.shape == (6000, CPUS, 24)
    assert table.entries().values.shape == (0, CPUS, 24)
    table.update_many(as_bytes(keys), as_bytes(spread))
    one = table.lookup(keys[5].tobytes())
    assert one is not None
    assert one.shape == (CPUS, 24)


@pytest.mark.parametrize("name", ["array", "percpu_array"])
def test_arrays_are_read_in_order_and_cannot_be_drained(tables: BpfObject, name: str) -> None:
    table = KernelMap(tables.maps[name].fd)
    copies = CPUS if name == "percpu_array" else 1
    value = np.zeros(copies, VALUE)
    value["packets"] = 99
    table.update((4321).to_bytes(4, "little"), value.tobytes())
    found = table.entries()
    assert (found.keys.view(np.uint32)[:, 0] == np.arange(5000)).all()
    packets = found.values.reshape(5000, copies, 24).view(VALUE)[:, :, 0]["packets"].sum(axis=1)
    assert np.flatnonzero(packets).tolist() == [4321]
    assert packets[4321] == 99 * copies
    with pytest.raises(MapError, match="is an array, whose entries cannot be taken out"):
        table.drain()


def test_longest_prefix_tables(tables: BpfObject) -> None:
    table = KernelMap(tables.maps["lpm"].fd)
    for host in range(200):
        prefix = np.array([(32, host)], KEY)
        table.update(prefix.tobytes(), rows(1)[1].tobytes())
    assert sorted(table.entries().keys.view(KEY)["b"][:, 0].tolist()) == list(range(200))
    assert len(table.drain().keys) == 200
    assert len(table.entries().keys) == 0


@pytest.mark.parametrize(("name", "order"), [("queue", [0, 1, 2, 3, 4]), ("stack", [4, 3, 2, 1, 0])])
def test_queues_and_stacks_are_popped(tables: BpfObject, name: str, order: list[int]) -> None:
    table = KernelMap(tables.maps[name].fd)
    for number in range(5):
        table.update(b"", number.to_bytes(8, "little"))
    with pytest.raises(MapError, match="only drain"):
        table.entries()
    drained = table.drain()
    assert drained.keys.shape == (5, 0)
    assert drained.values.view(np.uint64)[:, 0].tolist() == order
    assert len(table.drain().values) == 0


def test_delete_skips_what_is_gone(tables: BpfObject) -> None:
    table = KernelMap(tables.maps["hash"].fd)
    keys, values = rows(100)
    table.update_many(as_bytes(keys), as_bytes(values))
    assert table.delete(as_bytes(keys[10:20])) == 10
    assert table.delete(as_bytes(keys[:50])) == 40
    assert table.lookup(keys[49].tobytes()) is None
    assert sorted(table.entries().keys.view(KEY)["a"][:, 0].tolist()) == list(range(50, 100))


def test_without_batch_calls_the_result_is_the_same(tables: BpfObject, monkeypatch: pytest.MonkeyPatch) -> None:
    table = KernelMap(tables.maps["percpu_hash"].fd)
    keys, values = rows(50)
    table.update_many(as_bytes(keys), as_bytes(np.repeat(values[:, None], CPUS, axis=1)))
    expected = table.entries()
    call = syscall.bpf

    def without_batch(command: Command, attr: bytes | bytearray) -> int:
        if Command.MAP_LOOKUP_BATCH <= command <= Command.MAP_DELETE_BATCH:
            raise SyscallError("bpf", 524)
        return call(command, attr)

    monkeypatch.setattr(syscall, "bpf", without_batch)
    walked = table.entries()
    order, other = np.lexsort(walked.keys.T), np.lexsort(expected.keys.T)
    assert (walked.keys[order] == expected.keys[other]).all()
    assert (walked.values[order] == expected.values[other]).all()
    assert len(table.drain().keys) == 50
    assert len(table.entries().keys) == 0


def test_stacks_by_id(tables: BpfObject) -> None:
    stack_id, _ = syscall.run_program(tables.programs["record_stack"].fd)
    table = KernelMap(tables.maps["stacks"].fd)
    found = table.stacks([stack_id, 7 if stack_id != 7 else 8])
    assert found.shape == (2, 32)
    assert found[0, 0] != 0
    assert (found[1] == 0).all()
    listed = table.entries()
    assert listed.keys.view(np.uint32)[:, 0].tolist() == [stack_id]
    assert (listed.values.view(np.uint64)[0] == found[0]).all()


def test_misuse_is_refused(tables: BpfObject) -> None:
    table = KernelMap(tables.maps["hash"].fd)
    with pytest.raises(MapError, match="has keys of 8 bytes, not 3"):
        table.lookup(b"abc")
    with pytest.raises(MapError, match="takes values of 24 bytes, not 1"):
        table.update(bytes(8), b"x")
    with pytest.raises(MapError, match="read it with RingBuffer"):
        KernelMap(tables.maps["unsized_ring"].fd).entries()
    with pytest.raises(MapError, match="holds no stacks of addresses: it is of type hash"):
        table.stacks([1])
    with pytest.raises(SyscallError, match="EBADF"):
        KernelMap(1 << 20)


def test_a_map_that_is_written_meanwhile(tables: BpfObject) -> None:
    table = KernelMap(tables.maps["hash_lazy"].fd)
    keys, values = rows(20000)
    table.update_many(as_bytes(keys[:10000]), as_bytes(values[:10000]))

    def churn() -> None:
        for _ in range(20):
            table.update_many(as_bytes(keys[10000:]), as_bytes(values[10000:]))
            table.delete(as_bytes(keys[10000:]))

    writer = threading.Thread(target=churn)
    writer.start()
    while writer.is_alive():
        first = np.unique(table.entries().keys.view(KEY)["a"][:, 0])
        assert np.isin(np.arange(10000), first).all()
