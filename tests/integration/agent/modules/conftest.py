"""A rig for each test, and the requirements on the machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.agent.modules.rig import Rig
from tests.support import require


@pytest.fixture
def kernel() -> None:
    """Skip the test where eBPF cannot be compiled and loaded."""
    require(os.geteuid() == 0, "loading eBPF needs root")
    require(Path("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF")
    require(Path("/usr/include/bpf/bpf_helpers.h").exists(), "the headers of libbpf (libbpf-dev) are not installed")


@pytest.fixture
async def rig(kernel: None, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(home=str(tmp_path))
    yield made
    await made.instances.close()
