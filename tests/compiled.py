"""Objects compiled from C inside a test, with the compiler that the project ships with."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: What libbpf's <bpf/bpf_helpers.h> gives to declarations, so that these tests need no headers.
PRELUDE = """
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32; typedef unsigned long long __u64;
typedef signed char __s8; typedef short __s16; typedef int __s32; typedef long long __s64;
typedef __u16 __be16; typedef __u32 __be32; typedef _Bool bool;
#define offsetof(type, member) __builtin_offsetof(type, member)
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define __packed __attribute__((packed))
char LICENSE[] SEC("license") = "GPL";
"""


@functools.cache
def compile_bpf(source: str, *flags: str) -> bytes:
    """The eBPF object of C `source`, which is preceded by PRELUDE; each is compiled once in a test process."""
    cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path(tempfile.gettempdir()) / f"zig-cache-{os.getuid()}")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    with tempfile.TemporaryDirectory() as folder:
        program, built = Path(folder, "program.bpf.c"), Path(folder, "program.bpf.o")
        program.write_text(PRELUDE + source)
        target = ["-target", "bpfel-freestanding", "-O2", "-g", *flags]
        command = [sys.executable, "-m", "ziglang", "cc", *target, "-c", str(program), "-o", str(built)]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        return built.read_bytes()
