"""Metadata of a file that is put on a node, and what it keeps of the file that it replaces.

Owns setting the owner, mode and extended attributes (ACLs, labels, file capabilities) on the new inode. What the system
does not let the agent set is reported, never silently lost.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import NotFound, NotInstalled
from quarterdeck.model.files import PutFileArguments

#: the mode of a new file
MODE = 0o644
#: set-user-id, set-group-id and sticky
_SPECIAL = 0o7000
_BLOCK_BYTES = 512


class Wanted:
    """The metadata of a received file. `replaced` is the state of the regular file that it replaces, if any."""

    def __init__(self, mode: int, owner: tuple[int, int] | None, replaced: os.stat_result | None) -> None:
        self.mode = mode
        self.owner = owner
        self._replaced = replaced
        self._lost: list[str] = []

    @classmethod
    def of(cls, given: PutFileArguments, present: os.stat_result | None) -> Self:
        """Return what the arguments ask for, given the file that is at the path now."""
        replaced = present if present is not None and stat.S_ISREG(present.st_mode) else None
        owner = _owner(given.user)
        if replaced is None:
            return cls(int(given.mode, 8) if given.mode else MODE, owner, None)
        mode = int(given.mode, 8) if given.mode else stat.S_IMODE(replaced.st_mode)
        if len(given.mode) == 3:  # sets no special bits
            mode |= replaced.st_mode & _SPECIAL
        return cls(mode, owner or (replaced.st_uid, replaced.st_gid), replaced)

    @property
    def sparse(self) -> bool:
        """Return whether blocks of zeros become holes, as in the old file."""
        blocks: int = getattr(self._replaced, "st_blocks", 0)
        return self._replaced is not None and blocks * _BLOCK_BYTES < self._replaced.st_size

    @property
    def note(self) -> str:
        """Return which attributes of the old file the new one lacks; empty when there are none."""
        notes = [f"The file it replaced had {', '.join(self._lost)}: not kept."] if self._lost else []
        others = self._replaced.st_nlink - 1 if self._replaced is not None else 0
        if others > 0:
            more = f"{others} more hard link{'s' * (others != 1)}"
            notes.append(f"The file it replaced has {more}, with the old content.")
        return " ".join(notes)

    def give(self, descriptor: int, target: Path) -> None:
        """Set the metadata on an open file before it takes the place of `target`."""
        self._lost.clear()
        self._set_owner(descriptor)
        if self._replaced is not None:
            self._lost.extend(_copy_attributes(target, descriptor))
        self._set_mode(descriptor)

    def set(self, descriptor: int) -> None:
        """Set the metadata on a file that already has its content."""
        self._set_owner(descriptor)
        self._set_mode(descriptor)

    def _set_owner(self, descriptor: int) -> None:
        if sys.platform == "win32" or self.owner is None:
            return
        state = os.fstat(descriptor)
        if self.owner != (state.st_uid, state.st_gid):
            os.fchown(descriptor, *self.owner)

    def _set_mode(self, descriptor: int) -> None:
        if sys.platform != "win32":
            os.fchmod(descriptor, self.mode)  # after the owner, because chown clears the set-user-id bit


def present_at(target: Path) -> os.stat_result | None:
    """Return the state of what is at the path now; a symbolic link is not followed."""
    try:
        return target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise disk_error(error, target) from error


def _copy_attributes(target: Path, descriptor: int) -> Iterator[str]:
    """Copy the extended attributes of `target` to an open file; yield the refused ones, with the reason."""
    if sys.platform != "linux":
        return
    try:
        names = os.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.ENOENT}:
            yield f"attributes that cannot be read ({error.strerror})"
        return
    for name in names:
        try:
            os.setxattr(descriptor, name, os.getxattr(target, name, follow_symlinks=False))
        except OSError as error:
            if error.errno != errno.ENODATA:  # removed in the meantime
                yield f"{name} ({error.strerror})"


def _owner(user: str) -> tuple[int, int] | None:
    if not user:
        return None
    if sys.platform == "win32":
        raise NotInstalled("Files belong to the agent's own user on this system.")
    import pwd  # noqa: PLC0415

    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise NotFound(f"This node has no user '{user}'.") from error
    return found.pw_uid, found.pw_gid
