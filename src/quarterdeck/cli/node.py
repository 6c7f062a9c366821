"""`qd node`: the hosts of the fleet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import completers, many, output
from quarterdeck.cli.arguments import connect, key_value
from quarterdeck.cli.cells import Age, Size
from quarterdeck.cli.formats import ListOptions, OutputOptions
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.cli.selection import Nodes
from quarterdeck.cli.waiting import Awaited, Outlook, Wait, wait_for
from quarterdeck.client import Client
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Node, NodeKey

NodeName = Annotated[str, Parameter(help="Name, nid or gid/nid.", completer=completers.nodes)]
NodeNames = Annotated[str, Parameter(help="Names, nids or gid/nids.", completer=completers.nodes)]

app = App(name="node", help="The hosts the fleet knows.")

NODES = Listing[Node](
    columns=(
        Column("node", lambda n: n.name),
        Column("gid/nid", lambda n: str(n.key), rank=1),
        Column("state", lambda n: f"{n.state}, keeps its set" if n.held_revision else n.state),
        Column("seen", lambda n: Age(n.seen_at), rank=2),
        Column("labels", lambda n: output.pairs(n.labels)),
        Column("kernel", lambda n: n.facts.kernel, rank=4),
        Column("addresses", lambda n: " ".join(n.facts.addresses[:2]), rank=5),
        Column("agent", lambda n: n.facts.agent_version, rank=3),
        Column("system", lambda n: n.facts.os, wide=True),
        Column("arch", lambda n: n.facts.arch, wide=True),
        Column("cpus", lambda n: n.facts.cpus, wide=True),
        Column("memory", lambda n: Size(n.facts.memory_bytes), wide=True),
        Column("joined", lambda n: Age(n.joined_at), wide=True),
    ),
    name=lambda n: n.name,
    empty="No nodes. Make a join token with `qd token create` and start `qd agent` on a host.",
)


@app.command(name="ls")
def ls(*, nodes: Nodes = Nodes(), how: ListOptions = ListOptions()) -> None:
    """List nodes."""
    listing = replace(NODES, empty="No node matches. See `qd node ls` for names and labels.") if nodes.named else NODES
    with connect() as client:
        listing.print(lambda: client.nodes.list(nodes.selector), how)


@app.command
def show(node: NodeName, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Show everything known of one node."""
    with connect() as client:
        found = client.nodes.get(node)
    print_details(found, lambda: _details(found), how, name=found.name)
    if found.held_revision and how.is_table:
        output.errors.print(
            f"The agent has the desired set of revision {found.held_revision:d}, which this server's state does not "
            f"know: it is older. The node keeps what it runs until `qd node sync {escape(found.name)}`.",
            soft_wrap=True,
        )


def _details(node: Node) -> Iterator[tuple[str, object]]:
    facts = node.facts
    yield from (
        ("node", node.name),
        ("gid/nid", str(node.key)),
        ("state", node.state),
        ("seen", Age(node.seen_at, ago=True)),
        ("joined", Age(node.joined_at, ago=True)),
        ("labels", output.pairs(node.labels)),
        ("claimed", f"{output.pairs(node.claimed_labels)} (not in force)" if node.claimed_labels else ""),
        ("agent", f"{node.agent_id} {facts.agent_version}"),
        ("host name", facts.hostname),
        ("system", f"{facts.os} {facts.arch}"),
        ("kernel", facts.kernel),
        ("CPUs", facts.cpus),
        ("memory", Size(facts.memory_bytes)),
        ("addresses", " ".join(facts.addresses)),
        ("eBPF", "yes" if facts.ebpf else f"no: {facts.ebpf_reason}"),
        ("cgroups", facts.cgroups),
        ("revision", f"{node.acted_revision} of {node.revision}"),
    )


@app.command
def label(
    *words: Annotated[
        str,
        Parameter(name="WORD", help="Nodes; key=value to set a label, key- to remove it.", completer=completers.nodes),
    ],
) -> None:
    """Set labels (key=value) or remove them (key-) on one or more nodes: qd node label web-1 web-2 role=web site-"""
    names, changes = labelling(words)
    with connect() as client:
        many.each(
            names,
            lambda name: client.nodes.label(name, changes),
            lambda node: many.say(f"{node.name}: {output.pairs(node.labels) or 'no labels'}"),
        )


def labelling(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str | None]]:
    """Return the nodes and the changes of labels among `words`, in whatever order they stand."""
    names: list[str] = []
    changes: dict[str, str | None] = {}
    for word in words:
        if "=" in word:
            key, value = key_value(word, "a label")
            changes[key] = value
        elif word.endswith("-"):
            changes[word[:-1]] = None
        else:
            names.append(word)
    if not names or not changes:
        missing = "node" if not names else "label"
        raise BadInput(
            f"Expected nodes and labels, found no {missing}.", hint="As in `qd node label web-1 role=web site-`."
        )
    return tuple(names), changes


@app.command
def sync(*nodes: NodeNames, waiting: Wait = Wait()) -> None:
    """Send this server's desired set to nodes that have a later one from a lost state (after restoring a backup)."""
    limit_s = waiting.limit_s
    with connect() as client, many.Attempt(nodes) as attempt:
        told: set[NodeKey] = set()
        for node in attempt.results(client.nodes.sync):
            told.add(node.key)
            many.say(f"{node.name} gets the desired set of this server (revision {node.revision}).")
        if limit_s is not None and told:
            attempt.run(lambda: _wait_until_acted(client, told, limit_s))


def _wait_until_acted(client: Client, keys: Collection[NodeKey], limit_s: float) -> None:
    """Wait until the agents of these nodes have acted on their desired sets; raise `TimedOut` or `NoSuchNodes`."""

    def find() -> list[Awaited]:
        return [
            Awaited(node.key, node.name, Outlook.WELL if _has_acted(node) else Outlook.PENDING, node.state)
            for node in client.nodes.list()
            if node.key in keys
        ]

    waited = wait_for(client, find, doing="sending desired sets", limit_s=limit_s)
    waited.check_online()
    waited.print_left_out()
    waited.check_time("The desired set", reasons=False)


def _has_acted(node: Node) -> bool:
    return not node.held_revision and node.acted_revision >= node.revision


@app.command
def rm(*nodes: NodeNames) -> None:
    """Remove nodes: their programs and agents end, their certificates are revoked. The rows that they sent stay."""
    with connect() as client:
        many.remove(nodes, client.nodes.remove)
