"""Damaged files are set aside for a person to look at, never deleted at once and never without a limit."""

from __future__ import annotations

from pathlib import Path

from quarterdeck.kit import sqlite
from quarterdeck.kit.files import sync_folder


def found(folder: Path, pattern: str) -> list[Path]:
    """Return the files that were set aside under names of this pattern, the oldest first."""
    return sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime, path.name))


def set_aside(path: Path, aside: Path, *, pattern: str, keep: int) -> None:
    """Rename a damaged file, with what SQLite keeps beside it, durably; leave the newest `keep` that `pattern` matches.

    A file that is gone already is no error. Raise OSError when the folder takes no rename.
    """
    sqlite.rename(path, aside)
    sync_folder(aside.parent)
    for old in found(aside.parent, pattern)[:-keep]:
        sqlite.remove(old)
