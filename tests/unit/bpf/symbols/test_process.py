"""The text of /proc/PID/maps."""

from __future__ import annotations

import numpy as np

from quarterdeck.bpf.symbols.process import Mapping, Maps

MAPS = b"""55d000000000-55d000001000 r--p 00000000 fe:00 1234                       /usr/bin/a program
55d000001000-55d000003000 r-xp 00001000 fe:00 1234                       /usr/bin/a program
7f0000000000-7f0000001000 rwxp 00000000 00:00 0
7f0000002000-7f0000003000 r-xp 00026000 fe:00 99                         /usr/lib/libc.so.6 (deleted)
7ffff0000000-7ffff0002000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def test_executable_mappings_are_read() -> None:
    maps = Maps.parse(MAPS)
    assert maps.mappings[0] == Mapping(0x55D000001000, 0x55D000003000, 0x1000, "fe:00", 1234, "/usr/bin/a program")
    assert [mapping.name for mapping in maps.mappings] == ["a program", "[anon]", "libc.so.6", "[vdso]", "[vsyscall]"]


def test_addresses_are_found_in_their_mapping() -> None:
    addresses = [0, 0x55D000000FFF, 0x55D000001000, 0x55D000003000, 0x7F0000002FFF, 0xFFFFFFFFFF600000, 2**64 - 1]
    found = Maps.parse(MAPS).find(np.array(addresses, dtype=np.uint64))
    assert found.tolist() == [-1, -1, 0, -1, 2, 4, -1]
    assert Maps.parse(b"").find(np.array([5], dtype=np.uint64)).tolist() == [-1]
