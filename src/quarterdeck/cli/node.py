"""`qd node`: the hosts the fleet knows."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, On, OnGrid, OnNode, connect, key_value, selector

NodeName = Annotated[str, Parameter(help="Name, nid or gid/nid.")]

app = App(name="node", help="The hosts the fleet knows.")


@app.command(name="ls")
def ls(*, on: On = (), node: OnNode = (), gid: OnGrid = None, json: Json = False) -> None:
    """List nodes."""
    with connect() as client:
        nodes = client.list_nodes(selector(on, node, gid))
    output.show(
        nodes,
        {
            "node": lambda n: n.name,
            "gid/nid": lambda n: str(n.key),
            "state": lambda n: n.state,
            "seen": lambda n: output.age(n.seen_at),
            "labels": lambda n: output.pairs(n.labels),
            "kernel": lambda n: n.facts.kernel,
            "addresses": lambda n: " ".join(n.facts.addresses[:2]),
            "agent": lambda n: n.facts.agent_version,
        },
        json=json,
        empty="No nodes. Make a join token with `qd token create` and start `qd agent` on a host.",
    )


@app.command
def show(node: NodeName, /, *, json: Json = False) -> None:
    """Show everything known of one node."""
    with connect() as client:
        found = client.show_node(node)
    if json:
        output.print_json(found)
        return
    facts = found.facts
    output.details(
        [
            ("node", found.name),
            ("gid/nid", str(found.key)),
            ("state", found.state),
            ("seen", f"{output.age(found.seen_at)} ago"),
            ("joined", f"{output.age(found.joined_at)} ago"),
            ("labels", output.pairs(found.labels)),
            ("agent", f"{found.agent_id} {facts.agent_version}"),
            ("host name", facts.hostname),
            ("system", f"{facts.os} {facts.arch}"),
            ("kernel", facts.kernel),
            ("CPUs", facts.cpus),
            ("memory", output.size(facts.memory_bytes)),
            ("addresses", " ".join(facts.addresses)),
            ("eBPF", "yes" if facts.ebpf else f"no: {facts.ebpf_reason}"),
            ("cgroups", facts.cgroups),
            ("revision", f"{found.acted_revision} of {found.revision}"),
        ]
    )


@app.command
def label(node: NodeName, /, *labels: Annotated[str, Parameter(help="key=value to set, key- to remove.")]) -> None:
    """Set labels (key=value) or remove them (key-)."""
    changes: dict[str, str | None] = {}
    for text in labels:
        if text.endswith("-") and "=" not in text:
            changes[text[:-1]] = None
        else:
            key, value = key_value(text, "a label")
            changes[key] = value
    with connect() as client:
        found = client.label_node(node, changes)
    output.console.print(f"{found.name}: {output.pairs(found.labels) or 'no labels'}")


@app.command
def rm(node: NodeName, /) -> None:
    """Remove a node: its agent is terminated and its certificate revoked. Rows it sent stay."""
    with connect() as client:
        client.remove_node(node)
    output.console.print(f"{node} is removed.")
