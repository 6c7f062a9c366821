"""What the tests of this folder need of the machine, and modules made of a few lines."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from quarterdeck.bpf.btf import KERNEL_BTF
from quarterdeck.modulekit.build import Built, build_module
from tests.support import require

HEADERS = """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
char LICENSE[] SEC("license") = "GPL";
"""

Make = Callable[..., Built]


@pytest.fixture(autouse=True)
def _kernel_types() -> None:
    require(KERNEL_BTF.exists(), "vmlinux.h is made from /sys/kernel/btf/vmlinux")


@pytest.fixture
def may_load() -> None:
    """Skips where programs cannot be loaded."""
    require(os.geteuid() == 0, "loading eBPF programs needs root")


@pytest.fixture
def make() -> Make:
    """Builds module `m` from a manifest (after its name) and C (after the usual headers)."""

    def build(manifest: str, source: str, *, headers: str = HEADERS, **files: bytes) -> Built:
        given = {name.replace("__", "."): content for name, content in files.items()}
        return build_module(
            {"module.toml": f'name = "m"\n{manifest}'.encode(), "m.bpf.c": (headers + source).encode(), **given}
        )

    return build
