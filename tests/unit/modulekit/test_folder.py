"""A module's files: plain files of the folder, within limits, and nothing outside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.model.errors import BadInput, NotFound, TooLarge
from quarterdeck.modulekit import folder
from quarterdeck.modulekit.folder import check_files, read_folder


def test_reads_subfolders_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "a.h").write_bytes(b"h")
    (tmp_path / "module.toml").write_bytes(b"t")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"secret")
    (tmp_path / ".env").write_bytes(b"secret")
    assert read_folder(tmp_path) == {"include/a.h": b"h", "module.toml": b"t"}


def test_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(BadInput, match="'passwords' is not a regular file"):
        read_folder(tmp_path)


def test_says_that_a_folder_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        read_folder(tmp_path / "nowhere")


def test_stops_at_the_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 10)
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(TooLarge, match="'big' is too large"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a//b", "./a", "a/../b", "", ".", "a\\b", "a\nb", "x" * 300])
def test_refuses_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(BadInput, match="not a name for a file"):
        check_files({"module.toml": b"", name: b""})


def test_refuses_a_name_that_is_a_file_and_a_folder() -> None:
    with pytest.raises(BadInput, match=r"'a\.h' is both"):
        check_files({"module.toml": b"", "a.h": b"", "a.h/b.h": b""})


def test_wants_a_manifest() -> None:
    with pytest.raises(BadInput, match=r"no module\.toml"):
        check_files({"a.bpf.c": b""})


def test_refuses_too_many_files() -> None:
    with pytest.raises(TooLarge):
        check_files({f"f{index}": b"" for index in range(folder.MAX_FILES + 1)})
