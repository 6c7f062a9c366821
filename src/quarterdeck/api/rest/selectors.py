"""The query parameters that choose nodes, the same on every route that reads from some of them.

A route takes them as one parameter, `chosen: NamedDependency[Selector]`, with `dependencies=CHOSEN`.
"""

from __future__ import annotations

from typing import Annotated

from litestar.di import Provide
from litestar.params import QueryParameter

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Selector

Nodes = Annotated[list[str] | None, QueryParameter(name="node", description="name, nid or gid/nid; repeatable")]
Labels = Annotated[list[str] | None, QueryParameter(name="on", description="label=value, all must match; repeatable")]
Roles = Annotated[list[str] | None, QueryParameter(name="role", description="a node has all of them; repeatable")]
Gid = Annotated[int | None, QueryParameter(name="gid", description="of this grid")]


def to_selector(*, nodes: Nodes = None, labels: Labels = None, roles: Roles = None, gid: Gid = None) -> Selector:
    """Return the selector that the parameters describe. `BadInput` when a label is not key=value."""
    pairs = [label.partition("=") for label in labels or ()]
    for key, equals, value in pairs:
        if not (key and equals):
            raise BadInput(f"Expected a label as key=value, found '{key}{equals}{value}'.")
    return Selector(
        labels={key: value for key, _, value in pairs}, nodes=tuple(nodes or ()), roles=tuple(roles or ()), gid=gid
    )


CHOSEN = {"chosen": Provide(to_selector, sync_to_thread=False)}
