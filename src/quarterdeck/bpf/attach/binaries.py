"""The file of a program or library, found by its name in the same way as by the loader of programs.

It owns the reading of the dynamic linker's cache. It does not read symbols.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from quarterdeck.bpf.errors import NotAttachable

LINKER_CACHE = Path("/etc/ld.so.cache")
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_BYTES, _ENTRY = 48, struct.Struct("<iIIIQ")  # flags, name offset, path offset, OS version, hardware
_LIBRARY_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")  # used without a cache (musl)
_ELFCLASS64 = 2


def find_binary(name: str, *, linker_cache: Path = LINKER_CACHE) -> Path:
    """Return the file of `name`: an existing path, a library of the linker's cache (`libc`), or a program in PATH.

    Raise `NotAttachable` when no such file exists.
    """
    if "/" in name:
        if not Path(name).is_file():
            raise NotAttachable(f"binary {name} does not exist on this node")
        return Path(name)
    if found := shutil.which(name):
        return Path(found)
    if library := _find_library(name, linker_cache):
        return library
    raise NotAttachable(f"binary {name!r} is neither a program in PATH nor a library the linker knows; give a path")


def _find_library(name: str, linker_cache: Path) -> Path | None:
    """Return a 64-bit library called `name`, `name.so` or `name.so.N`; without a version, the highest one."""
    stems = (name,) if ".so" in name else (f"{name}.so", f"lib{name}.so")
    libraries = _libraries(linker_cache)
    for stem in stems:
        matches = [path for soname, path in libraries if soname == stem or soname.startswith(f"{stem}.")]
        for path in sorted(matches, key=str, reverse=True):
            if _is_64_bit(Path(path)):
                return Path(path)
    return None


def _libraries(linker_cache: Path) -> list[tuple[str, str]]:
    """Yield every (soname, path) in the linker's cache (glibc ≥ 2.2 format), or without one in the usual folders."""
    if not linker_cache.exists():
        folders = [Path(folder) for folder in _LIBRARY_FOLDERS if Path(folder).is_dir()]
        return [(path.name, str(path)) for folder in folders for path in folder.glob("*.so*")]
    content = linker_cache.read_bytes()
    base = content.find(_CACHE_MAGIC)
    if base < 0:
        return []
    (count,) = struct.unpack_from("<I", content, base + len(_CACHE_MAGIC))
    entries = _ENTRY.iter_unpack(content[base + _HEADER_BYTES : base + _HEADER_BYTES + count * _ENTRY.size])
    return [(_text(content, base + name), _text(content, base + path)) for _, name, path, _, _ in entries]


def _text(content: bytes, offset: int) -> str:
    return os.fsdecode(content[offset : content.index(b"\0", offset)])


def _is_64_bit(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(5)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and head[4] == _ELFCLASS64
