"""A real Redis for tests: a redis-server process on a free port, which can be killed and started again."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.fleet import eventually, free_port
from tests.support import require

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class RedisServer:
    """A context manager. Every write is on its disk before it answers, so that a kill loses nothing."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        require(shutil.which("redis-server"), "redis-server is not installed")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis.from_url(self.url)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.kill()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        options += ["--requirepass", self._password] if self._password else []
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
            )
        eventually(self._answers, "Redis to answer")

    def kill(self) -> None:
        """Kills it; what it answered is on its disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False
