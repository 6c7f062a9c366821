"""A fleet for each file of stories: the stories of one file share it, each with its own nodes or modules."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fleet import Fleet
from tests.support import require


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running server, without agents yet."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def kernel() -> None:
    """The stories load real programs."""
    require(os.geteuid() == 0, "loading eBPF programs needs root")
