"""The desired set on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from quarterdeck.agent.desired import DesiredFile
from quarterdeck.testing.placements import desired_set


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = DesiredFile(tmp_path / "desired")
    assert file.load() is None
    file.save(desired_set(4))
    assert file.load() == desired_set(4)
    assert stat.S_IMODE((tmp_path / "desired").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x81\xa8revision\xa1x"])
def test_a_damaged_file_is_no_set(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "desired").write_bytes(content)
    assert DesiredFile(tmp_path / "desired").load() is None
    assert "damaged" in caplog.text


def test_a_disk_that_takes_nothing_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    DesiredFile(tmp_path / "missing" / "desired").save(desired_set(1))
    assert "could not be kept" in caplog.text
