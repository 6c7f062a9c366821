"""Small files that the agent keeps for its next run, with a checksum that detects damage."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec

from quarterdeck.kit.files import write_private

#: precedes the checksum; our msgpack never starts with it, and files of earlier versions have neither
_MARK = b"\xc1CRC"
_CHECKSUM_BYTES = 4


def write_checked(path: Path, content: bytes) -> None:
    """Replace the file at `path`, durably and atomically."""
    write_private(path, _MARK + zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big") + content)


def read_checked(path: Path) -> bytes:
    """Return the written content. Raise `DecodeError` when it has changed since, OSError when it cannot be read."""
    whole = path.read_bytes()
    if not whole.startswith(_MARK):
        return whole
    checksum, content = whole[len(_MARK) :][:_CHECKSUM_BYTES], whole[len(_MARK) + _CHECKSUM_BYTES :]
    if zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        raise msgspec.DecodeError("it does not match its checksum")
    return content
