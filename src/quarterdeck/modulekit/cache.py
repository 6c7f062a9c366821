"""The folder in which compiled objects and generated headers wait to be used again. Everything in it can be deleted.

Owns the place (`QD_CACHE`, else the user's cache folder) and whole-file writes, so that parallel builds never see half
a file. Names are hashes of all that went into the content: nothing in here is ever out of date.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def folder() -> Path:
    """The cache folder, made if need be; a private temporary one where the user has no home that can be written."""
    chosen = os.environ.get("QD_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarterdeck"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir()) / f"quarterdeck-cache-{os.getuid()}"
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise
    return base


def key(*parts: bytes | str) -> str:
    """A name for what follows from `parts` and nothing else."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def store(path: Path, content: bytes) -> None:
    """Write the whole file or nothing, whoever else writes the same one meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
