"""Files with a checksum: what was written or damage, never something else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.desired import DesiredFile
from quarterdeck.kit.checked_files import read_checked, write_checked
from quarterdeck.model.services import DesiredService
from quarterdeck.testing.placements import desired_set

WANTED = desired_set(300, services=(DesiredService(name="web", version="1", settings={"command": ["true"]}),))


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "desired").write_bytes(msgspec.msgpack.encode(WANTED))
    assert DesiredFile(tmp_path / "desired").load() == WANTED


def test_whichever_bit_rots_and_wherever_it_is_cut_it_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "desired"
    DesiredFile(path).save(WANTED)
    whole = path.read_bytes()
    assert DesiredFile(path).load() == WANTED
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            assert DesiredFile(path).load() is None, (place, bit)
        path.write_bytes(whole[:place])
        assert DesiredFile(path).load() is None, place


def test_an_empty_content_is_told_from_a_missing_file(tmp_path: Path) -> None:
    write_checked(tmp_path / "a", b"")
    assert read_checked(tmp_path / "a") == b""
    with pytest.raises(FileNotFoundError):
        read_checked(tmp_path / "b")
