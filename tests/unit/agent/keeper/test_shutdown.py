"""What a keeper left on disk, whatever became of it there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quarterdeck.agent.keeper.shutdown import FOLDER, count_running
from quarterdeck.keeper.child import left_behind


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"5\n", b"[]\n", b"{}\n", b'{"id": 1, "groups": 7}\n', b"[" * 100_000]
)
def test_a_damaged_file_is_no_child_and_no_fault(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / FOLDER / "children"
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(content)
    (folder / "2").write_text(f'{{"pid": {os.getpid()}}}\n')
    assert left_behind(str(folder / "1")) is None
    assert count_running(tmp_path) == 1
