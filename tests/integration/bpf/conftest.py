"""The programs next to these tests, compiled once a session, and what this machine must offer to load them."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.bpf.object import BpfObject
from tests.support import require

PROGRAMS = Path(__file__).parent / "programs"
_TARGET_ARCH = {"x86_64": "x86", "aarch64": "arm64", "riscv64": "riscv", "ppc64le": "powerpc"}


@functools.cache
def compiled(name: str) -> bytes:
    """The object of programs/NAME.bpf.c."""
    machine = platform.machine()
    cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path(tempfile.gettempdir()) / f"zig-cache-{os.getuid()}")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, f"{name}.bpf.o")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding", "-O2", "-g"]
        command += [f"-D__TARGET_ARCH_{_TARGET_ARCH[machine]}", "-I/usr/include", f"-I/usr/include/{machine}-linux-gnu"]
        command += ["-c", str(PROGRAMS / f"{name}.bpf.c"), "-o", str(built)]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        return built.read_bytes()


@pytest.fixture
def image() -> Callable[[str], bytes]:
    """`image("tables")`: the compiled object; skips where no eBPF can be compiled or loaded."""
    require(os.geteuid() == 0, "loading eBPF needs root")
    require(Path("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF")
    require(Path("/usr/include/bpf/bpf_helpers.h").exists(), "the headers of libbpf (libbpf-dev) are not installed")
    return compiled


@pytest.fixture
def opened(image: Callable[[str], bytes]) -> Iterator[Callable[[str], BpfObject]]:
    """`opened("tables")`: the object, not yet loaded, closed after the test."""
    objects: list[BpfObject] = []

    def open_object(name: str) -> BpfObject:
        objects.append(BpfObject.open(image(name), name=name))
        return objects[-1]

    yield open_object
    for each in objects:
        each.close()
