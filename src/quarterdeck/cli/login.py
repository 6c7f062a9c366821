"""`qd login`: the browsers that are signed in to the web UI."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from quarterdeck.cli import completers, many
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Age, Deadline
from quarterdeck.cli.formats import ListOptions
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.model.logins import Login

app = App(name="login", help="Browsers that are signed in to the web UI; `qd ui` signs in.")

LOGINS = Listing[Login](
    columns=(
        Column("id", lambda each: each.id),
        Column("token", lambda each: each.name),
        Column("role", lambda each: each.role),
        Column("signed in", lambda each: Age(each.create_time, ago=True), rank=1),
        Column("seen", lambda each: Age(each.seen_at, ago=True)),
        Column("expires", lambda each: Deadline(each.expires_at), rank=1),
        Column("from", lambda each: each.address or "this machine"),
        Column("browser", lambda each: each.agent, wide=True),
    ),
    name=lambda each: each.id,
    empty="No browser is signed in.",
)


@app.command
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List the browsers that are signed in: with which token, since when, and from where."""
    with connect() as client:
        LOGINS.print(client.logins.list, how)


@app.command
def rm(*logins: Annotated[str, Parameter(help="As `ls` shows them.", completer=completers.logins)]) -> None:
    """Sign browsers out at once."""
    with connect() as client:
        many.remove(logins, client.logins.remove, done="is signed out.")
