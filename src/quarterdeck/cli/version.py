"""`qd version`: the version of this client and of its server."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.markup import escape

from quarterdeck import __version__
from quarterdeck.cli import output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import print_details
from quarterdeck.model.errors import TimedOut, Unauthenticated, Unavailable
from quarterdeck.model.server import ServerInfo

#: seconds within which the server has to accept a connection, and then to answer
TIMEOUT_S = 3.0


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of both sides."""

    client: str
    server: str | None = None  #: None: no server answered
    protocol: int | None = None  #: of the link between server and agents
    http: str = ""  #: address of the server's API


def version(*, how: OutputOptions = OutputOptions()) -> None:
    """Print the version of this client, and the version and link protocol of its server.

    The exit code is 0 also when no server answers; standard error then says why.
    """
    try:
        with connect(timeout_s=TIMEOUT_S) as client:
            found = _versions(client.server.get())
    except (Unavailable, TimedOut, Unauthenticated) as error:
        found = Versions(client=__version__)
        output.errors.print(f"[yellow]no server:[/] {escape(error.message)}", soft_wrap=True)
    print_details(found, lambda: _details(found), how, name=found.client)


def _versions(server: ServerInfo) -> Versions:
    return Versions(client=__version__, server=server.version, protocol=server.protocol, http=server.http)


def _details(found: Versions) -> Iterator[tuple[str, object]]:
    yield from (
        ("client", found.client),
        ("server", found.server),
        ("protocol", found.protocol),
        ("address", found.http),
    )
