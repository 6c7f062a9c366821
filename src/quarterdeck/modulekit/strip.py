"""Removal of debugging information from an eBPF object: 700 KB of DWARF that is not needed. BTF stays.

Sections keep their numbers (a removed section stays as an empty header), so symbols and relocations stay valid. It owns
the rewriting of 64-bit little-endian ELF of our own compiler; other objects are unchanged.
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOBITS = 8
_DROPPED = (b".debug_", b".rel.debug_", b".eh_frame", b".rel.eh_frame", b".llvm_addrsig")


def strip_debug(image: bytes) -> bytes:
    """Return the object without DWARF, exception frames and address-significance tables."""
    header = list(_HEADER.unpack_from(image))
    offset, count, names_index = header[6], header[12], header[13]
    sections = [list(_SECTION.unpack_from(image, offset + index * _SECTION.size)) for index in range(count)]
    names_at = sections[names_index][4]
    kept = bytearray(image[: _HEADER.size])
    for section in sections:
        name_at, kind, start, size, align = section[0], section[1], section[4], section[5], section[8]
        name = image[names_at + name_at : image.index(b"\0", names_at + name_at)]
        if kind == _NOBITS or not size:
            continue
        kept += bytes(-len(kept) % max(align, 1))
        section[4] = len(kept)
        if name.startswith(_DROPPED):
            section[5] = 0
        else:
            kept += image[start : start + size]
    kept += bytes(-len(kept) % 8)
    header[6] = len(kept)
    for section in sections:
        kept += _SECTION.pack(*section)
    _HEADER.pack_into(kept, 0, *header)
    return bytes(kept)
