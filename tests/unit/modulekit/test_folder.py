"""A module's files: plain files of the folder, within limits, and no files outside it."""

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


@pytest.mark.parametrize(
    "aim", ["/etc/passwd", "../outside.h", "include/../../outside.h", "chain", "../module/x/../../outside.h"]
)
def test_no_link_leads_out_of_the_folder(aim: str, tmp_path: Path) -> None:
    (tmp_path / "outside.h").write_bytes(b"secret")
    module = tmp_path / "module"
    (module / "include").mkdir(parents=True)
    (module / "chain").symlink_to("/etc/hostname")
    (module / "passwords").symlink_to(aim)
    with pytest.raises(BadInput, match="is a link that leads out of the module's folder"):
        read_folder(module)


def test_a_link_is_the_file_of_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    module = tmp_path / "module"
    (module / "include").mkdir(parents=True)
    (module / "include" / "event.h").write_bytes(b"struct event;")
    (module / "event.h").symlink_to("include/event.h")
    (module / "again.h").symlink_to(module / "event.h")
    (tmp_path / "elsewhere").symlink_to(module)
    whole = dict.fromkeys(("again.h", "event.h", "include/event.h"), b"struct event;")
    assert read_folder(module) == read_folder(tmp_path / "elsewhere") == whole


@pytest.mark.parametrize("aim", ["missing.h", "ring.h"])
def test_a_link_to_no_file_is_refused(aim: str, tmp_path: Path) -> None:
    (tmp_path / "ring.h").symlink_to(aim)
    with pytest.raises(BadInput, match=r"'ring\.h' is not a regular file"):
        read_folder(tmp_path)


def test_a_linked_folder_is_read_where_it_lies_inside(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "a.h").write_bytes(b"a")
    (tmp_path / "inc").symlink_to("include")
    assert read_folder(tmp_path) == {"inc/a.h": b"a", "include/a.h": b"a"}
    (tmp_path / "system").symlink_to("/etc")
    with pytest.raises(BadInput, match="'system' is a link that leads out"):
        read_folder(tmp_path)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    with pytest.raises(BadInput, match="'a/other/other' is a link that leads in a circle"):
        read_folder(tmp_path)


def test_says_that_a_folder_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        read_folder(tmp_path / "nowhere")


def test_stops_at_the_size_limit(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(folder.MAX_FILE_BYTES + 1)
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
