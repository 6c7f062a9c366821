"""`qd token`: join tokens for new nodes, and API tokens for people and programs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, connect, key_value
from quarterdeck.model.tables import parse_duration
from quarterdeck.model.tokens import CreateJoinToken, Role

#: how addresses begin that only this machine reaches, and that mean all of its own
_LOCAL = ("127.", "localhost:", "[::1]:", "::1:")
_ANY = ("0.0.0.0:", "[::]:", ":::", "*:")

TokenId = Annotated[str, Parameter(help="As `ls` shows it.")]

app = App(name="token", help="Join tokens for new nodes; API tokens for people and programs (qd token api).")
api = App(name="api", help="Bearer tokens of the API.")
app.command(api)


@app.command
def create(
    *,
    gid: Annotated[int | None, Parameter(help="Grid the node joins; default: the server's.")] = None,
    nid: Annotated[int | None, Parameter(help="Take the place of this node; its old agent is terminated.")] = None,
    label: Annotated[tuple[str, ...], Parameter(help="Label for the node, key=value.")] = (),
    expires: Annotated[str, Parameter(help="How long it can be used.")] = "1h",
    json: Json = False,
) -> None:
    """Create a one-time token with which one new node joins."""
    labels = dict(key_value(text, "a label") for text in label)
    request = CreateJoinToken(gid=gid, nid=nid, labels=labels, expires_s=parse_duration(expires))
    with connect() as client:
        made = client.create_join_token(request)
        server = client.server_info()
    if json:
        output.print_json(made)
        return
    output.console.print(made.token, soft_wrap=True)
    link, https = _reached(server.link), _reached(server.link_https)
    output.errors.print(
        f"On the new node, within {expires}:\n  qd agent --server {link} --token {made.token}", soft_wrap=True
    )
    if server.link.startswith(_LOCAL):
        output.errors.print(
            "Only this machine reaches that address: for other hosts the server needs another --link "
            "(docs/guide/nodes.md).",
            soft_wrap=True,
        )
    if server.link_https:
        output.errors.print(
            f"Where only HTTPS gets through:\n  qd agent --server https://{https} --token {made.token}",
            soft_wrap=True,
        )


def _reached(address: str) -> str:
    """What stands for the server in a command for another host."""
    return f"SERVER:{address.rpartition(':')[2]}" if address.startswith(_ANY) else address


@app.command(name="ls")
def ls(*, json: Json = False) -> None:
    """List join tokens."""
    with connect() as client:
        tokens = client.list_join_tokens()
    output.show(
        tokens,
        {
            "id": lambda t: t.id,
            "gid": lambda t: t.gid,
            "nid": lambda t: t.nid,
            "created": lambda t: output.age(t.created_at),
            "used": lambda t: f"{output.age(t.used_at)} ago by {t.used_by}" if t.used_at else "no",
        },
        json=json,
        empty="No join tokens.",
    )


@app.command
def revoke(token_id: TokenId, /) -> None:
    """Make an unused join token worthless."""
    with connect() as client:
        client.revoke_join_token(token_id)
    output.console.print(f"{token_id} is revoked.")


@api.command(name="create")
def create_api(
    name: Annotated[str, Parameter(help="Whose it is; shown in the audit log.")],
    /,
    *,
    role: Role = Role.VIEWER,
    expires: Annotated[str, Parameter(help="How long it is valid; default: for ever.")] = "",
    json: Json = False,
) -> None:
    """Create an API token with a role."""
    with connect() as client:
        made = client.create_api_token(name, role, expires_s=parse_duration(expires) if expires else None)
    if json:
        output.print_json(made)
    else:
        output.console.print(made.token, soft_wrap=True)


@api.command(name="ls")
def ls_api(*, json: Json = False) -> None:
    """List API tokens."""
    with connect() as client:
        tokens = client.list_api_tokens()
    output.show(
        tokens,
        {
            "id": lambda t: t.id,
            "name": lambda t: t.name,
            "role": lambda t: t.role,
            "created": lambda t: output.age(t.created_at),
        },
        json=json,
        empty="No API tokens.",
    )


@api.command(name="revoke")
def revoke_api(token_id: TokenId, /) -> None:
    """End an API token at once."""
    with connect() as client:
        client.revoke_api_token(token_id)
    output.console.print(f"{token_id} is revoked.")
