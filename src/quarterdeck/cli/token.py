"""`qd token`: join tokens for new nodes, and API tokens for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import completers, many, output
from quarterdeck.cli.arguments import connect, key_value
from quarterdeck.cli.cells import Age, Deadline
from quarterdeck.cli.formats import ListOptions, OutputOptions
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.client import Client
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.server import ServerInfo
from quarterdeck.model.tokens import ApiToken, CreateJoinToken, JoinToken, NewApiToken, NewJoinToken, Role

#: how addresses begin that only this machine reaches, and that mean all of its own
_LOCAL = ("127.", "localhost:", "[::1]:", "::1:")
_ANY = ("0.0.0.0:", "[::]:", ":::", "*:")

JoinTokenIds = Annotated[str, Parameter(help="As `ls` shows them.", completer=completers.join_tokens)]
ApiTokenIds = Annotated[str, Parameter(help="As `ls` shows them.", completer=completers.api_tokens)]

app = App(name="token", help="Join tokens for new nodes; API tokens for people and programs (qd token api).")
api = App(name="api", help="Bearer tokens of the API.")
app.command(api)


@app.command
def create(
    *,
    gid: Annotated[int | None, Parameter(help="Grid the node joins; default: the server's.")] = None,
    nid: Annotated[int | None, Parameter(help="Take the place of this node; its old agent is terminated.")] = None,
    label: Annotated[tuple[str, ...], Parameter(help="Label for the node, key=value. Repeatable.")] = (),
    allow_label: Annotated[
        tuple[str, ...],
        Parameter(
            help="Label that the node's agent may set and change by itself: KEY or KEY=VALUE, * for any. Repeatable. "
            "Without it and --label: those that it states when it joins, permanently."
        ),
    ] = (),
    fixed_labels: Annotated[
        bool, Parameter(help="The node has the labels of --label and of `qd node label`, and its agent can set none.")
    ] = False,
    expires: Annotated[str, Parameter(help="How long it can be used.")] = "1h",
    how: OutputOptions = OutputOptions(),
) -> None:
    """Create a one-time token with which one new node joins."""
    labels = dict(key_value(text, "a label") for text in label)
    if allow_label and fixed_labels:
        raise BadInput("--fixed-labels and --allow-label exclude each other.", hint="Give one of the two.")
    request = CreateJoinToken(
        gid=gid,
        nid=nid,
        labels=labels,
        allow_labels=allow_label or (() if fixed_labels else None),
        expires_s=parse_duration(expires),
    )
    with connect() as client:
        made = client.tokens.create(request)
        if how.is_table:
            server = client.server.get()
            output.print_line(made.token)
            _print_use(made.token, expires=expires, server=server)
        else:
            print_details(made, lambda: _join_details(made), how, name=made.info.id)


def _join_details(made: NewJoinToken) -> Iterator[tuple[str, object]]:
    info = made.info
    yield from (
        ("token", made.token),
        ("id", info.id),
        ("gid", info.gid),
        ("nid", info.nid),
        ("labels", output.pairs(info.labels)),
        ("may set", " ".join(info.allow_labels or ())),
        ("expires", Deadline(info.expires_at)),
    )


def _print_use(token: str, *, expires: str, server: ServerInfo) -> None:
    """Print how another host joins with a token."""
    link, https = _reached(server.link), _reached(server.link_https)
    output.errors.print(
        escape(f"On the new node, within {expires}:\n  qd agent --server {link} --token {token}"), soft_wrap=True
    )
    if server.link.startswith(_LOCAL):
        output.errors.print(
            "Only this machine reaches that address: for other hosts the server needs another --link "
            "(docs/guide/nodes.md).",
            soft_wrap=True,
        )
    if server.link_https:
        output.errors.print(
            escape(f"Where only HTTPS gets through:\n  qd agent --server https://{https} --token {token}"),
            soft_wrap=True,
        )


def _reached(address: str) -> str:
    """Return the address of the server in a command for another host."""
    return f"SERVER:{address.rpartition(':')[2]}" if address.startswith(_ANY) else address


class UsedToken(NamedTuple):
    """A join token, and the name of the node that it let in."""

    token: JoinToken
    node: str


JOIN_TOKENS = Listing[UsedToken](
    columns=(
        Column("id", lambda t: t.token.id),
        Column("gid", lambda t: t.token.gid, rank=4),
        Column("nid", lambda t: t.token.nid, rank=5),
        Column("labels", lambda t: output.pairs(t.token.labels)),
        Column("may set", lambda t: " ".join(t.token.allow_labels or ()), rank=3),
        Column("created", lambda t: Age(t.token.created_at), rank=2),
        Column("expires", lambda t: "" if t.token.used_at else Deadline(t.token.expires_at)),
        Column("used", lambda t: Age(t.token.used_at, otherwise="no", ago=True)),
        Column("by", lambda t: t.node, rank=1),
        Column("agent", lambda t: t.token.used_by, wide=True),
    ),
    name=lambda t: t.token.id,
    struct=lambda t: t.token,
    empty="No join tokens.",
)
API_TOKENS = Listing[ApiToken](
    columns=(
        Column("id", lambda t: t.id),
        Column("name", lambda t: t.name),
        Column("role", lambda t: t.role),
        Column("created", lambda t: Age(t.created_at), rank=1),
        Column("expires", lambda t: Deadline(t.expires_at)),
        Column("used", lambda t: Age(t.used_at, ago=True)),
    ),
    name=lambda t: t.id,
    empty="No API tokens.",
)


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List join tokens: what they give, until when, and which node used them."""
    with connect() as client:
        JOIN_TOKENS.print(lambda: _used_tokens(client), how)


def _used_tokens(client: Client) -> list[UsedToken]:
    nodes = {agent.agent_id: agent.node_name for agent in client.agents.list()}
    return [UsedToken(token, nodes.get(token.used_by, token.used_by)) for token in client.tokens.list()]


@app.command(alias="revoke")
def rm(*tokens: JoinTokenIds) -> None:
    """Make unused join tokens worthless. The alias is `revoke`."""
    with connect() as client:
        many.remove(tokens, client.tokens.remove, done="is revoked.")


@api.command(name="create")
def create_api(
    name: Annotated[str, Parameter(help="Whose it is; shown in the audit log.")],
    /,
    *,
    role: Role = Role.VIEWER,
    expires: Annotated[str, Parameter(help="How long it is valid; default: for ever.")] = "",
    how: OutputOptions = OutputOptions(),
) -> None:
    """Create an API token with a role."""
    with connect() as client:
        made = client.api_tokens.create(name, role, expires_s=parse_duration(expires) if expires else None)
    if how.is_table:
        output.print_line(made.token)
    else:
        print_details(made, lambda: _api_details(made), how, name=made.info.id)


def _api_details(made: NewApiToken) -> Iterator[tuple[str, object]]:
    info = made.info
    yield from (
        ("token", made.token),
        ("id", info.id),
        ("name", info.name),
        ("role", info.role),
        ("expires", Deadline(info.expires_at)),
    )


@api.command(name="ls")
def ls_api(*, how: ListOptions = ListOptions()) -> None:
    """List API tokens: whose they are, until when they are valid, and when each was last used."""
    with connect() as client:
        API_TOKENS.print(client.api_tokens.list, how)


@api.command(name="rm", alias="revoke")
def rm_api(*tokens: ApiTokenIds) -> None:
    """End API tokens at once. The alias is `revoke`."""
    with connect() as client:
        many.remove(tokens, client.api_tokens.remove, done="is revoked.")
