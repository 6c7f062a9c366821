"""The server's home: the folder with all data that the server must not lose, used by one server at a time.

Owns the names in the folder and its lock. The stores own what is in their files.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from quarterdeck.kit.files import write_whole
from quarterdeck.model.errors import BadConfig, Conflict, Unavailable


class Home:
    """The home folder, created if missing (mode 0700) and locked until `release`."""

    def __init__(self, folder: str) -> None:
        if not folder:
            raise BadConfig("The server has no data folder.", hint="Set QD_HOME, or `home` in its configuration.")
        self.folder = Path(folder).absolute()
        self._lock = self._acquire()

    @property
    def admin_token(self) -> Path:
        """Return the file from which this machine's CLI reads its token."""
        return self.folder / "admin.token"

    @property
    def http_address(self) -> Path:
        """Return the file from which this machine's CLI reads the address of the API."""
        return self.folder / "http.address"

    @property
    def http_socket(self) -> Path:
        """Return the Unix socket at which the API listens for this machine's own CLI and health checks."""
        return self.folder / "http.socket"

    @property
    def state(self) -> Path:
        """Return the SQLite file of the state store."""
        return self.folder / "state.db"

    @property
    def telemetry(self) -> Path:
        """Return the folder of the embedded telemetry store."""
        return self.folder / "telemetry"

    @property
    def files(self) -> Path:
        """Return the folder of files and scripts by their hash."""
        return self.folder / "files"

    def name(self) -> str:
        """Return the name that distinguishes this server from others that share a Redis; it is created once."""
        path = self.folder / "server.name"
        if not path.exists():
            write_whole(path, f"{secrets.token_hex(6)}\n".encode())
        return path.read_text().strip()

    def publish(self, http: str) -> None:
        """Write the address on which the API listens."""
        write_whole(self.http_address, f"{http}\n".encode())

    def release(self) -> None:
        """Unlock the folder, so that another server can use it."""
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
