"""From the name of a program or library to its file, as the loader of programs finds it.

Owns reading the dynamic linker's cache; knows nothing of symbols.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from quarterdeck.bpf.errors import NotAttachable

_CACHE = Path("/etc/ld.so.cache")
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_BYTES, _ENTRY = 48, struct.Struct("<iIIIQ")  # flags, name offset, path offset, OS version, hardware
_LIBRARY_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")  # where there is no cache (musl)
_ELFCLASS64 = 2


def find_binary(name: str) -> Path:
    """The file of `name`: a path as it is, `libc` or `libssl.so.3` from the linker's cache, others from PATH.

    Raises NotAttachable when there is none.
    """
    if "/" in name:
        if not Path(name).is_file():
            raise NotAttachable(f"binary {name} does not exist on this node")
        return Path(name)
    if found := shutil.which(name):
        return Path(found)
    if library := _find_library(name):
        return library
    raise NotAttachable(f"binary {name!r} is neither a program in PATH nor a library the linker knows; give a path")


def _find_library(name: str) -> Path | None:
    """A 64-bit library called `name`, `name.so` or `name.so.N`; the highest version where it is left open."""
    stems = (name,) if ".so" in name else (f"{name}.so", f"lib{name}.so")
    libraries = _libraries()
    for stem in stems:
        matches = [path for soname, path in libraries if soname == stem or soname.startswith(f"{stem}.")]
        for path in sorted(matches, key=str, reverse=True):
            if _is_64_bit(Path(path)):
                return Path(path)
    return None


def _libraries() -> list[tuple[str, str]]:
    """Every (soname, path) of the linker's cache (glibc ≥ 2.2 format), or of the usual folders without one."""
    if not _CACHE.exists():
        folders = [Path(folder) for folder in _LIBRARY_FOLDERS if Path(folder).is_dir()]
        return [(path.name, str(path)) for folder in folders for path in folder.glob("*.so*")]
    content = _CACHE.read_bytes()
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
