"""Mounts that hang, or refuse, are reported as such; the others are still measured."""

from __future__ import annotations

import threading

import msgspec

from quarterdeck.agent.commands.disks import Disks, measured
from quarterdeck.model.hosts import Partition


def mount(point: str, device: str = "/dev/sda") -> Partition:
    return Partition(device=device, mount_point=point, type="ext4", options="rw")


class Mounts:
    """Mounts of which some hang until `back` is set."""

    def __init__(self, *hanging: str) -> None:
        self.hanging = set(hanging)
        self.back = threading.Event()
        self.asked: list[str] = []

    def measure(self, partition: Partition) -> Partition:
        self.asked.append(partition.mount_point)
        if partition.mount_point in self.hanging:
            self.back.wait(30)
        return msgspec.structs.replace(partition, size=100)


def test_mounts_that_hang_keep_nobody_waiting() -> None:
    mounts = Mounts("/nfs", "/other")
    disks = Disks(answer_s=0.1, measure=mounts.measure)
    points = [mount("/"), mount("/nfs"), mount("/data"), mount("/other"), mount("/var")]
    try:
        found = {partition.mount_point: partition for partition in disks.partitions(points)}
        assert {point: partition.size for point, partition in found.items()} == {
            "/": 100, "/data": 100, "/nfs": 0, "/other": 0, "/var": 100
        }  # fmt: skip
        assert found["/nfs"].problem == found["/other"].problem == "it did not answer within 0.1 s"
        mounts.asked.clear()
        assert len(disks.partitions(points)) == 5
        assert mounts.asked == ["/", "/data", "/var"], "a mount that hangs is not asked again"
    finally:
        mounts.back.set()
    for thread in threading.enumerate():
        if thread.name == "disks":
            thread.join()
    assert all(partition.size == 100 for partition in disks.partitions(points)), "until it has come back"


def test_a_mount_that_says_no_is_reported_and_one_without_a_size_left_out() -> None:
    assert measured(mount("/no/such/mount")).problem == "No such file or directory"
    assert measured(mount("/")).inodes_free >= 0
    empty = Disks(measure=lambda partition: partition)
    assert empty.partitions([mount("/proc", device="proc")]) == ()
