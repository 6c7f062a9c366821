"""The options that choose nodes: `--on`, `--role`, `--node` and `--gid`, the same on every verb.

Owns the rule that nothing reaches the whole fleet unless that is requested: where no option names nodes, --all is
needed as soon as there are several, and whenever fewer were selected before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from quarterdeck.cli import completers
from quarterdeck.cli.arguments import key_value
from quarterdeck.client import Client
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput, NoSuchNodes
from quarterdeck.model.jobs import Expiry
from quarterdeck.model.nodes import NodeKey, Selector

_HINT = "Say which, with --on, --role, --node or --gid; --all for all of them"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The selected nodes."""

    on: Annotated[
        tuple[str, ...],
        Parameter(name="--on", help="Only nodes with this label: key=value. Repeatable.", completer=completers.labels),
    ] = ()
    role: Annotated[
        tuple[str, ...],
        Parameter(
            name="--role",
            help="Only nodes with this role: one of those in their label role. Repeatable.",
            completer=completers.roles,
        ),
    ] = ()
    node: Annotated[
        tuple[str, ...],
        Parameter(name="--node", help="Only this node: name, nid or gid/nid. Repeatable.", completer=completers.nodes),
    ] = ()
    gid: Annotated[int | None, Parameter(name="--gid", help="Only nodes of this grid.")] = None

    @property
    def selector(self) -> Selector:
        """Return the selector that the options describe."""
        labels = dict(key_value(text, "a label") for text in self.on)
        return Selector(labels=labels, roles=self.role, nodes=self.node, gid=self.gid)

    @property
    def named(self) -> bool:
        """Return whether any option is given."""
        return self.selector != Selector()

    def names(self, client: Client) -> tuple[str, ...]:
        """Return the nodes as a list of names for requests that take one; empty when no option is given."""
        chosen = self.selector
        if chosen == Selector(nodes=chosen.nodes):
            return chosen.nodes
        return tuple(str(key) for key in self.find(client))

    def find(self, client: Client) -> dict[NodeKey, str]:
        """Return the nodes that are meant, each with its name. `NoSuchNodes` when there is none."""
        found = {node.key: node.name for node in client.nodes.list(self.selector)}
        if not found:
            raise NoSuchNodes("No node matches.", hint="See `qd node ls` for names and labels.")
        return found


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Targets(Nodes):
    """The nodes that should have something, now and later."""

    all: Annotated[
        bool, Parameter(name="--all", help="On all that match; needed where no node is named and there are several.")
    ] = False

    def standing(self, client: Client, *, what: str, before: Selector | None = None) -> Selector:
        """Return the selector for `what` is to stand on nodes that may join later; `before`: that in force.

        `BadInput` when that is every node, --all is not given, and the fleet has several nodes or `before` names less.
        """
        if not self.named and not self.all:
            check_reach(client, {what: before})
        return self.selector


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where(Targets):
    """The nodes that run a command."""

    any: Annotated[bool, Parameter(name="--any", help="On one of the nodes that match, one that is online.")] = False
    expires: Annotated[
        str | None,
        Parameter(
            name="--expires",
            help="Offline nodes that are not back within this time do not run it: 10m, 2d, or never. "
            "Default: the server's (expires_s in [server.commands]), an hour unless configured.",
        ),
    ] = None

    @property
    def expires_s(self) -> Expiry:
        """Return the time after which nodes that have not received the command no longer run it, in seconds."""
        return None if self.expires is None else "never" if self.expires == "never" else parse_duration(self.expires)

    def chosen(self, client: Client) -> Selector:
        """Return the nodes that are asked once. `BadInput` when that is every node of a fleet without --all."""
        self._check_opposites()
        if self.named or self.all or self.any:
            return self.selector
        nodes = client.nodes.list()
        if len(nodes) > 1:
            raise BadInput(
                f"No node is named, so this would run on all {len(nodes)} nodes.", hint=f"{_HINT}, --any for one."
            )
        return Selector(nodes=tuple(str(node.key) for node in nodes))

    def standing(self, client: Client, *, what: str, before: Selector | None = None) -> Selector:
        """Return the selector of what is asked again and again."""
        self._check_opposites()
        return self.selector if self.any else super().standing(client, what=what, before=before)

    def _check_opposites(self) -> None:
        if self.all and self.any:
            raise BadInput("--all and --any are opposites.", hint="Give one of them.")


def check_reach(client: Client, names: dict[str, Selector | None]) -> None:
    """Raise `BadInput` unless these may be on every node without --all; each has its selector in force, or None."""
    for name, before in names.items():
        if before not in (None, Selector()):
            raise BadInput(
                f"No node is named, so {name} would spread from {in_words(before)} to every node.",
                hint=f"{_HINT}.",
            )
    count = len(client.nodes.list())
    if names and count > 1:
        raise BadInput(f"No node is named, so {', '.join(names)} would be on all {count} nodes.", hint=f"{_HINT}.")


def in_words(selector: Selector) -> str:
    """Return a selector in the words of its options, e.g. "web-1 role=db site=north gid 2", or "every node"."""
    parts = [*selector.nodes, *(f"role={role}" for role in selector.roles)]
    parts += [f"{key}={value}" for key, value in sorted(selector.labels.items())]
    parts += [] if selector.gid is None else [f"gid {selector.gid}"]
    return " ".join(parts) or "every node"
