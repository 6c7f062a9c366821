"""A BPF object: the programs and maps of one compiled `.bpf.o`, before and after the kernel takes them.

`BpfObject.open(image)` reads what is there; programs and maps are then plain Python objects whose attributes the
caller sets (autoload, sizes, first bytes of `.rodata` …); `load()` hands all of it to the kernel at once, and
`load_tolerant()` leaves out what this kernel cannot take and says why. Owns every fd and link of the object; `close()`
gives all of them back. Nothing is ever pinned: maps that ask for pinning are kept private.
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

#: What a map gets whose size the loader is expected to choose (max_entries = 0 in the object).
DEFAULT_ENTRIES = 10240
DEFAULT_RING_BYTES = 1 << 20
_INTERNAL_SECTIONS = (".rodata", ".data", ".bss", ".kconfig")


class Program:
    """One program of an object. Set the plain attributes before the load; `fd` and `links` are for after it."""

    def __init__(self, pointer: Pointer) -> None:
        self.pointer = pointer
        #: The C function's name.
        self.name = libbpf.text("bpf_program__name", pointer)
        #: What SEC("…") says, such as `tracepoint/syscalls/sys_enter_openat`.
        self.section = libbpf.text("bpf_program__section_name", pointer)
        self.type = ProgramType(libbpf.call("bpf_program__type", pointer))
        self.attach_type = libbpf.call("bpf_program__expected_attach_type", pointer)
        if self.type is ProgramType.UNSPEC and (younger := younger_type(self.section)):
            self.type, self.attach_type = ProgramType(younger[0]), younger[1]
        #: Whether the load includes this program.
        self.autoload = bool(libbpf.call("bpf_program__autoload", pointer))
        #: For tp_btf, fentry, fexit, fmod_ret and lsm: the kernel function or event, where the section names none
        #: or another one is wanted.
        self.target: str | None = None
        self.loaded = False
        #: What attach() has hung up; given back by close().
        self.links: list[Link] = []

    @property
    def kind(self) -> str:
        """The first word of its section: `tracepoint`, `fentry` …"""
        return self.section.removeprefix("?").partition("/")[0]

    @property
    def fd(self) -> int:
        """The loaded program's fd, owned by the object; raises BpfError before the load or when it was dropped."""
        if not self.loaded:
            raise BpfError(f"program {self.name!r} is not loaded, so it has no fd; load the object with it first")
        return libbpf.call("bpf_program__fd", self.pointer)

    def apply(self) -> None:
        """Tell libbpf what the attributes say."""
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
    """One map of an object. Set the plain attributes before the load; `fd` is for after it."""

    def __init__(self, pointer: Pointer) -> None:
        self.pointer = pointer
        raw_name = libbpf.text("bpf_map__name", pointer)
        self.type = MapType(libbpf.call("bpf_map__type", pointer))
        self.internal = bool(libbpf.call("bpf_map__is_internal", pointer))
        #: The C variable's name, or the section (`.rodata`, `.bss`, `.data.custom`) of the compiler's own maps.
        self.name = _section_of(raw_name) if self.internal else raw_name
        self.key_size = libbpf.call("bpf_map__key_size", pointer)
        #: Bytes of a value (a stack map's is 8 × its depth; the loader may set it).
        self.value_size = libbpf.call("bpf_map__value_size", pointer)
        #: Entries; for a ring buffer its bytes. 0 where the loader is expected to choose.
        self.max_entries = libbpf.call("bpf_map__max_entries", pointer)
        self.flags = libbpf.call("bpf_map__map_flags", pointer)
        self.autocreate = bool(libbpf.call("bpf_map__autocreate", pointer))
        first = libbpf.initial_value(pointer) if self.internal else None
        #: The bytes an internal map starts with: `const volatile` settings are written here by offset.
        self.initial: bytearray | None = None if first is None else bytearray(first)
        self._declared = (self.value_size, self.max_entries)
        if self.type in {MapType.RINGBUF, MapType.USER_RINGBUF}:
            self.value_size = 0  # some sources name the record's type; the kernel wants no value
        self.loaded = False

    @property
    def fd(self) -> int:
        """The created map's fd, owned by the object; raises BpfError before the load."""
        if not self.loaded:
            raise BpfError(f"map {self.name!r} is not created, so it has no fd; load the object with it first")
        return libbpf.call("bpf_map__fd", self.pointer)

    def entries_to_create(self) -> int:
        """`max_entries` as the kernel needs it: rings rounded up, a size chosen where the object left it open."""
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
        """Tell libbpf what the attributes say."""
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
        #: What the kernel calls the object's internal maps (cut to fit there).
        self.name = name
        self._pointer: Pointer | None = self._open()
        self.programs = {p.name: p for p in map(Program, libbpf.each("bpf_object__next_program", self._pointer))}
        self.maps = {m.name: m for m in map(Map, libbpf.each("bpf_object__next_map", self._pointer))}
        self.loaded = False

    @classmethod
    def open(cls, image: bytes, *, name: str) -> Self:
        """Read the object without touching the kernel. Raises OpenError with libbpf's words, LibbpfMissing."""
        return cls(image, name)

    def load(self) -> None:
        """Load every program with `autoload` and create the maps. Raises LoadError with the verifier's log.

        After an error the object is as before: attributes can be changed and load() called again.
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
        """Load what this kernel can take; return the programs and maps that had to be left out, each with the reason.

        A refused program loses its `autoload` and the rest is tried again. Raises LoadError when one of `required`
        is refused, when nothing would be left, or when the trouble belongs to no single program.
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
        """Who caused the failed load: the one its log names, or else the one program that fails alone too."""
        found = find_refusal(error, programs={p.name: p.kind for p in self._active()}, maps=self.maps)
        if error.errno == errno.EPERM and (found is None or found.is_map):
            raise error  # this process may not load anything
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
            self.maps[refused.name].autocreate = False  # programs that use it now fail by name, the others do not
            return [Dropped(refused.name, refused.reason, refused.log)]
        culprit = self.programs[refused.name]
        kind = (culprit.type, culprit.attach_type)
        # A kernel that refuses before verifying refuses the kind: its siblings need no attempt of their own.
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
        return [Dropped(p.name, refused.reason, refused.log) for p in out]

    def _active(self) -> list[Program]:
        return [program for program in self.programs.values() if program.autoload]

    def _open(self) -> Pointer:
        opts = libbpf.options("bpf_object_open_opts", object_name=self.name.encode(), relaxed_maps=True)
        try:
            return libbpf.make("bpf_object__open_mem", self._image, len(self._image), opts)
        except LibbpfError as error:
            raise OpenError(f"{self.name!r} is not a BPF object libbpf can open", error.errno, error.log) from error

    def _reopen(self) -> None:
        """A fresh libbpf object under the same Python ones, whose settings stay."""
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
        """Detach every link, then give all fds back, whatever fails on the way; closing twice is harmless."""
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
    """The size of ring buffer the kernel accepts nearest above `wanted`: a power of two of at least one page."""
    return max(mmap.PAGESIZE, 1 << (wanted - 1).bit_length())


def _section_of(map_name: str) -> str:
    """`.rodata` out of `myobject.rodata`; custom sections (`.rodata.keys`) already come bare."""
    if map_name.startswith("."):
        return map_name
    for section in _INTERNAL_SECTIONS:
        if map_name.endswith(section):
            return section
    return map_name
