"""BPF maps as arrays: all entries of a map in a few system calls.

It owns the batch calls (Linux 5.6), the growth of their buffers, and the slower methods for maps and kernels without
them. It reads any map by its fd and closes none. Keys and values are bytes, (n, key_size) and (n, value_size), or (n,
CPUs, value_size) for per-CPU maps: view them as their C structs. The order is undefined. A map that changes while it is
read can lack an entry or, rarely, contain one twice.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

import numpy as np

from quarterdeck.bpf import syscall
from quarterdeck.bpf.errors import MapError, SyscallError
from quarterdeck.bpf.records import Bytes
from quarterdeck.bpf.uapi import Command, MapType

_BATCH = struct.Struct("=QQQQIIQQ")  # cursor in, cursor out, keys, values, count, fd, element flags, flags
_COUNT_AT = 32
_ELEMENT = struct.Struct("=IxxxxQQQ")  # fd, key, value or next key, flags
_ENOTSUPP = 524  # the kernel's internal "not supported", which errno lacks
_NO_BATCH = {_ENOTSUPP, errno.EINVAL, errno.EOPNOTSUPP}
_FIRST_CAPACITY = 4096  # entries; the buffer grows from there
_BUILD_IDS = 1 << 5  # BPF_F_STACK_BUILD_ID: build ids and file offsets instead of addresses
_ATTEMPTS = 64  # of one call that was interrupted by changes

#: maps without keys, which have a method of their own or none
_KEYLESS = {MapType.QUEUE, MapType.STACK}
_UNREADABLE = {
    MapType.RINGBUF: "read it with RingBuffer",
    MapType.USER_RINGBUF: "only programs read it",
    MapType.PERF_EVENT_ARRAY: "read it with PerfBuffer",
    MapType.PROG_ARRAY: "it holds programs",
    MapType.BLOOM_FILTER: "it answers only whether a value is in it",
}
_ARRAYS = {MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.ARRAY_OF_MAPS}


class Entries(NamedTuple):
    """Keys and values of the same n entries."""

    keys: Bytes
    values: Bytes


class KernelMap:
    """One map, by its fd."""

    def __init__(self, fd: int) -> None:
        """Read the properties of the map. Raise `SyscallError` when `fd` is not that of a map."""
        self.fd = fd
        info = syscall.object_info(fd, 24)
        kind, self.id, self.key_size, self.value_size, self.max_entries, self.flags = struct.unpack("=6I", info)
        self.type = MapType(kind)
        self._cpus = syscall.possible_cpus() if self.type.per_cpu else 0
        #: bytes that the kernel copies for one value: per-CPU values are padded to 8 bytes, one for each CPU
        self._value_bytes = (self.value_size + 7 & ~7) * self._cpus if self._cpus else self.value_size
        self._capacity = _FIRST_CAPACITY

    def entries(self) -> Entries:
        """Return all entries. Raise `MapError` for maps that cannot be listed.

        Maps without batch calls (stack traces, storage maps, kernels before 5.6) are read key by key.
        """
        self._require_listable("entries")
        found = self._batch(Command.MAP_LOOKUP_BATCH)
        return found if found is not None else self._walk()

    def drain(self) -> Entries:
        """Remove all entries from the map and return them.

        A program that looked up a value just before its removal may still add to it, and that is lost. To avoid this,
        call entries() and subtract, then delete idle entries. Queues and stacks are popped.
        """
        if self.type in _ARRAYS:
            raise MapError(f"map {self.id} is an array, whose entries cannot be taken out; read it and subtract")
        if self.type in _KEYLESS:
            return self._pop()
        self._require_listable("drain")
        found = self._batch(Command.MAP_LOOKUP_AND_DELETE_BATCH)
        if found is None:
            found = self.entries()
            self.delete(found.keys)
        return found

    def delete(self, keys: Bytes) -> int:
        """Delete these (n, key_size) keys, and return how many existed. Missing keys are skipped."""
        keys = np.ascontiguousarray(keys).reshape(-1, self.key_size)
        done = deleted = 0
        while done < len(keys):
            rest = keys[done:]
            attr = syscall.new_attr(_BATCH, 0, 0, rest.ctypes.data, 0, len(rest), self.fd, 0, 0)
            try:
                syscall.bpf(Command.MAP_DELETE_BATCH, attr)
            except SyscallError as error:
                if error.errno in _NO_BATCH:
                    addresses = range(rest.ctypes.data, rest.ctypes.data + rest.nbytes, self.key_size)
                    return deleted + sum(self._found(Command.MAP_DELETE_ELEM, key, 0) for key in addresses)
                if error.errno != errno.ENOENT:
                    raise
                taken = _count(attr)
                deleted += taken
                done += taken + 1  # the one that did not exist
            else:
                return deleted + _count(attr)
        return deleted

    def lookup(self, key: bytes) -> Bytes | None:
        """Return the value of one key, (value_size,) or (CPUs, value_size), or None."""
        kept, value = self._checked(key), np.empty((1, self._value_bytes), np.uint8)
        found = self._found(Command.MAP_LOOKUP_ELEM, syscall.address_of(kept), value.ctypes.data)
        return self._shaped(value)[0] if found else None

    def update(self, key: bytes, value: bytes) -> None:
        """Set one key. The value of a per-CPU map consists of the values of all CPUs, each padded to 8 bytes."""
        if len(value) != self._value_bytes:
            raise MapError(f"map {self.id} takes values of {self._value_bytes} bytes, not {len(value)}")
        kept = self._checked(key), bytearray(value)
        attr = _ELEMENT.pack(self.fd, *map(syscall.address_of, kept), 0)
        syscall.bpf(Command.MAP_UPDATE_ELEM, attr)

    def update_many(self, keys: Bytes, values: Bytes) -> None:
        """Set n keys of a hash or array at once: keys (n, key_size), values (n, bytes that the kernel copies)."""
        keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
        if keys.nbytes != len(keys) * self.key_size or values.nbytes != len(keys) * self._value_bytes:
            raise MapError(f"map {self.id} takes keys of {self.key_size} and values of {self._value_bytes} bytes")
        attr = syscall.new_attr(_BATCH, 0, 0, keys.ctypes.data, values.ctypes.data, len(keys), self.fd, 0, 0)
        syscall.bpf(Command.MAP_UPDATE_BATCH, attr)

    def stacks(self, ids: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
        """Return the addresses of these stacks of a stack map, innermost first: (n, depth), zeros after the last.

        Each stack takes one system call, so pass distinct ids. A stack that the map no longer has is all zeros.
        """
        if self.type is not MapType.STACK_TRACE or self.flags & _BUILD_IDS:
            raise MapError(f"map {self.id} holds no stacks of addresses: it is of type {self.type.name.lower()}")
        out = np.zeros((len(ids), self.value_size // 8), np.uint64)
        for row, stack_id in enumerate(ids):
            key = self._checked(struct.pack("=I", stack_id))
            into = out.ctypes.data + row * self.value_size
            self._found(Command.MAP_LOOKUP_ELEM, syscall.address_of(key), into)
        return out

    def _require_listable(self, what: str) -> None:
        if self.type in _KEYLESS:
            raise MapError(f"map {self.id} is a {self.type.name.lower()}: it has no {what}, only drain()")
        if self.type in _UNREADABLE:
            raise MapError(f"map {self.id} ({self.type.name.lower()}) cannot be listed: {_UNREADABLE[self.type]}")

    def _batch(self, command: Command) -> Entries | None:
        """Return all entries by batch calls, or None if this map or kernel does not support them."""
        capacity = min(self._capacity, self._most())
        keys = np.empty((capacity, self.key_size), np.uint8)
        values = np.empty((capacity, self._value_bytes), np.uint8)
        cursor = bytearray(max(8, self.key_size))
        place = syscall.address_of(cursor)
        filled, begun, disturbed = 0, False, 0
        while True:
            into = (keys.ctypes.data + filled * self.key_size, values.ctypes.data + filled * self._value_bytes)
            attr = syscall.new_attr(_BATCH, place if begun else 0, place, *into, capacity - filled, self.fd, 0, 0)
            try:
                syscall.bpf(command, attr)
            except SyscallError as error:
                if not begun and error.errno in _NO_BATCH:
                    return None
                if error.errno == errno.ENOENT:
                    filled += _count(attr)
                    break
                if error.errno in {errno.EAGAIN, errno.EINTR} and disturbed < _ATTEMPTS:
                    disturbed += 1
                    continue
                if error.errno != errno.ENOSPC:  # the next bucket is larger than the free space
                    raise
            else:
                begun = True
                filled += _count(attr)
                if filled < capacity:
                    continue
            capacity = self._grown(capacity)
            keys, values = _resized(keys, capacity, filled), _resized(values, capacity, filled)
        self._capacity = filled + filled // 4 + _FIRST_CAPACITY
        return Entries(keys[:filled], self._shaped(values[:filled]))

    def _most(self) -> int:
        """Return a limit of entries. Only a map that changes while it is read can exceed it."""
        return 2 * self.max_entries + _FIRST_CAPACITY

    def _grown(self, capacity: int) -> int:
        if capacity >= self._most():
            raise MapError(f"map {self.id} changes faster than it can be read: {capacity} entries and no end")
        return min(2 * capacity, self._most())

    def _walk(self) -> Entries:
        """Return all entries key by key, with two system calls for each."""
        capacity, filled, last = min(self._capacity, self._most()), 0, 0
        keys = np.empty((capacity, self.key_size), np.uint8)
        values = np.empty((capacity, self._value_bytes), np.uint8)
        key, value = keys.ctypes.data, values.ctypes.data
        for _ in range(self._most()):
            if filled == capacity:
                capacity = self._grown(capacity)
                keys, values = _resized(keys, capacity, filled), _resized(values, capacity, filled)
                key = keys.ctypes.data + filled * self.key_size
                value = values.ctypes.data + filled * self._value_bytes
                last = key - self.key_size
            if not self._found(Command.MAP_GET_NEXT_KEY, last, key):
                break
            last = key
            if self._found(Command.MAP_LOOKUP_ELEM, key, value):
                filled += 1
                key += self.key_size
                value += self._value_bytes
        return Entries(keys[:filled], self._shaped(values[:filled]))

    def _pop(self) -> Entries:
        """Return all values of a queue or stack, at most its capacity."""
        values = np.empty((self.max_entries, self.value_size), np.uint8)
        taken = 0
        while taken < self.max_entries:
            if not self._found(Command.MAP_LOOKUP_AND_DELETE_ELEM, 0, values.ctypes.data + taken * self.value_size):
                break
            taken += 1
        return Entries(np.empty((taken, 0), np.uint8), values[:taken])

    def _found(self, command: Command, key: int, value: int) -> bool:
        """Make one element call with the addresses of key and value. Return False when the element does not exist."""
        try:
            syscall.bpf(command, _ELEMENT.pack(self.fd, key, value, 0))
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def _checked(self, key: bytes) -> bytearray:
        if len(key) != self.key_size:
            raise MapError(f"map {self.id} has keys of {self.key_size} bytes, not {len(key)}")
        return bytearray(key)

    def _shaped(self, values: Bytes) -> Bytes:
        if not self._cpus:
            return values
        return values.reshape(len(values), self._cpus, self.value_size + 7 & ~7)[:, :, : self.value_size]


def _count(attr: bytearray) -> int:
    return struct.unpack_from("=I", attr, _COUNT_AT)[0]


def _resized(array: Bytes, capacity: int, filled: int) -> Bytes:
    larger = np.empty((capacity, array.shape[1]), np.uint8)
    larger[:filled] = array[:filled]
    return larger
