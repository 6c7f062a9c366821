"""BPF maps as arrays: all entries of a map in a few system calls.

Owns the batch calls (Linux 5.6), the growing of their buffers, and the slower ways for maps and kernels without them.
Reads any map by its fd; closes none. Keys and values come as bytes, (n, key_size) and (n, value_size), or
(n, CPUs, value_size) for per-CPU maps: view them as the C structs they are. No order is promised, and a map that is
written to meanwhile is read as it changes; an entry can then be missing or, rarely, twice.
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
_ENOTSUPP = 524  # the kernel's own "not supported", which has no name outside it
_NO_BATCH = {_ENOTSUPP, errno.EINVAL, errno.EOPNOTSUPP}
_FIRST_ROOM = 4096  # entries; grows from there
_BUILD_IDS = 1 << 5  # BPF_F_STACK_BUILD_ID: build ids and file offsets instead of addresses
_ATTEMPTS = 64  # of one call that was disturbed

#: No keys to walk: each has a way of its own or none.
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
        """Ask the kernel what the map is. Raises SyscallError when `fd` is no map's."""
        self.fd = fd
        info = syscall.object_info(fd, 24)
        kind, self.id, self.key_size, self.value_size, self.max_entries, self.flags = struct.unpack("=6I", info)
        self.type = MapType(kind)
        self._cpus = syscall.possible_cpus() if self.type.per_cpu else 0
        #: Bytes the kernel copies for one value: per-CPU values are padded to 8 bytes and come for all CPUs.
        self._value_bytes = (self.value_size + 7 & ~7) * self._cpus if self._cpus else self.value_size
        self._room = _FIRST_ROOM

    def entries(self) -> Entries:
        """All entries. Raises MapError for maps that cannot be listed.

        Maps without batch calls (stack traces, storage maps, kernels before 5.6) are walked key by key.
        """
        self._require_listable("entries")
        found = self._batch(Command.MAP_LOOKUP_BATCH)
        return found if found is not None else self._walk()

    def drain(self) -> Entries:
        """All entries, taken out of the map.

        Each entry is taken whole, but a program that looked its value up just before may still add to it, and that is
        lost; where this matters, read entries() and subtract, then delete what is idle. Queues and stacks are popped.
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
        """Delete these (n, key_size) keys; those already gone are skipped. Returns how many were there."""
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
                done += taken + 1  # the one that was not there
            else:
                return deleted + _count(attr)
        return deleted

    def lookup(self, key: bytes) -> Bytes | None:
        """The value of one key, (value_size,) or (CPUs, value_size), or None."""
        kept, value = self._checked(key), np.empty((1, self._value_bytes), np.uint8)
        found = self._found(Command.MAP_LOOKUP_ELEM, syscall.address_of(kept), value.ctypes.data)
        return self._shaped(value)[0] if found else None

    def update(self, key: bytes, value: bytes) -> None:
        """Set one key; the value of a per-CPU map is that of all CPUs, each padded to 8 bytes."""
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
        """The addresses of these stacks of a stack map, innermost first: (n, depth), zeros after the last.

        One system call each, so give distinct ids. A stack the map no longer has is all zeros.
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
        """All entries by batch calls, or None where this map or kernel has none."""
        room = min(self._room, self._most())
        keys = np.empty((room, self.key_size), np.uint8)
        values = np.empty((room, self._value_bytes), np.uint8)
        cursor = bytearray(max(8, self.key_size))
        place = syscall.address_of(cursor)
        filled, begun, disturbed = 0, False, 0
        while True:
            into = (keys.ctypes.data + filled * self.key_size, values.ctypes.data + filled * self._value_bytes)
            attr = syscall.new_attr(_BATCH, place if begun else 0, place, *into, room - filled, self.fd, 0, 0)
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
                if error.errno != errno.ENOSPC:  # the next bucket is larger than the room that is left
                    raise
            else:
                begun = True
                filled += _count(attr)
                if filled < room:
                    continue
            room = self._grown(room)
            keys, values = _resized(keys, room, filled), _resized(values, room, filled)
        self._room = filled + filled // 4 + _FIRST_ROOM
        return Entries(keys[:filled], self._shaped(values[:filled]))

    def _most(self) -> int:
        """More entries than this come only from a map that changes while it is read."""
        return 2 * self.max_entries + _FIRST_ROOM

    def _grown(self, room: int) -> int:
        if room >= self._most():
            raise MapError(f"map {self.id} changes faster than it can be read: {room} entries and no end")
        return min(2 * room, self._most())

    def _walk(self) -> Entries:
        """All entries key by key: two system calls for each."""
        room, filled, last = min(self._room, self._most()), 0, 0
        keys = np.empty((room, self.key_size), np.uint8)
        values = np.empty((room, self._value_bytes), np.uint8)
        key, value = keys.ctypes.data, values.ctypes.data
        for _ in range(self._most()):
            if filled == room:
                room = self._grown(room)
                keys, values = _resized(keys, room, filled), _resized(values, room, filled)
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
        """All of a queue or stack, at most what it held when full."""
        values = np.empty((self.max_entries, self.value_size), np.uint8)
        taken = 0
        while taken < self.max_entries:
            if not self._found(Command.MAP_LOOKUP_AND_DELETE_ELEM, 0, values.ctypes.data + taken * self.value_size):
                break
            taken += 1
        return Entries(np.empty((taken, 0), np.uint8), values[:taken])

    def _found(self, command: Command, key: int, value: int) -> bool:
        """One element call with the addresses of key and value; False when there is no such element."""
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


def _resized(array: Bytes, room: int, filled: int) -> Bytes:
    larger = np.empty((room, array.shape[1]), np.uint8)
    larger[:filled] = array[:filled]
    return larger
