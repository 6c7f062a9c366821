"""Damaged files are set aside, a few of them."""

from __future__ import annotations

import os
from pathlib import Path

from quarterdeck.kit.damaged_files import found, set_aside


def test_a_file_is_renamed_with_what_sqlite_keeps_beside_it(tmp_path: Path) -> None:
    for name in ("jobs.db", "jobs.db-wal"):
        (tmp_path / name).write_text(name)
    set_aside(tmp_path / "jobs.db", tmp_path / "jobs.db.damaged-1", pattern="*.damaged-?", keep=4)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "jobs.db.damaged-1": "jobs.db",
        "jobs.db.damaged-1-wal": "jobs.db-wal",
    }


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / "jobs.db"
        path.touch()
        os.utime(path, (number, number))
        set_aside(path, tmp_path / f"{number}.damaged", pattern="*.damaged", keep=2)
    assert [path.name for path in found(tmp_path, "*.damaged")] == ["3.damaged", "4.damaged"]


def test_a_file_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    set_aside(tmp_path / "gone.seg", tmp_path / "gone.damaged", pattern="*.damaged", keep=2)
    assert not list(tmp_path.iterdir())
