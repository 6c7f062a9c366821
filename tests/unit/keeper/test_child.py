"""What a keeper finds of the children that an earlier one left."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.keeper import child_file
from quarterdeck.keeper.child import left_in


def left(folder: Path) -> dict[int, str | None]:
    return {number: child.id if child else None for number, child in left_in(str(folder))}


def test_a_file_that_cannot_be_read_stays_and_its_number_is_not_used_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    child_file.append(str(tmp_path / "3"), [{"id": "web", "groups": [], "began": 1.0}])
    (tmp_path / "4").symlink_to(tmp_path / "4")  # too many levels of symbolic links
    assert left(tmp_path) == {3: "web", 4: None}
    assert (tmp_path / "4").is_symlink()
    assert f"{tmp_path}/4 cannot be read: " in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{", b"[1]\n", b'{"id": "web"}\n', b'{"id": 3, "groups": 4}\n'])
def test_a_file_without_a_child_is_reported_and_removed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "5").write_bytes(content)
    assert left(tmp_path) == {5: None}
    assert not (tmp_path / "5").exists()
    assert f"{tmp_path}/5 cannot be parsed" in capfd.readouterr().err


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "3.output").write_bytes(b"text")
    assert left(tmp_path) == {}
    assert (tmp_path / "3.output").exists()
