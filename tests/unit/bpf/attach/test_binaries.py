"""Names of programs and libraries to files."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest

from quarterdeck.bpf.attach.binaries import find_binary
from quarterdeck.bpf.errors import NotAttachable

CACHE = "ld.so.cache"
_ELF64, _ELF32 = b"\x7fELF\x02", b"\x7fELF\x01"


def linker_cache(libraries: dict[str, str]) -> bytes:
    entries, strings = b"", b""
    base = 48 + 24 * len(libraries)
    for soname, path in libraries.items():
        entries += struct.pack("<iIIIQ", 0x303, base + len(strings), base + len(strings) + len(soname) + 1, 0, 0)
        strings += soname.encode() + b"\0" + path.encode() + b"\0"
    header = b"glibc-ld.so.cache1.1" + struct.pack("<II", len(libraries), len(strings))
    return b"ld.so-1.7.0\0old part" + header.ljust(48, b"\0") + entries + strings


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder of libraries, and the linker's cache of them."""
    found = {
        "libx.so.1": _ELF64,
        "libx.so.2": _ELF64,
        "libx.so.3": _ELF32,
        "libxyz.so": _ELF64,
    }
    for name, content in found.items():
        (tmp_path / name).write_bytes(content)
    cached = {name: str(tmp_path / name) for name in [*found, "libgone.so.1"]}
    (tmp_path / CACHE).write_bytes(linker_cache(cached))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [("libx", "libx.so.2"), ("x", "libx.so.2"), ("libx.so.1", "libx.so.1"), ("libxyz.so", "libxyz.so")],
)
def test_library(libraries: Path, name: str, file: str) -> None:
    assert find_binary(name, linker_cache=libraries / CACHE) == libraries / file


@pytest.mark.parametrize("name", ["libgone", "libx.so.3", "nothing-of-this-name"])
def test_no_library(libraries: Path, name: str) -> None:
    with pytest.raises(NotAttachable, match="neither a program in PATH nor a library the linker knows"):
        find_binary(name, linker_cache=libraries / CACHE)


def test_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "some-program"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_binary("some-program") == program
    assert find_binary(sys.executable) == Path(sys.executable)


def test_no_file() -> None:
    with pytest.raises(NotAttachable, match="binary /no/such does not exist on this node"):
        find_binary("/no/such")
