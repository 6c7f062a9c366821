"""Files that are written whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.kit.files import file_sha256, write_private, write_whole

Write = Callable[[Path, bytes], None]


@pytest.mark.parametrize("write", [write_private, write_whole], ids=["private", "whole"])
def test_a_file_is_replaced_for_its_owner_alone(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key.pem"]


@pytest.mark.parametrize("write", [write_private, write_whole], ids=["private", "whole"])
def test_when_the_file_cannot_be_replaced_nothing_is_left_beside_it(tmp_path: Path, write: Write) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write(tmp_path / "taken", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_the_hash_of_an_open_file_is_of_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert file_sha256(descriptor) == ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)
    finally:
        os.close(descriptor)
