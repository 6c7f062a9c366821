"""The error for a selector that means no node, in the words of whoever wrote it."""

from __future__ import annotations

from quarterdeck.model.errors import NoSuchNodes
from quarterdeck.model.nodes import Selector


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
