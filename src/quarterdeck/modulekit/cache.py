"""The cache folder of compiled objects and generated headers. Everything in it can be deleted.

It owns the location (`QD_CACHE`, else the user's cache folder) and atomic writes, so that parallel builds never read a
partial file. Names are hashes of all inputs of the content, so no file is ever out of date.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from quarterdeck.kit.files import write_whole


def folder() -> Path:
    """Return the cache folder, created if needed; for a user without a writable home, a private temporary folder."""
    chosen = os.environ.get("QD_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarterdeck"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir()) / f"quarterdeck-cache-{os.getuid()}"
        base.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(base.lstat()):  # another user may have created it first, or a link to another folder
            raise
    return base


def _is_private(state: os.stat_result) -> bool:
    """Return whether only this user can write to the folder."""
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022


def key(*parts: bytes | str) -> str:
    """Return a name for content that depends only on `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def store(path: Path, content: bytes) -> None:
    """Write the file atomically, even if others write the same file at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
