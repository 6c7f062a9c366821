"""A BPF object: the programs and maps of one compiled `.bpf.o`, before and after the load.

`BpfObject.open(image)` reads the object; programs and maps are then plain Python objects whose attributes the caller
sets (autoload, sizes, initial bytes of `.rodata` …). `load()` loads all of it into the kernel at once;
`load_tolerant()` leaves out what this kernel refuses, and returns the reasons. It owns every fd and link of the object;
`close()` closes all of them. Nothing is ever pinned: maps that request pinning are kept private.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from quarterdeck.bpf import libbpf, syscall
from quarterdeck.bpf.errors import BpfError, LibbpfError, LoadError, OpenError
from quarterdeck.bpf.libbpf import Pointer
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.sections import younger_type
from quarterdeck.bpf.tolerance import Dropped, Refusal, find_refusal, program_refusal
from quarterdeck.bpf.uapi import MapType, ProgramType

#: entries of a map whose size the loader is expected to choose (max_entries = 0 in the object)
DEFAULT_ENTRIES = 10240
DEFAULT_RING_BYTES = 1 << 20
_INTERNAL_SECTIONS = (".rodata", ".data", ".bss", ".kconfig")


class Program:
    """One program of an object. The plain attributes are set before the load; `fd` and `links` are used after it."""

    def __init__(self, pointer: Pointer) -> None:
        self.pointer = pointer
        #: name of the C function
        self.name = libbpf.text("bpf_program__name", pointer)
        #: contents of SEC("…"), such as `tracepoint/syscalls/sys_enter_openat`
        self.section = libbpf.text("bpf_program__section_name", pointer)
        self.type = ProgramType(libbpf.call("bpf_program__type", pointer))
        self.attach_type = libbpf.call("bpf_program__expected_attach_type", pointer)
        if self.type is ProgramType.UNSPEC and (younger := younger_type(self.section)):
            self.type, self.attach_type = ProgramType(younger[0]), younger[1]
        #: whether the load includes this program
        self.autoload = bool(libbpf.call("bpf_program__autoload", pointer))
        #: for tp_btf, fentry, fexit, fmod_ret and lsm: the kernel function or event, if the section names none or
        #: another one is wanted
        self.target: str | None = None
        self.loaded = False
        #: links that attach() created; close() closes them
        self.links: list[Link] = []

    @property
    def kind(self) -> str:
        """Return the first word of its section: `tracepoint`, `fentry` …"""
        return self.section.removeprefix("?").partition("/")[0]

    @property
    def fd(self) -> int:
        """Return the loaded program's fd, which the object owns.

        Raise `BpfError` before the load or when it was dropped.
        """
        if not self.loaded:
            raise BpfError(f"program {self.name!r} is not loaded, so it has no fd; load the object with it first")
        return libbpf.call("bpf_program__fd", self.pointer)

    def apply(self) -> None:
        """Pass the attributes to libbpf."""
        libbpf.call("bpf_program__set_autoload", self.pointer, self.autoload)
        if not self.autoload:
            return
        if self.type != libbpf.call("bpf_program__type", self.pointer):
            libbpf.call("bpf_program__set_type", self.pointer, int(self.type))
        if self.attach_type != libbpf.call("bpf_program__expected_attach_type", self.pointer):
            libbpf.call("bpf_program__set_expected_attach_type", self.pointer, self.attach_type)
        if self.target is not None:
            libbpf.call("bpf_program__set_attach_target", self.pointer, 0, self.target.encode())


class Map:
    """One map of an object. The plain attributes are set before the load; `fd` is used after it."""

    def __init__(self, pointer: Pointer) -> None:
        self.pointer = pointer
        raw_name = libbpf.text("bpf_map__name", pointer)
        self.type = MapType(libbpf.call("bpf_map__type", pointer))
        self.internal = bool(libbpf.call("bpf_map__is_internal", pointer))
        #: name of the C variable, or the section (`.rodata`, `.bss`, `.data.custom`) of the compiler's own maps
        self.name = _section_of(raw_name) if self.internal else raw_name
        self.key_size = libbpf.call("bpf_map__key_size", pointer)
        #: bytes of a value (8 × the depth for a stack map; the loader may set it)
        self.value_size = libbpf.call("bpf_map__value_size", pointer)
        #: entries; for a ring buffer its bytes; 0 when the loader is expected to choose
        self.max_entries = libbpf.call("bpf_map__max_entries", pointer)
        self.flags = libbpf.call("bpf_map__map_flags", pointer)
        self.autocreate = bool(libbpf.call("bpf_map__autocreate", pointer))
        first = libbpf.initial_value(pointer) if self.internal else None
        #: initial bytes of an internal map: `const volatile` settings are written here by offset
        self.initial: bytearray | None = None if first is None else bytearray(first)
        self._declared = (self.value_size, self.max_entries)
        if self.type in {MapType.RINGBUF, MapType.USER_RINGBUF}:
            self.value_size = 0  # some sources name the record's type, but the kernel allows no value
        self.loaded = False

    @property
    def fd(self) -> int:
        """Return the created map's fd, which the object owns. Raise `BpfError` before the load."""
        if not self.loaded:
            raise BpfError(f"map {self.name!r} is not created, so it has no fd; load the object with it first")
        return libbpf.call("bpf_map__fd", self.pointer)

    def entries_to_create(self) -> int:
        """Return `max_entries` as the kernel needs it: rings are rounded up, and an open size gets a default."""
        match self.type:
            case MapType.RINGBUF | MapType.USER_RINGBUF:
                return ring_bytes(self.max_entries or DEFAULT_RING_BYTES)
            case MapType.PERF_EVENT_ARRAY:
                return self.max_entries or syscall.possible_cpus()
            case MapType.SK_STORAGE | MapType.INODE_STORAGE | MapType.TASK_STORAGE | MapType.CGRP_STORAGE:
                return 0
            case MapType.CGROUP_STORAGE | MapType.PERCPU_CGROUP_STORAGE | MapType.STRUCT_OPS:
                return self.max_entries
            case _:
                return self.max_entries or DEFAULT_ENTRIES

    def apply(self) -> None:
        """Pass the attributes to libbpf."""
        libbpf.call("bpf_map__set_autocreate", self.pointer, self.autocreate)
        libbpf.call("bpf_map__set_pin_path", self.pointer, None)
        if self.initial is not None:
            first = libbpf.initial_value(self.pointer)
            assert first is not None
            if len(first) != len(self.initial):
                raise BpfError(f"map {self.name!r} starts with {len(first)} bytes, not the {len(self.initial)} given")
            first[:] = self.initial
        if self.internal:
            return
        entries = self.entries_to_create()
        if entries != self._declared[1]:
            libbpf.call("bpf_map__set_max_entries", self.pointer, entries)
        if self.value_size != self._declared[0]:
            libbpf.call("bpf_map__set_value_size", self.pointer, self.value_size)


class BpfObject:
    """An opened object; a context manager that closes it."""

    def __init__(self, image: bytes, name: str) -> None:
        self._image = image
        #: name of the object's internal maps in the kernel (truncated there)
        self.name = name
        self._pointer: Pointer | None = self._open()
        self.programs = {p.name: p for p in map(Program, libbpf.each("bpf_object__next_program", self._pointer))}
        self.maps = {m.name: m for m in map(Map, libbpf.each("bpf_object__next_map", self._pointer))}
        self.loaded = False

    @classmethod
    def open(cls, image: bytes, *, name: str) -> Self:
        """Read the object without the kernel. Raise `OpenError` with libbpf's log, or `LibbpfMissing`."""
        return cls(image, name)

    def load(self) -> None:
        """Load every program with `autoload` and create the maps. Raise `LoadError` with the verifier's log.

        After an error the object is unchanged: attributes can be changed and load() called again.
        """
        if self.loaded:
            raise BpfError(f"object {self.name!r} is already loaded")
        try:
            for part in (*self.programs.values(), *self.maps.values()):
                part.apply()
            libbpf.call("bpf_object__load", self._require())
        except LibbpfError as error:
            self._reopen()  # libbpf loads an object at most once, even after a failure
            raise LoadError(f"object {self.name!r} cannot be loaded", error.errno, error.log) from error
        self.loaded = True
        for program in self.programs.values():
            program.loaded = program.autoload
        for each in self.maps.values():
            each.loaded = each.autocreate

    def load_tolerant(self, *, required: Collection[str] = ()) -> list[Dropped]:
        """Load what this kernel accepts, and return the omitted programs and maps, each with the reason.

        The `autoload` of a refused program is cleared, and the rest is tried again. Raise `LoadError` when one of
        `required` is refused, when nothing would be left, or when no single program causes the failure.
        """
        dropped: list[Dropped] = []
        while True:
            try:
                self.load()
            except LoadError as error:
                refused = self._refused(error)
                dropped += self._drop(refused, error, required)
            else:
                return dropped

    def _refused(self, error: LoadError) -> Refusal:
        """Return the cause of the failed load: the program or map in its log, or the only program that fails alone."""
        found = find_refusal(error, programs={p.name: p.kind for p in self._active()}, maps=self.maps)
        if error.errno == errno.EPERM and (found is None or found.is_map):
            raise error  # this process is not allowed to load programs
        if found:
            return found
        chosen = self._active()
        for program in chosen:
            for other in chosen:
                other.autoload = other is program
            try:
                self.load()
            except LoadError as alone:
                found = program_refusal(program.name, program.kind, alone)
                break
            else:
                self._reopen()
        for program in chosen:
            program.autoload = True
        if not found:
            raise error
        return found

    def _drop(self, refused: Refusal, error: LoadError, required: Collection[str]) -> list[Dropped]:
        if refused.is_map:
            self.maps[refused.name].autocreate = False  # programs that use it now fail by name, and others do not
            return [Dropped(refused.name, refused.reason, refused.log, refused.lasting)]
        culprit = self.programs[refused.name]
        kind = (culprit.type, culprit.attach_type)
        # If the kernel refuses before verification, it refuses the type, so programs of the same type are not tried.
        out = [p for p in self._active() if p is culprit or (refused.of_kind and (p.type, p.attach_type) == kind)]
        lost = sorted({p.name for p in out} & set(required))
        if lost:
            raise LoadError(
                f"program {lost[0]!r} cannot be loaded: {refused.reason}", error.errno, refused.log
            ) from error
        for program in out:
            program.autoload = False
        if not self._active():
            raise LoadError(f"no program of object {self.name!r} can be loaded", error.errno, refused.log) from error
        return [Dropped(p.name, refused.reason, refused.log, refused.lasting) for p in out]

    def _active(self) -> list[Program]:
        return [program for program in self.programs.values() if program.autoload]

    def _open(self) -> Pointer:
        opts = libbpf.options("bpf_object_open_opts", object_name=self.name.encode(), relaxed_maps=True)
        try:
            return libbpf.make("bpf_object__open_mem", self._image, len(self._image), opts)
        except LibbpfError as error:
            raise OpenError(f"{self.name!r} is not a BPF object libbpf can open", error.errno, error.log) from error

    def _reopen(self) -> None:
        """Open the libbpf object again for the same Python objects, with their settings."""
        libbpf.call("bpf_object__close", self._require())
        self._pointer = None
        self._pointer = self._open()
        for program, pointer in zip(
            self.programs.values(), libbpf.each("bpf_object__next_program", self._pointer), strict=True
        ):
            program.pointer, program.loaded = pointer, False
        for each, pointer in zip(self.maps.values(), libbpf.each("bpf_object__next_map", self._pointer), strict=True):
            each.pointer, each.loaded = pointer, False
        self.loaded = False

    def _require(self) -> Pointer:
        if self._pointer is None:
            raise BpfError(f"object {self.name!r} is closed")
        return self._pointer

    def close(self) -> None:
        """Detach every link, then close all fds, even after errors. A second call has no effect."""
        with ExitStack() as undo:
            if self._pointer is not None:
                undo.callback(libbpf.call, "bpf_object__close", self._pointer)
                self._pointer = None
            for program in self.programs.values():
                program.loaded = False
                for link in program.links:
                    undo.callback(link.detach)
            for each in self.maps.values():
                each.loaded = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ring_bytes(wanted: int) -> int:
    """Return the nearest valid size of a ring buffer, at least `wanted`: a power of two of at least one page."""
    return max(mmap.PAGESIZE, 1 << (wanted - 1).bit_length())


def _section_of(map_name: str) -> str:
    """Return `.rodata` for `myobject.rodata`. Custom sections (`.rodata.keys`) have no prefix."""
    if map_name.startswith("."):
        return map_name
    for section in _INTERNAL_SECTIONS:
        if map_name.endswith(section):
            return section
    return map_name
