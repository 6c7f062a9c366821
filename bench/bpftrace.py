"""bpftrace as the peer: one script in its own process, with its output in a file.

Owns how it is started, how one knows that its program is attached, and what it says it lost.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import wait_until
from bench.storm import Storm
from quarterdeck.bpf.attach.tracefs import mounted

_FIELDS = 'printf("%llu %d %d %d %d\\n", nsecs, pid, tid, args->id, cpu)'
_LOST = re.compile(rb"^Lost (\d+) events", re.MULTILINE)


class Bpftrace:
    """Run `script` until the end of the block. Raise RuntimeError where bpftrace cannot work."""

    def __init__(self, script: str, folder: Path) -> None:
        self._out, self._errors = folder / "bpftrace.out", folder / "bpftrace.err"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(command("-e", script), stdout=out, stderr=errors)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        wait_until(self._attached, "bpftrace to attach")
        time.sleep(1)  # a program is loaded, then attached
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def output(self) -> tuple[int, int]:
        """Return the number of lines that begin with a digit, and of events that it reports as lost."""
        with self._out.open("rb") as lines:
            written = sum(1 for line in lines if line[:1].isdigit())
        said = self._errors.read_bytes() + self._out.read_bytes()
        return written, sum(int(found) for found in _LOST.findall(said))

    def _attached(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"bpftrace ended with {self._process.returncode}: {self._errors.read_text()}")
        fds = Path(f"/proc/{self.pid}/fd")
        return any("bpf-prog" in str(fd.readlink()) for fd in fds.iterdir() if fd.is_symlink())


def storm_script(storm: Storm) -> str:
    """Return a script that prints a line of five fields for each call of the storm."""
    return f"tracepoint:raw_syscalls:sys_enter /pid == {storm.pid} && args->id == {storm.syscall}/ {{ {_FIELDS}; }}"


def command(*arguments: str) -> list[str]:
    """Return the command line of bpftrace; where tracefs is not mounted, it runs in a mount namespace with tracefs."""
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tracefs nodev /sys/kernel/tracing && exec "$0" "$@"']
    return [*([] if mounted() else mount), "bpftrace", *arguments]
