"""A wall clock that a test can move under real processes: a library that is loaded before all others answers for it.

Only the wall clock moves. Clocks that count since the host's start go on as they do when somebody sets the time.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *moved_s;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        void *found = mmap(0, sizeof *moved_s, PROT_READ, MAP_SHARED, file, 0);
        moved_s = found == MAP_FAILED ? 0 : found;
        close(file);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!real)
        begin();
    int failed = real(clock, now);
    if (!failed && moved_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *moved_s;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (place)
        *place = precise.tv_sec;
    return precise.tv_sec;
}
"""


class MovedClock:
    """Processes started with `environment` see this clock; it is the host's until it is moved. Owns `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "moved"
        library = folder / "moved.so"
        self.move(0)
        (folder / "moved.c").write_text(_SOURCE)
        cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path(tempfile.gettempdir()) / f"zig-cache-{os.getuid()}")
        command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O2", "-o", str(library), "moved.c"]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """Away from the host's clock by so much; everybody who looks sees it at once."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))
