"""What the faults share: small disks that can be filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.disks import SmallDisk

MakeDisk = Callable[[Path, int], SmallDisk]


@pytest.fixture
def small_disk() -> Iterator[MakeDisk]:
    """Makes small disks, and takes them down when what works on them has ended."""
    made: list[SmallDisk] = []

    def make(folder: Path, size: int) -> SmallDisk:
        made.append(SmallDisk(folder, size))
        return made[-1]

    yield make
    for disk in made:
        disk.unmount()
