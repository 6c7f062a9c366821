"""Local file systems are found once each; those of the network, of memory, of images and of containers are not."""

from __future__ import annotations

from quarterdeck.agent.usage.mounts import local_mounts
from tests.unit.agent.usage.kernels import FILESYSTEMS, MOUNTINFO


def found(mountinfo: str) -> list[tuple[str, str, str]]:
    return [(each.mount_point, each.device, each.type) for each in local_mounts(mountinfo, FILESYSTEMS)]


def test_each_local_file_system_is_found_once_at_its_shortest_place() -> None:
    assert found(MOUNTINFO) == [
        ("/", "/dev/vda1", "ext4"),
        ("/home", "/dev/vdb", "btrfs"),
        ("/tank/a", "tank/a", "zfs"),
        ("/hidden", "/dev/vda3", "vfat"),
        ("/my data", "/dev/vda2", "ext4"),
    ]


def test_the_root_of_a_container_is_found_and_the_files_that_its_engine_mounts_are_not() -> None:
    container = """\
27 1 0:52 / / rw - overlay overlay rw,lowerdir=/a
28 27 254:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda1 rw
29 27 0:53 / /dev rw - tmpfs tmpfs rw
"""
    assert found(container) == [("/", "overlay", "overlay")]


def test_a_path_that_is_not_utf8_is_kept_as_the_system_needs_it() -> None:
    assert found("27 1 254:1 / /caf\udce9 rw - ext4 /dev/vda1 rw\n") == [("/caf\udce9", "/dev/vda1", "ext4")]
