"""`qd ui`: a link that signs a browser in to the web UI, once."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape as html
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Deadline
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import print_details
from quarterdeck.client import Client
from quarterdeck.kit.files import write_private

#: how addresses begin that mean all of a machine's own, and the one of them that a browser there uses
_ANY = {"http://0.0.0.0:": "http://127.0.0.1:", "http://[::]:": "http://[::1]:"}
_PAGE = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={}"><title>Quarterdeck</title>'


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the page that signs in once, and the time at which it expires, in seconds since the epoch."""

    url: str
    expires_at: float


def ui(
    *,
    no_open: Annotated[bool, Parameter(help="Only print the link.")] = False,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Print a link that signs in to the web UI, and open it in a browser if this is a terminal of a desktop.

    The link works once, within five minutes, with the role of your token; the browser stays signed in for 12 hours.
    """
    with connect() as client:
        link = sign_in_link(client)
    if not how.is_table:
        print_details(link, lambda: (("url", link.url), ("expires", Deadline(link.expires_at))), how, name=link.url)
        return
    output.print_line(link.url)
    if not no_open and sys.stdout.isatty() and _has_desktop():
        _open(link.url)


def sign_in_link(client: Client) -> SignInLink:
    """Return a link that signs in one browser, once."""
    code = client.logins.create_code()
    return SignInLink(url=base_url(client.endpoint.url) + code.path, expires_at=code.expires_at)


def base_url(url: str) -> str:
    """Return the address of the server for a browser on this machine."""
    for written, reached in _ANY.items():
        if url.startswith(written):
            return reached + url.removeprefix(written)
    return url.rstrip("/")


def _has_desktop() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(link: str) -> None:
    """Open the link by a private file: every user can read the arguments of a browser, and the link has a secret."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarterdeck"
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    page = cache / "sign-in.html"
    write_private(page, _PAGE.format(html(link)).encode())
    webbrowser.open(page.as_uri())
