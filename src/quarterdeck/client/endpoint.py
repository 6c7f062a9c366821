"""The address of a server and the token for its API: from arguments, the environment, or the files of `qd up`."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from quarterdeck.model.config import DEFAULT_HTTP
from quarterdeck.model.errors import BadConfig, Unauthenticated
from quarterdeck.model.struct import Struct

ADMIN_TOKEN_FILE = "admin.token"
HTTP_ADDRESS_FILE = "http.address"
HTTP_SOCKET_FILE = "http.socket"


def default_home() -> Path:
    """Return the data folder: $QD_HOME, else /var/lib/quarterdeck for root, else the user's own data folder."""
    if home := os.environ.get("QD_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/quarterdeck")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "quarterdeck"


class Endpoint(Struct, frozen=True, kw_only=True):
    """The address of a server and an API token for it."""

    url: str  #: "http://127.0.0.1:8420"
    token: str
    socket: str = ""  #: the Unix socket to connect to, instead of the host and port of `url`

    @classmethod
    def find(cls, *, http: str = "", token: str = "", home: Path | None = None) -> Endpoint:
        """Return `http` and `token` if given, else QD_HTTP and QD_TOKEN, else those of this machine's server.

        Raise `Unauthenticated` with the places that were searched when no token is found, `BadConfig` when the address
        is not valid.
        """
        home = home or default_home()
        elsewhere = http or os.environ.get("QD_HTTP", "")
        http = elsewhere or _read(home / HTTP_ADDRESS_FILE) or DEFAULT_HTTP
        token = token or os.environ.get("QD_TOKEN", "") or _read(home / ADMIN_TOKEN_FILE)
        if not token:
            raise Unauthenticated(
                f"No API token: none was given, QD_TOKEN is not set, and {home / ADMIN_TOKEN_FILE} is not there.",
                hint="Start a server here with `qd up`, set QD_HOME to its data folder, or set QD_HTTP and QD_TOKEN.",
            )
        if not (token.isascii() and token.isprintable()):
            raise Unauthenticated("The API token holds characters that no token has.", hint="Copy it anew.")
        url = _checked(http if "://" in http else f"http://{http}")
        return cls(url=url, token=token, socket="" if elsewhere else _socket(home))

    @classmethod
    def of_home(cls, home: Path) -> Endpoint:
        """Return the endpoint of the server whose data folder is `home`, without the environment."""
        found = cls.find(http=_read(home / HTTP_ADDRESS_FILE), token=_read(home / ADMIN_TOKEN_FILE), home=home)
        return msgspec.structs.replace(found, socket=_socket(home))


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and " " not in url
    except ValueError:  # an invalid port, or an IPv6 address without its closing bracket
        valid = False
    if not valid:
        raise BadConfig(f"'{url}' is not a server's address.", hint="Write HOST:PORT or https://HOST in QD_HTTP.")
    return url


def _socket(home: Path) -> str:
    """Return the path of the server's own socket for this machine, or "" where this user may not connect to it."""
    path = home / HTTP_SOCKET_FILE
    return str(path) if os.access(path, os.W_OK) else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        raise Unauthenticated(
            f"{path} belongs to another user.", hint="Ask as that user (or root), or set QD_HTTP and QD_TOKEN."
        ) from error
