"""The system's libbpf, called through cffi in ABI mode, without a compiler. Quarterdeck does not contain it.

It owns the declarations, the only print callback that libbpf allows, and the rule that each error has the output of
libbpf and the verifier during its call. Only this module uses cffi's untyped values: other modules see `Pointer`,
`int`, `str`. object.py and attach/ know objects and programs.

Source of the declarations: bpf/libbpf.h of libbpf 1.1, whose symbols every later 1.x keeps; option structs contain
their size, so newer libraries accept them.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, NewType

import cffi

from quarterdeck.bpf.errors import LibbpfError, LibbpfMissing

#: a pointer to an object of libbpf (object, program, map, link), never NULL
Pointer = NewType("Pointer", object)

LIBRARY = "libbpf.so.1"
_WARN = 0  # LIBBPF_WARN; 1 is informational, 2 debug
_LONGEST_MESSAGE_BYTES = 16 << 20  # the longest verifier log that libbpf requests from the kernel

_DECLARATIONS = """
const char *libbpf_version_string(void);
void *libbpf_set_print(int (*print)(int level, const char *format, void *arguments));
int libbpf_find_vmlinux_btf_id(const char *name, int attach_type);

struct bpf_object_open_opts {
    size_t sz; const char *object_name; bool relaxed_maps; const char *pin_root_path; uint32_t unused;
    const char *kconfig; const char *btf_custom_path;
};
void *bpf_object__open_mem(const void *image, size_t size, const void *opts);
int bpf_object__load(void *object);
void bpf_object__close(void *object);

void *bpf_object__next_program(const void *object, void *previous);
const char *bpf_program__name(const void *program);
const char *bpf_program__section_name(const void *program);
int bpf_program__type(const void *program);
int bpf_program__set_type(void *program, int type);
int bpf_program__expected_attach_type(const void *program);
int bpf_program__set_expected_attach_type(void *program, int type);
bool bpf_program__autoload(const void *program);
int bpf_program__set_autoload(void *program, bool on);
int bpf_program__set_attach_target(void *program, int program_fd, const char *function);
int bpf_program__fd(const void *program);

void *bpf_object__next_map(const void *object, const void *previous);
const char *bpf_map__name(const void *map);
int bpf_map__type(const void *map);
uint32_t bpf_map__key_size(const void *map);
uint32_t bpf_map__value_size(const void *map);
int bpf_map__set_value_size(void *map, uint32_t bytes);
uint32_t bpf_map__max_entries(const void *map);
int bpf_map__set_max_entries(void *map, uint32_t entries);
uint32_t bpf_map__map_flags(const void *map);
bool bpf_map__is_internal(const void *map);
bool bpf_map__autocreate(const void *map);
int bpf_map__set_autocreate(void *map, bool on);
int bpf_map__set_pin_path(void *map, const char *path);
const void *bpf_map__initial_value(void *map, size_t *size);
int bpf_map__fd(const void *map);

struct bpf_kprobe_opts { size_t sz; uint64_t bpf_cookie; size_t offset; bool retprobe; };
void *bpf_program__attach_kprobe_opts(const void *program, const char *function, const void *opts);
struct bpf_kprobe_multi_opts {
    size_t sz; const char **syms; const unsigned long *addrs; const uint64_t *cookies; size_t cnt; bool retprobe;
};
void *bpf_program__attach_kprobe_multi_opts(const void *program, const char *pattern, const void *opts);
struct bpf_ksyscall_opts { size_t sz; uint64_t bpf_cookie; bool retprobe; };
void *bpf_program__attach_ksyscall(const void *program, const char *syscall, const void *opts);
struct bpf_uprobe_opts {
    size_t sz; size_t ref_ctr_offset; uint64_t bpf_cookie; bool retprobe; const char *func_name;
};
void *bpf_program__attach_uprobe_opts(const void *program, int pid, const char *path, size_t offset, const void *opts);
struct bpf_uprobe_multi_opts {
    size_t sz; const char **syms; const unsigned long *offsets; const unsigned long *ref_ctr_offsets;
    const uint64_t *cookies; size_t cnt; bool retprobe;
};
void *bpf_program__attach_uprobe_multi(
    const void *program, int pid, const char *path, const char *pattern, const void *opts);
void *bpf_program__attach_usdt(
    const void *program, int pid, const char *path, const char *provider, const char *name, const void *opts);
void *bpf_program__attach_perf_event(const void *program, int event_fd);
void *bpf_program__attach_raw_tracepoint(const void *program, const char *name);
void *bpf_program__attach_trace(const void *program);
void *bpf_program__attach_lsm(const void *program);
void *bpf_program__attach_xdp(const void *program, int interface);
void *bpf_program__attach_cgroup(const void *program, int cgroup_fd);
void *bpf_program__attach_iter(const void *program, const void *opts);
int bpf_iter_create(int link_fd);
int bpf_link__fd(const void *link);
int bpf_link__destroy(void *link);

struct bpf_tc_hook { size_t sz; int ifindex; int attach_point; uint32_t parent; };
struct bpf_tc_opts { size_t sz; int prog_fd; uint32_t flags; uint32_t prog_id; uint32_t handle; uint32_t priority; };
int bpf_tc_hook_create(void *hook);
int bpf_tc_hook_destroy(void *hook);
int bpf_tc_attach(const void *hook, void *opts);
int bpf_tc_detach(const void *hook, const void *opts);

int vsnprintf(char *out, size_t size, const char *format, void *arguments);
"""


class Options:
    """A C struct for one call. It keeps the strings that it points to alive. `options` creates it."""

    __slots__ = ("_kept", "pointer")

    def __init__(self, pointer: Any, kept: list[Any]) -> None:
        self.pointer = pointer
        self._kept = kept

    def __getitem__(self, field: str) -> int:
        return int(getattr(self.pointer, field))

    def __setitem__(self, field: str, value: int) -> None:
        setattr(self.pointer, field, value)


#: argument of a call: bytes stay alive during the call, None is NULL
Argument = Pointer | Options | bytes | int | bool | None


class _Bound:
    """The loaded libbpf: the library, its printer, and the open log of each thread."""

    def __init__(self, library: str = LIBRARY) -> None:
        self.ffi: Any = cffi.FFI()
        self.ffi.cdef(_DECLARATIONS)
        try:
            self.library: Any = self.ffi.dlopen(library)
        except OSError as error:
            raise LibbpfMissing(
                f"{library} could not be loaded ({error}); eBPF modules need it: install the package libbpf1 (Debian, "
                f"Ubuntu) or libbpf (Fedora, RHEL, SUSE, Arch, Alpine)"
            ) from error
        self.libc: Any = self.ffi.dlopen(None)
        self.thread = threading.local()
        self._printer: Any = self.ffi.callback("int(int, const char *, void *)", self._print, error=0)
        self.library.libbpf_set_print(self._printer)

    def _print(self, level: int, form: Any, arguments: Any) -> int:
        """Append a message of libbpf to the log of the thread that called libbpf.

        A va_list is passed as a pointer on every architecture here. It can be read only once, so the buffer has space
        for the longest log; untouched pages of a fresh mapping cost nothing.
        """
        log: list[str] | None = getattr(self.thread, "log", None)
        if level > _WARN or log is None:
            return 0
        with mmap.mmap(-1, _LONGEST_MESSAGE_BYTES) as buffer:
            view = self.ffi.from_buffer("char[]", buffer)
            self.libc.vsnprintf(view, _LONGEST_MESSAGE_BYTES, form, arguments)
            log.append(self.ffi.string(view).decode("utf-8", "replace").removeprefix("libbpf: ").rstrip("\n"))
            self.ffi.release(view)
        return 0

    @contextmanager
    def logging(self) -> Generator[list[str]]:
        outer: list[str] | None = getattr(self.thread, "log", None)
        log: list[str] = []
        self.thread.log = log
        try:
            yield log
        finally:
            self.thread.log = outer


@cache
def _bound() -> _Bound:
    return _Bound()


def version() -> str:
    """Return libbpf's version, such as `1.1`. Raise `LibbpfMissing`."""
    return text("libbpf_version_string").removeprefix("v")


def has(function: str) -> bool:
    """Return whether this libbpf has `function`."""
    return hasattr(_bound().library, function)


def options(struct_name: str, **fields: int | bool | bytes | None) -> Options:
    """Return a zeroed `struct_name` with its size and the given fields set. None leaves a field unchanged."""
    ffi = _bound().ffi
    pointer = ffi.new(f"struct {struct_name} *")
    pointer.sz = ffi.sizeof(f"struct {struct_name}")
    kept: list[Any] = []
    for field, value in fields.items():
        if isinstance(value, bytes):
            kept.append(ffi.new("char[]", value))
            setattr(pointer, field, kept[-1])
        elif value is not None:
            setattr(pointer, field, value)
    return Options(pointer, kept)


def _invoke(function: str, arguments: tuple[Argument, ...]) -> tuple[Any, int, str]:
    """Return the raw result, errno and log of one call."""
    bound = _bound()
    passed: list[Any] = []
    for argument in arguments:
        if argument is None:
            passed.append(bound.ffi.NULL)
        elif isinstance(argument, Options):
            passed.append(argument.pointer)
        elif isinstance(argument, bytes):
            passed.append(bound.ffi.from_buffer("char[]", argument) if len(argument) else b"")
        else:
            passed.append(argument)
    with bound.logging() as log:
        result = getattr(bound.library, function)(*passed)
        errno = int(bound.ffi.errno)
    return result, errno, "\n".join(log)


def call(function: str, *arguments: Argument) -> int:
    """Call a function that returns an int or nothing.

    Raise `LibbpfError` with the log of the call for a negative result.
    """
    result, _, log = _invoke(function, arguments)
    if result is None:
        return 0
    if result < 0:
        raise LibbpfError(function, -int(result), log)
    return int(result)


def make(function: str, *arguments: Argument) -> Pointer:
    """Call a function that returns a new object. Raise `LibbpfError` with the log of the call for NULL."""
    result, errno, log = _invoke(function, arguments)
    if not result:
        raise LibbpfError(function, errno, log)
    return Pointer(result)


def text(function: str, *arguments: Argument) -> str:
    """Call a function that returns a string that libbpf owns."""
    result, _, _ = _invoke(function, arguments)
    return "" if not result else _bound().ffi.string(result).decode("utf-8", "replace")


def each(function: str, owner: Pointer) -> list[Pointer]:
    """Yield all objects of an iterator function such as `bpf_object__next_map`."""
    found: list[Pointer] = []
    last: Pointer | None = None
    while result := _invoke(function, (owner, last))[0]:
        last = Pointer(result)
        found.append(last)
    return found


def initial_value(map_pointer: Pointer) -> memoryview | None:
    """Return the writable initial bytes of a map (.rodata, .data …), or None.

    They are valid until its object is closed.
    """
    bound = _bound()
    size = bound.ffi.new("size_t *")
    address = bound.library.bpf_map__initial_value(map_pointer, size)
    return memoryview(bound.ffi.buffer(address, size[0])) if address else None
