"""Which mounted file systems are local, once each: those that hold data of this host.

A file system counts if it is on a block device, or is one of those that manage their devices themselves. The root
always counts, because an agent in a container has no other. Left out are file systems of the network, which may hang
and are filled by others; those in memory; images, which are always full; and further mounts of the same file system,
such as those of containers. This module reads no file and asks no file system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quarterdeck.model.hosts import Partition

#: types that /proc/filesystems marks with `nodev`, although they hold data on disks of this host
_POOLS = frozenset({"zfs", "bcachefs"})
#: read-only images on block devices
_IMAGES = frozenset({"squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs"})
#: types whose usual mounts are a folder of the file system (a subvolume)
_SUBVOLUMES = frozenset({"btrfs", "bcachefs"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class _Mount:
    """A line of /proc/self/mountinfo (proc(5)): `number` identifies the file system, `root` is the folder of it."""

    number: str
    root: str
    partition: Partition


def local_mounts(mountinfo: str, filesystems: str) -> list[Partition]:
    """Return the local file systems of /proc/self/mountinfo; /proc/filesystems has the types on block devices."""
    types = {line.strip() for line in filesystems.splitlines() if not line.startswith("nodev")} | _POOLS
    visible = {mount.partition.mount_point: mount for mount in map(_mount, mountinfo.splitlines())}
    found: dict[str, _Mount] = {}
    for mount in sorted(visible.values(), key=lambda each: len(each.partition.mount_point)):
        if _counts(mount, types):
            found.setdefault(mount.number, mount)
    return [mount.partition for mount in found.values()]


def _counts(mount: _Mount, types: set[str]) -> bool:
    kind = mount.partition.type
    if mount.partition.mount_point == "/":
        return True
    return kind in types - _IMAGES and (mount.root == "/" or kind in _SUBVOLUMES)


def _mount(line: str) -> _Mount:
    before, _, after = line.partition(" - ")
    number, root, mount_point, options = before.split(" ")[2:6]
    kind, device = after.split(" ")[:2]
    return _Mount(
        number=number,
        root=_plain(root),
        partition=Partition(device=_plain(device), mount_point=_plain(mount_point), type=kind, options=options),
    )


def _plain(text: str) -> str:
    """Return a path without the escapes of space, tab, newline and backslash."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
