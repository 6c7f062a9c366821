"""Files that this process opens in every possible way, compared with the rows of the table, for each alternative."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.conftest import CompileC
from quarterdeck.testing.module_run import ModuleRun
from tests.support import require

MODULE = Path(__file__).parent
#: programs to leave out, so that the alternative of this name is used; the first is the one that this kernel prefers
ALTERNATIVES = {
    "best": (),
    "tracepoints": ("opened",),
    "tracepoints without open": ("opened", "enter_open"),
    "every call": ("opened", "enter_openat"),
}
OPEN, CREAT, OPENAT2 = 2, 85, 437  # the first two on x86 only
AT_FDCWD = -100
NOBODY = 65534

OPENING = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	getchar();
	for (int i = 0; i < 100; i++)
		close(open(argv[1], O_RDONLY));
	return 0;
}
"""


@pytest.fixture(params=ALTERNATIVES.values(), ids=list(ALTERNATIVES))
def without(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the programs that a kernel lacks."""
    return request.param


@pytest.fixture
def run(without: tuple[str, ...]) -> Iterator[ModuleRun]:
    """Yield the module, for this process only."""
    with ModuleRun(MODULE, settings={"only_pid": os.getpid()}, without=without) as run:
        yield run


def call(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call directly, without the C library."""
    return ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)


def test_opened_file_is_a_row(run: ModuleRun, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.touch()
    began_ns = time.time_ns()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.close(fd)
    row = run.wait_for("opens", lambda row: row["filename"] == str(path) and row["flags"] & os.O_APPEND)
    second_ns = 1_000_000_000
    assert began_ns - second_ns < row.pop("time") < time.time_ns() + second_ns
    assert row.pop("cgroup") > 0
    by_fexit = any("do_sys_openat2" in place for place in run.status.attached)
    assert (row.pop("duration") > 0) is not by_fexit
    assert row == {
        "pid": os.getpid(),
        "tid": os.getpid(),
        "uid": 0,
        "flags": os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC,  # Python adds the last flag
        "fd": fd,
        "error": "OK",
        "comm": Path("/proc/self/comm").read_text().strip(),
        "filename": str(path),
    }


@pytest.mark.parametrize(
    ("name", "flags", "error"),
    [
        ("missing", os.O_RDONLY, errno.ENOENT),
        ("there", os.O_CREAT | os.O_EXCL, errno.EEXIST),
        ("there/below", os.O_RDONLY, errno.ENOTDIR),
        (".", os.O_WRONLY, errno.EISDIR),
    ],
)
def test_failed_open_has_its_error(run: ModuleRun, tmp_path: Path, name: str, flags: int, error: int) -> None:
    (tmp_path / "there").touch()
    path = f"{tmp_path}/{name}"
    with pytest.raises(OSError, match=str(error)):
        os.open(path, flags)
    row = run.wait_for("opens", lambda row: row["filename"] == path and row["error"] != "OK")
    assert (row["fd"], row["error"], row["flags"]) == (-1, errno.errorcode[error], flags | os.O_CLOEXEC)


def test_openat2_is_seen_with_its_flags(run: ModuleRun, tmp_path: Path) -> None:
    how = struct.pack("<3Q", os.O_RDWR | os.O_CREAT, 0o600, 0)
    path = tmp_path / "second"
    fd = call(OPENAT2, AT_FDCWD, bytes(path), how, len(how))
    os.close(fd)
    row = run.wait_for("opens", lambda row: row["filename"] == str(path))
    assert (row["fd"], row["flags"]) == (fd, os.O_RDWR | os.O_CREAT)


@pytest.mark.parametrize(
    "without", [ALTERNATIVES[name] for name in ("best", "tracepoints", "every call")], indirect=True
)
def test_calls_of_old_are_seen(run: ModuleRun, tmp_path: Path) -> None:
    require(platform.machine() == "x86_64", "this architecture has no open() and creat() system calls")
    path = tmp_path / "old"
    created = call(CREAT, bytes(path), 0o600)
    opened = call(OPEN, bytes(path), os.O_RDONLY | os.O_NOFOLLOW, 0)
    os.close(created)
    os.close(opened)
    run.wait_for("opens", lambda row: row["filename"] == str(path) and row["fd"] == opened)
    rows = run.rows("opens", lambda row: row["filename"] == str(path))
    creating = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    assert [(row["fd"], row["flags"]) for row in rows] == [(created, creating), (opened, os.O_RDONLY | os.O_NOFOLLOW)]


def test_long_path_is_cut(run: ModuleRun, tmp_path: Path) -> None:
    path = f"{tmp_path}/{'./' * 300}missing"
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDONLY)
    row = run.wait_for("opens", lambda row: row["filename"].startswith(f"{tmp_path}/./"))
    assert row["filename"] == path[:508] + "…"


def test_a_path_that_just_fits_has_no_mark(run: ModuleRun, tmp_path: Path) -> None:
    path = f"{tmp_path}/".ljust(511, "/")
    os.close(os.open(path, os.O_RDONLY))
    run.wait_for("opens", lambda row: row["filename"] == path)


def test_only_failed_opens(without: tuple[str, ...], tmp_path: Path) -> None:
    settings = {"only_pid": os.getpid(), "only_failed": True}
    with ModuleRun(MODULE, settings=settings, without=without) as run:
        os.close(os.open(tmp_path, os.O_RDONLY))
        with pytest.raises(FileNotFoundError):
            os.open(tmp_path / "missing", os.O_RDONLY)
        run.wait_for("opens", lambda row: row["filename"].endswith("/missing"))
    assert "OK" not in {row["error"] for row in run.rows("opens")}


def test_only_one_user(without: tuple[str, ...]) -> None:
    with ModuleRun(MODULE, settings={"only_uid": NOBODY}, without=without) as run:
        subprocess.run(["/bin/cat", "/etc/hostname"], check=True, capture_output=True)
        child = subprocess.Popen(["/bin/cat", "/etc/passwd"], user=NOBODY, stdout=subprocess.DEVNULL)
        child.wait()
        run.wait_for("opens", lambda row: row["pid"] == child.pid and row["filename"] == "/etc/passwd")
    assert {row["uid"] for row in run.rows("opens")} == {NOBODY}


def test_every_open_is_a_row(without: tuple[str, ...], tmp_path: Path, compile_c: CompileC) -> None:
    program = compile_c("opening", OPENING)
    with subprocess.Popen([program, tmp_path], stdin=subprocess.PIPE) as child:
        with ModuleRun(MODULE, settings={"only_pid": child.pid}, without=without) as run:
            child.communicate(b"go")
        assert run.losses == ()
        rows = run.rows("opens", lambda row: row["filename"] == str(tmp_path))
        assert len(rows) == 100


def test_calls_of_32_bit_programs_are_not_taken_for_others(compat_child: subprocess.Popen[bytes]) -> None:
    settings = {"only_pid": compat_child.pid}
    with ModuleRun(MODULE, settings=settings, without=ALTERNATIVES["every call"]) as run:
        compat_child.communicate(b"!")
    assert compat_child.returncode == 0
    assert run.rows("opens") == []
