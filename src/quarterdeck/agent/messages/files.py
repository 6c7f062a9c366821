"""The files of a message store by their names: `current.db`, the full ones before it, and those that are damaged.

Owns the names, their order, and the lock under which files are created, renamed and removed: the store works on one
thread, and readers may work on another. `received` shows a reader that messages which it has not read may have moved
into a file that it has read.
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from quarterdeck.kit.damaged_files import found

#: the pattern of the names of files that were set aside
DAMAGED = "*.damaged"


class Files:
    """The files of `folder`. While `still` is held, no file is created, renamed or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current.db"
        self.still = threading.RLock()
        self.received = Counter[Path]()  #: how often each file received messages of the next one

    def full(self) -> list[Path]:
        """Return the full files, `EPOCH.db`, oldest first."""
        return sorted((path for path in self.folder.glob("*.db") if path.stem.isdecimal()), key=lambda p: int(p.stem))

    def damaged(self) -> list[Path]:
        """Return the files that were set aside, oldest first."""
        return found(self.folder, DAMAGED)

    def unfinished(self) -> list[Path]:
        """Return the temporary files that were to replace another file."""
        return list(self.folder.glob("*.part"))

    def unfinished_of(self, path: Path) -> Path:
        """Return the path of the temporary file that is to replace this one."""
        return path.with_suffix(".part")

    def size_bytes(self) -> int:
        """Return the size of all files, including damaged ones."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if ".db" in path.name)
