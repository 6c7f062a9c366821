"""`qd file`: where pulled files go, and how a file of the server is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.cli import file
from quarterdeck.model.errors import NotFound
from quarterdeck.model.files import StoredFile
from quarterdeck.model.jobs import CommandWithJobs, Job, JobState


def command(*names: str) -> CommandWithJobs:
    jobs = [
        Job(id="c", gid=1, nid=nid, node_name=name, cmd="get_file", state=JobState.OK) for nid, name in enumerate(names)
    ]
    return CommandWithJobs(id="c", cmd="get_file", jobs=tuple(jobs))


def test_of_one_node_the_file_goes_where_it_was_told(tmp_path: Path) -> None:
    assert file.destinations(command("web"), f"{tmp_path}/x", "hosts") == {(1, 0): tmp_path / "x"}
    assert file.destinations(command("web"), f"{tmp_path}/x/", "hosts") == {(1, 0): tmp_path / "x" / "hosts"}
    assert file.destinations(command("web"), str(tmp_path), "hosts") == {(1, 0): tmp_path / "hosts"}


def test_of_several_each_has_a_folder_whatever_nodes_are_called(tmp_path: Path) -> None:
    names = ("web", "..", "a/b", "twin", "twin", "", ".")
    found = file.destinations(command(*names), str(tmp_path), "hosts")
    folders = ["web", "1-1", "1-2", "1-3", "1-4", "1-5", "1-6"]
    assert list(found.values()) == [tmp_path / folder / "hosts" for folder in folders]


def test_a_file_is_named_by_the_beginning_of_its_hash() -> None:
    files = [StoredFile(sha256=letter * 64, size=1) for letter in "ab"] + [StoredFile(sha256="ac" * 32, size=1)]
    assert file.named_file(files, "BB") is files[1]
    assert file.named_file(files, "aa") is files[0]
    for named, words in (("a", "more than one"), ("c", "no file"), ("", "no file")):
        with pytest.raises(NotFound, match=words):
            file.named_file(files, named)
