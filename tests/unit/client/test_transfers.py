"""The file that a download writes to until it is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quarterdeck.client.transfers import Download
from quarterdeck.model.errors import BadInput
from quarterdeck.model.files import FileStatus

STATUS = FileStatus(sha256="ab" * 32, size=4, complete=True)


@pytest.mark.parametrize("plant", [os.symlink, os.link])
def test_a_link_in_the_parts_place_is_refused(tmp_path: Path, plant: object) -> None:
    secret, part = tmp_path / "secret", tmp_path / f".hosts.{STATUS.sha256[:16]}.part"
    secret.write_text("mine")
    assert callable(plant)
    plant(secret, part)
    with pytest.raises(BadInput, match="created by another user"):
        Download(tmp_path / "hosts", STATUS)
    assert secret.read_text() == "mine"


def test_a_download_continues_its_own_partial_file(tmp_path: Path) -> None:
    with Download(tmp_path / "hosts", STATUS) as first:
        first.write(b"ab")
    with Download(tmp_path / "hosts", STATUS) as second:
        assert second.at == 2
