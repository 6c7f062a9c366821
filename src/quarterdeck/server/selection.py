"""Which nodes are meant, by what people call them; and the errors where none is, in the words of whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import Conflict, NoSuchNodes, NotFound
from quarterdeck.model.nodes import Node, NodeKey, Selector
from quarterdeck.store.state import nodes as rows


async def find_one(transaction: AsyncConnection, reference: str) -> Node:
    """One node by name, nid or gid/nid. `NotFound`; `Conflict` when more than one is called that."""
    found = await rows.find_named(transaction, reference)
    if not found:
        raise NotFound(f"There is no node '{reference}'.", hint="See `qd node ls`.")
    if len(found) > 1:
        names = ", ".join(f"{node.name} ({node.key})" for node in found)
        raise Conflict(f"'{reference}' may be any of {names}.", hint="Name it by gid/nid.")
    return found[0]


def pick(nodes: Mapping[NodeKey, str], named: Sequence[str], *, missing: Callable[[str], NoSuchNodes]) -> set[NodeKey]:
    """Those of these nodes, with their names, that are `named`; all, when none is. `missing`: for a name of none."""
    picked: set[NodeKey] = set()
    for name in named or ("",):
        selector = Selector(nodes=(name,) if name else ())
        found = {key for key, node_name in nodes.items() if selector.matches(key, name=node_name, labels={})}
        if not found:
            raise missing(name)
        picked |= found
    return picked


def no_match(selector: Selector, *, joined: int) -> NoSuchNodes:
    """Of `joined` nodes `selector` means none."""
    if not joined:
        return NoSuchNodes("No node has joined yet.", hint="Create a token with `qd token create`, and join one.")
    meant = [f"{key}={value}" for key, value in selector.labels.items()] + list(selector.nodes)
    meant += [] if selector.gid is None else [f"gid {selector.gid}"]
    if selector.roles:
        words = f"There are no agents with role {', '.join(selector.roles)}"
        words += f" that match {', '.join(meant)}." if meant else "."
        return NoSuchNodes(words, hint="A node's roles are what its label `role` says; see `qd node ls`.")
    return NoSuchNodes(f"No node matches {', '.join(meant)}.", hint="See `qd node ls` for names and labels.")
