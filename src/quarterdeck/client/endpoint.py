"""Where a server is and with which token to ask it: given, by environment, or as `qd up` left it on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from quarterdeck.model.config import DEFAULT_HTTP
from quarterdeck.model.errors import BadConfig, Unauthenticated
from quarterdeck.model.struct import Struct

ADMIN_TOKEN_FILE = "admin.token"
HTTP_ADDRESS_FILE = "http.address"


def default_home() -> Path:
    """The data folder: $QD_HOME, else /var/lib/quarterdeck for root, else the user's own data folder."""
    if home := os.environ.get("QD_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/quarterdeck")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "quarterdeck"


class Endpoint(Struct, frozen=True, kw_only=True):
    """A server's address and the API token to use."""

    url: str  #: "http://127.0.0.1:8420"
    token: str

    @classmethod
    def find(cls, *, http: str = "", token: str = "", home: Path | None = None) -> Endpoint:
        """`http` and `token` if given, else QD_HTTP and QD_TOKEN, else what the server here wrote to its home.

        Raises `Unauthenticated` when no token is to be found, saying where it was looked for; `BadConfig` when the
        address is none.
        """
        home = home or default_home()
        http = http or os.environ.get("QD_HTTP", "") or _read(home / HTTP_ADDRESS_FILE) or DEFAULT_HTTP
        token = token or os.environ.get("QD_TOKEN", "") or _read(home / ADMIN_TOKEN_FILE)
        if not token:
            raise Unauthenticated(
                f"No API token: none was given, QD_TOKEN is not set, and {home / ADMIN_TOKEN_FILE} is not there.",
                hint="Start a server here with `qd up`, set QD_HOME to its data folder, or set QD_HTTP and QD_TOKEN.",
            )
        if not (token.isascii() and token.isprintable()):
            raise Unauthenticated("The API token holds characters that no token has.", hint="Copy it anew.")
        return cls(url=_checked(http if "://" in http else f"http://{http}"), token=token)

    @classmethod
    def of_home(cls, home: Path) -> Endpoint:
        """The server whose data folder is `home`, whatever the environment says of others."""
        return cls.find(http=_read(home / HTTP_ADDRESS_FILE), token=_read(home / ADMIN_TOKEN_FILE), home=home)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and " " not in url
    except ValueError:  # of the port, or an IPv6 address without its end
        valid = False
    if not valid:
        raise BadConfig(f"'{url}' is not a server's address.", hint="Write HOST:PORT or https://HOST in QD_HTTP.")
    return url


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        raise Unauthenticated(
            f"{path} belongs to another user.", hint="Ask as that user (or root), or set QD_HTTP and QD_TOKEN."
        ) from error
