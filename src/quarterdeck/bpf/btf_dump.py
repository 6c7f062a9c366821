"""BTF as C declarations, in an order that compiles: the output of `bpftool btf dump … format c`.

libbpf's dumper writes through the C library's vfprintf, so that no Python runs for each of the two million pieces that
it prints. This module owns only that call; the caller adds the text around the declarations.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import cffi

from quarterdeck.bpf.btf import KERNEL_BTF
from quarterdeck.bpf.errors import BpfError, LibbpfMissing, errno_text
from quarterdeck.bpf.libbpf import LIBRARY

# bpf/btf.h of libbpf 1.0, and stdio: vfprintf has exactly the signature of the dumper's print function.
_DECLARATIONS = """
void *btf__parse(const char *path, void **extension);
unsigned int btf__type_cnt(const void *btf);
void btf__free(void *btf);
void *btf_dump__new(const void *btf, void *print, void *context, const void *options);
int btf_dump__dump_type(void *dump, unsigned int id);
struct btf_dump_emit_type_decl_opts { size_t sz; const char *field_name; int indent_level; bool strip_mods; };
int btf_dump__emit_type_decl(void *dump, unsigned int id, const struct btf_dump_emit_type_decl_opts *options);
void btf_dump__free(void *dump);
typedef struct FILE FILE;
FILE *fdopen(int fd, const char *mode);
int fputs(const char *text, FILE *stream);
int fflush(FILE *stream);
int fclose(FILE *stream);
int vfprintf(FILE *stream, const char *format, ...);
"""


def dump_types(path: Path = KERNEL_BTF, *, functions: dict[str, int] | None = None) -> tuple[str, str]:
    """Return all types of `path` as C, and `extern` declarations of `functions` (name → id of its prototype).

    Raise `BpfError` when the file has no BTF that libbpf can read, `LibbpfMissing` without libbpf. It takes about 0.2 s
    for a kernel.
    """
    ffi: Any = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    try:
        library: Any = ffi.dlopen(LIBRARY)
    except OSError as error:
        raise LibbpfMissing(f"{LIBRARY} is not installed, which is needed to print the kernel's types") from error
    libc: Any = ffi.dlopen(None)
    btf = library.btf__parse(os.fsencode(path), ffi.NULL)
    if not btf:
        raise BpfError(f"expected the types of a kernel in {path}, found none: {errno_text(ffi.errno)}")
    try:
        types = _captured(ffi, libc, library, btf, _print_types)
        return types, _captured(ffi, libc, library, btf, _function_printer(functions or {}))
    finally:
        library.btf__free(btf)


def _captured(ffi: Any, libc: Any, library: Any, btf: Any, fill: Any) -> str:
    """Return the text that `fill` prints with a dumper of its own."""
    with tempfile.TemporaryFile() as file:
        stream = libc.fdopen(os.dup(file.fileno()), b"w")
        dump = library.btf_dump__new(btf, ffi.addressof(libc, "vfprintf"), stream, ffi.NULL)
        try:
            if not dump:
                raise BpfError(f"libbpf cannot print types: {errno_text(ffi.errno)}")
            fill(ffi, libc, library, btf, dump, stream)
        finally:
            if dump:
                library.btf_dump__free(dump)
            libc.fclose(stream)
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def _print_types(_ffi: Any, _libc: Any, library: Any, btf: Any, dump: Any, _stream: Any) -> None:
    for type_id in range(1, library.btf__type_cnt(btf)):
        failed = library.btf_dump__dump_type(dump, type_id)
        if failed:
            raise BpfError(f"libbpf cannot print type {type_id}: {errno_text(-failed)}")


def _function_printer(functions: dict[str, int]) -> Any:
    def fill(ffi: Any, libc: Any, library: Any, _btf: Any, dump: Any, stream: Any) -> None:
        for name, prototype in functions.items():
            field_name = ffi.new("char[]", name.encode())
            options = ffi.new("struct btf_dump_emit_type_decl_opts *")
            options.sz, options.field_name = ffi.sizeof("struct btf_dump_emit_type_decl_opts"), field_name
            libc.fputs(b"extern ", stream)
            failed = library.btf_dump__emit_type_decl(dump, prototype, options)
            if failed:
                raise BpfError(f"libbpf cannot print function {name}: {errno_text(-failed)}")
            libc.fputs(b" __weak __ksym;\n", stream)

    return fill
