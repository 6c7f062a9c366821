"""The cache of compiled objects: a folder in which no other user can write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.modulekit import cache


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the place for temporary files; the user's own folder cannot be created."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("QD_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"quarterdeck-cache-{os.getuid()}"


def test_it_is_made_private(temporary: Path) -> None:
    assert cache.folder() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700
    assert cache.folder() == temporary


def linked(place: Path) -> None:
    place.symlink_to(place.parent)


def open_to_all(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


@pytest.mark.parametrize("plant", [linked, open_to_all, Path.touch])
def test_one_that_others_may_write_or_made_is_not_used(temporary: Path, plant: Callable[[Path], None]) -> None:
    plant(temporary)
    with pytest.raises(OSError):  # noqa: PT011 (of each kind another)
        cache.folder()
