"""Selection of nodes by their names and by selectors, and the errors when no node matches.

It reads nodes and never changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import NoSuchNodes, NotFound
from quarterdeck.model.nodes import ROLE_LABEL, Node, NodeKey, Selector
from quarterdeck.model.selection import ambiguous, check_unambiguous, nearest_hint, no_such, unknown
from quarterdeck.store.state import nodes as rows


class Candidate(Protocol):
    """A node that a selector may match."""

    @property
    def key(self) -> NodeKey: ...
    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


One = TypeVar("One", bound=Candidate)


async def find_one(transaction: AsyncConnection, reference: str) -> Node:
    """Return a node by name, nid or gid/nid. Raise `NotFound`, or `Conflict` when more than one matches."""
    found = await rows.find_named(transaction, reference)
    if not found:
        names = [node.name for node in await rows.find_targets(transaction)]
        raise NotFound(f"There is no node '{reference[:100]}'.", hint=nearest_hint((reference,), names))
    if len(found) > 1:
        raise ambiguous(reference, [(node.key, node.name) for node in found])
    return found[0]


def choose(every: Sequence[One], selector: Selector) -> list[One]:
    """Return the nodes that `selector` matches. Raise `NoSuchNodes` if it, or a name in it, matches none."""
    found = meant(every, selector)
    if not found:
        raise no_match(selector, joined=len(every))
    return found


def meant(every: Sequence[One], selector: Selector) -> list[One]:
    """Return the nodes that `selector` matches, perhaps none. Raise `NoSuchNodes` if a name in it matches none."""
    check_names(every, selector)
    return matching(every, selector)


def matching(every: Sequence[One], selector: Selector) -> list[One]:
    """Return the nodes that `selector` matches, without a check of its names."""
    return [node for node in every if selector.matches(node.key, name=node.name, labels=node.labels)]


def check_names(every: Sequence[Candidate], selector: Selector) -> None:
    """Check that each name in the selector is that of one node.

    Raise `NoSuchNodes` with all names that match none, and `Conflict` for one that may be several nodes of its grid.
    """
    if wrong := _unknown(every, selector.nodes):
        raise no_such(wrong, [node.name for node in every])
    grid = (node for node in every if selector.gid in (None, node.key.gid))
    check_unambiguous(((node.key, node.name) for node in grid), selector.nodes)


def without_gone(every: Sequence[Candidate], selector: Selector) -> tuple[Selector, tuple[str, ...]]:
    """Return the selector without the names of nodes that no longer exist, and these names.

    Use it for requests that were checked earlier and are executed later. A selector of which no node exists any more
    is returned unchanged and matches no node: without names it would match every node.
    """
    gone = _unknown(every, selector.nodes)
    left = tuple(name for name in selector.nodes if name not in gone)
    return (msgspec.structs.replace(selector, nodes=left), gone) if left else (selector, gone)


def _unknown(every: Sequence[Candidate], named: Sequence[str]) -> tuple[str, ...]:
    return unknown(((node.key, node.name) for node in every), named)


def no_match(selector: Selector, *, joined: int) -> NoSuchNodes:
    """Return the error for a selector that matches none of `joined` nodes."""
    if not joined:
        return NoSuchNodes("No node has joined yet.", hint="Create a token with `qd token create`, and join one.")
    roles = sorted(selector.wanted_roles)
    meant = [f"{key}={value}" for key, value in selector.labels.items() if key != ROLE_LABEL] + list(selector.nodes)
    meant += [] if selector.gid is None else [f"gid {selector.gid}"]
    if roles:
        words = f"There are no agents with role {', '.join(roles)}"
        words += f" that match {', '.join(meant)}." if meant else "."
        return NoSuchNodes(words, hint="The label `role` of a node lists its roles; see `qd node ls`.")
    return NoSuchNodes(f"No node matches {', '.join(meant)}.", hint="See `qd node ls` for names and labels.")
