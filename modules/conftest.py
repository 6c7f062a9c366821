"""The requirements of the built-in modules' tests: eBPF, C programs to watch, and a check for leftovers."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import require

CompileC = Callable[..., Path]

#: 32-bit calls without a library: after a byte of input, open("/") a hundred times and close(-1) as often
COMPAT = """
static int call(int number, int first, int second, int third)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory");
	return result;
}
void _start(void)
{
	char byte;
	call(3, 0, (int)&byte, 1); /* read */
	for (int i = 0; i < 100; i++) {
		call(6, call(5, (int)"/", 0, 0), 0, 0); /* open, close */
		call(6, -1, 0, 0);
	}
	call(1, 0, 0, 0); /* exit */
}
"""


@pytest.fixture(autouse=True)
def clean_kernel() -> Iterator[None]:
    """Check that this machine can load eBPF, and after the test that this process holds no program, map or link."""
    require(os.geteuid() == 0, "loading eBPF needs root")
    require(Path("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF")
    require(Path("/usr/include/bpf/bpf_helpers.h").exists(), "the headers of libbpf (libbpf-dev) are not installed")
    before = held()
    yield
    assert held() == before


def held() -> int:
    """Return the number of BPF objects and perf events that this process has open. Nothing is pinned."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:  # the folder itself
            continue
        found += target.startswith("anon_inode:") and ("bpf" in target or "perf_event" in target)
    return found


@pytest.fixture
def compile_c(tmp_path: Path) -> CompileC:
    """Return `compile_c("name", source, *flags)`, which returns an executable of that name."""

    def build(name: str, source: str, *flags: str) -> Path:
        cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path(tempfile.gettempdir()) / f"zig-cache-{os.getuid()}")
        (tmp_path / f"{name}.c").write_text(source)
        files = ["-o", str(tmp_path / name), str(tmp_path / f"{name}.c")]
        command = [sys.executable, "-m", "ziglang", "cc", *files, *flags]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return tmp_path / name

    return build


@pytest.fixture
def compat_child(compile_c: CompileC) -> Iterator[subprocess.Popen[bytes]]:
    """Start a 32-bit program that waits for a byte. Skip the test if the kernel runs no 32-bit programs."""
    require(platform.machine() == "x86_64", "the 32-bit program is for x86")
    program = compile_c("compat", COMPAT, "-target", "x86-freestanding", "-O1", "-nostdlib", "-static")
    try:
        child = subprocess.Popen([program], stdin=subprocess.PIPE)
    except OSError as error:
        require(error.errno != errno.ENOEXEC, "this kernel runs no 32-bit programs")
        raise
    with child:
        yield child
