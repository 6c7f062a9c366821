"""Giving memory back takes only pages that the files still have."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

from quarterdeck.agent import memory

HEAD = "{place} {permissions} 00000000 fe:01 1234   {path}\nSize:  8 kB\nRss:  8 kB\n"
TAIL = "LazyFree:              0 kB\nVmFlags: rd mr\n"


def entry(place: str, permissions: str, path: str, *, anonymous_kb: int) -> str:
    return HEAD.format(place=place, permissions=permissions, path=path) + f"Anonymous:{anonymous_kb:14} kB\n" + TAIL


def test_only_unchanged_pages_of_files_are_let_go() -> None:
    smaps = "".join(
        [
            entry("1000-2000", "r-xp", "/usr/lib/libc.so.6", anonymous_kb=0),
            entry("2000-4000", "r--p", "/usr/lib/libc.so.6", anonymous_kb=0),
            entry("4000-5000", "r--p", "/usr/lib/libc.so.6", anonymous_kb=4),  # relocated: not what the file has
            entry("5000-6000", "rw-p", "/usr/lib/libc.so.6", anonymous_kb=0),
            entry("6000-7000", "r-xp", "", anonymous_kb=0),
            entry("7000-8000", "r-xp", "[vdso]", anonymous_kb=0),
            entry("8000-9000", "r--s", "/dev/shm/shared", anonymous_kb=0),
        ]
    )
    assert list(memory._unchanged(smaps)) == [(0x1000, 0x2000), (0x2000, 0x4000)]


def test_a_process_goes_on_with_what_it_gave_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"unchanged" + bytes(mmap.PAGESIZE))
    libc = ctypes.CDLL(None)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        assert mapped[:9] == b"unchanged"
        memory.give_back()
        assert mapped[:9] == b"unchanged"
    assert libc.getpid() > 0
    assert sorted([3, 1, 2]) == [1, 2, 3]
