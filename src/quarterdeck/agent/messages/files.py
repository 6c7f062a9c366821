"""The files of a message store by their names: `current.db`, the full ones before it, and those that are damaged.

Owns the names and their order, and the lock under which files are made, renamed and removed: the store works on one
thread, and who reads may be on another.
"""

from __future__ import annotations

import threading
from pathlib import Path


class Files:
    """Of `folder`. `still`: while it is held, they stay as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current.db"
        self.still = threading.RLock()

    def full(self) -> list[Path]:
        """`EPOCH.db`, oldest first."""
        return sorted((path for path in self.folder.glob("*.db") if path.stem.isdecimal()), key=lambda p: int(p.stem))

    def damaged(self) -> list[Path]:
        """Those set aside, oldest first."""
        return sorted(self.folder.glob("*.damaged"), key=lambda file: file.stat().st_mtime)

    def size_bytes(self) -> int:
        """Of all, damaged ones too."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if ".db" in path.name)
