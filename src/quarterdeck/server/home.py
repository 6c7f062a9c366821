"""The server's home: the folder that holds all it must not lose, used by one server at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from quarterdeck.model.errors import BadConfig, Conflict, Unavailable


class Home:
    """The folder, made if need be (mode 0700) and locked until `release`."""

    def __init__(self, folder: str) -> None:
        if not folder:
            raise BadConfig("The server has no data folder.", hint="Set QD_HOME, or `home` in its configuration.")
        self.folder = Path(folder).absolute()
        self._lock = self._acquire()

    @property
    def admin_token(self) -> Path:
        """Where this machine's own CLI finds its token."""
        return self.folder / "admin.token"

    @property
    def http_address(self) -> Path:
        """Where this machine's own CLI finds the API."""
        return self.folder / "http.address"

    @property
    def state(self) -> Path:
        """The SQLite file of the state store."""
        return self.folder / "state.db"

    @property
    def telemetry(self) -> Path:
        """The folder of the embedded telemetry store."""
        return self.folder / "telemetry"

    @property
    def files(self) -> Path:
        """The folder of files and scripts by their hash."""
        return self.folder / "files"

    def name(self) -> str:
        """What tells this server from others that share something with it; made once."""
        path = self.folder / "server.name"
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_text(secrets.token_hex(6) + "\n")
            fresh.replace(path)
        return path.read_text().strip()

    def publish(self, http: str) -> None:
        """Writes where the API listens."""
        fresh = self.http_address.with_suffix(".new")
        fresh.write_text(http + "\n")
        fresh.replace(self.http_address)

    def release(self) -> None:
        """Another server may use the folder now."""
        self.http_address.unlink(missing_ok=True)
        os.close(self._lock)

    def _acquire(self) -> int:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(
                f"The data folder {self.folder} cannot be used: {error.strerror}.", hint="Set QD_HOME to another."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            os.close(lock)
            raise Conflict(
                f"Another server (process {holder}) uses the data folder {self.folder}.",
                hint="End it, or give this one another folder with --home or QD_HOME.",
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock
