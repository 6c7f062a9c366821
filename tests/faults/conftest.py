"""Fixtures of the fault tests: small disks that can be filled, and a node's folder that leaves no process behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from tests.disks import SmallDisk
from tests.node_life import clean_up

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


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[Path]:
    """A node's folder."""
    folder = tmp_path / "node"
    await asyncio.to_thread(folder.mkdir)
    yield folder
    await clean_up(folder)
