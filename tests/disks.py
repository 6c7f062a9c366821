"""Small disks that can be filled: file systems in memory, mounted for a test."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fleet import eventually
from tests.support import require

MB = 1024 * 1024


class SmallDisk:
    """A file system of `size` bytes mounted on `folder`."""

    def __init__(self, folder: Path, size: int) -> None:
        require(os.geteuid() == 0, "mounting a small file system needs root")
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, check=False)
        require(mounted.returncode == 0, "mounting a small file system is not permitted here")

    def fill(self) -> None:
        """Take every byte that is free now."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def clear(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink()

    @contextmanager
    def full(self) -> Generator[None]:
        """No byte is free in this block, also when what works on the disk frees some."""
        over = threading.Event()

        def keep_full() -> None:
            while not over.wait(0.005):
                self.fill()

        filling = threading.Thread(target=keep_full)
        filling.start()
        try:
            eventually(lambda: not os.statvfs(self.folder).f_bavail, "the disk to be full")
            yield
        finally:
            over.set()
            filling.join()
            self.clear()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
