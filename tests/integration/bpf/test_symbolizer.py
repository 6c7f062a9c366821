"""Names for the frames of real processes and of this kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.symbols import Symbolizer
from tests.support import require

PROGRAM = r"""
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/auxv.h>
__attribute__((noinline)) int visible(int x) { return x * 2; }
static __attribute__((noinline)) int hidden(int x) { return x * 3; }
int main(int argc, char **argv)
{
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%lu %lu %lu %lu %lu\n", (uintptr_t)visible, (uintptr_t)hidden, (uintptr_t)memmem, (uintptr_t)page,
           (uintptr_t)getauxval(AT_SYSINFO_EHDR));
    fflush(stdout);
    getchar();
    return visible(argc) + hidden(argc);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(shutil.which("cc") and shutil.which("strip"), "no C compiler and binutils for programs of this machine")
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(PROGRAM)
    options = ["-O1", "-rdynamic", "-Wl,--build-id=0x0123456789abcdef", "-D_GNU_SOURCE"]
    subprocess.run(["cc", *options, "-o", folder / "program", folder / "program.c"], check=True)
    return folder / "program"


@contextmanager
def running(program: Path) -> Iterator[tuple[int, np.ndarray[tuple[int], np.dtype[np.uint64]]]]:
    """A process of `program`: its pid and the addresses of visible, hidden, libc's memmem, a JIT page, the vdso."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.pid, np.array(process.stdout.readline().split(), dtype=np.uint64)
        finally:
            process.kill()


def test_functions_of_a_process_and_its_libraries_are_named(compiled: Path) -> None:
    with running(compiled) as (pid, addresses):
        names = Symbolizer().user(pid, np.tile(addresses + np.uint64(2), 100))
    assert names[:4] == ["visible", "hidden", "memmem", "[anon]+0x2"]
    assert names[4].startswith("[vdso]")
    assert names == names[:5] * 100


def test_functions_of_the_vdso_are_named(compiled: Path) -> None:
    with running(compiled) as (pid, addresses):
        names = Symbolizer().user(pid, addresses[4] + np.arange(0, 8192, 16, dtype=np.uint64))
    assert "clock_gettime" in names


def test_a_stripped_program_keeps_exported_names_and_the_place_of_others(compiled: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, compiled], check=True)
    symbols = subprocess.run(["nm", compiled], capture_output=True, text=True, check=True).stdout
    (hidden,) = [int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" t hidden")]
    with running(stripped) as (pid, addresses):
        names = Symbolizer().user(pid, addresses[:2])
    # The linker gives code the same offset as address here, so nm's address is the offset to expect.
    assert names == ["visible", f"stripped[0123456789abcdef]+{hidden:#x}"]


def test_names_survive_the_program_and_its_file(compiled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copy(compiled, copy)
    symbolizer = Symbolizer()
    with running(copy) as (pid, addresses):
        copy.unlink()
        alive = symbolizer.user(pid, addresses[:3])
    assert symbolizer.user(pid, addresses[:3]) == alive
    if os.geteuid() == 0:  # reaching a deleted file takes the right to follow /proc/PID/map_files
        assert alive == ["visible", "hidden", "memmem"]
    else:
        assert alive[2] == "memmem"


def test_code_of_a_jit_is_named_by_its_perf_map(compiled: Path) -> None:
    with running(compiled) as (pid, addresses):
        perf_map = Path(f"/tmp/perf-{pid}.map")
        try:
            perf_map.write_text(f"{int(addresses[3]):x} 100 py::work:/srv/work.py\n")
            assert Symbolizer().user(pid, addresses[3:4]) == ["py::work:/srv/work.py"]
        finally:
            perf_map.unlink()


def test_a_process_that_never_was_leaves_addresses() -> None:
    assert Symbolizer().user(2**30, np.array([0x1234], dtype=np.uint64)) == ["0x1234"]


def test_functions_of_the_kernel_are_named() -> None:
    lines = Path("/proc/kallsyms").read_text().splitlines()
    address = next((int(line.split()[0], 16) for line in lines if line.endswith(" T schedule")), 0)
    require(address, "the kernel hides its addresses from this user")
    assert Symbolizer().kernel(np.array([address, address + 1, 1], dtype=np.uint64)) == ["schedule", "schedule", "0x1"]


def test_a_program_has_its_own_name_where_another_lay_before(image: Callable[[str], bytes]) -> None:
    symbolizer = Symbolizer()
    places: list[int] = []
    for _ in range(3):
        for name in ("on_raw_tp", "on_tp_btf"):
            with BpfObject.open(image("hooks"), name="hooks") as opened:
                for program in opened.programs.values():
                    program.autoload = program.name == name
                opened.load()
                lines = Path("/proc/kallsyms").read_text().splitlines()
                mine = [int(line.split()[0], 16) for line in lines if line.endswith(f"_{name}\t[bpf]")]
                require(any(mine), "the kernel hides the addresses of programs from this user")
                places.append(mine[-1])
                (found,) = symbolizer.kernel(np.array([mine[-1] + 1], dtype=np.uint64))
                assert found.endswith(f"_{name} [bpf]")
        (gone,) = symbolizer.kernel(np.array([places[-1] + 1], dtype=np.uint64))
        assert not gone.endswith("_on_tp_btf [bpf]")
