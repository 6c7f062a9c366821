"""Files that are written whole, privately and durably, and files in folders where other users may write.

Keeps no file open and knows nothing of what is in one. Raises OSError.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

#: number of bytes that are read at once
STEP_BYTES = 1024 * 1024
#: how often a file that another user created in its place is removed
_TRIES = 100


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably: a reader, or a restart after a crash, sees the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, mode 0600, also while others write the same file: a reader never sees a part of it.

    After a crash of the system the file may be lost: for what can be made again.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", suffix=".new", delete=False) as file:
        fresh = Path(file.name)
        try:
            file.write(content)
            file.flush()
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def open_own(path: Path) -> int:
    """Open a file that is kept across restarts, for reading and writing, or create it (mode 0600).

    Another user who may write to its folder may have put something else there: a link, a hard link to another file, a
    file that he has open. Such a file is never opened; it is removed, or an error is raised where that is not allowed.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            continue  # it was removed in the meantime
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENXIO, errno.EACCES}:
                raise
        else:
            if _is_own(os.fstat(descriptor)):
                return descriptor
            os.close(descriptor)
        path.unlink(missing_ok=True)
    raise FileExistsError(errno.EEXIST, "another user keeps creating files there", path)


def _is_own(state: os.stat_result) -> bool:
    """Return whether only this user can have created the file and can write to it."""
    return (
        stat.S_ISREG(state.st_mode)
        and state.st_uid == os.geteuid()
        and state.st_nlink == 1
        and stat.S_IMODE(state.st_mode) == 0o600
    )


def sync_folder(folder: Path) -> None:
    """Put the folder on disk: a rename or a removal in it is there only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(descriptor: int) -> tuple[str, int]:
    """Return the hash of an open file, and the number of bytes that it was made of."""
    hashed, size = hashlib.sha256(), 0
    while data := os.pread(descriptor, STEP_BYTES, size):
        hashed.update(data)
        size += len(data)
    return hashed.hexdigest(), size
