"""Lists of node names: the nodes they refer to, and the error when a name refers to none.

All such lists are checked here, so that a mistyped name is always an error. This module never reads the state store:
callers pass the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from quarterdeck.kit.names import OFFERED, did_you_mean, nearest
from quarterdeck.model.errors import Conflict, NoSuchNodes
from quarterdeck.model.nodes import NodeKey, names_of

#: number of names that an error lists
_LISTED = 10

#: creates the error for names that match no node
Missing = Callable[[Sequence[str]], NoSuchNodes]


def unknown(nodes: Iterable[tuple[NodeKey, str]], named: Sequence[str]) -> tuple[str, ...]:
    """Return the names in `named` that match none of these nodes (key and name each), in order and each once."""
    if not named:
        return ()
    known = {name for key, called in nodes for name in names_of(key, called)}
    return tuple(dict.fromkeys(name for name in named if name not in known))


def pick(nodes: Mapping[NodeKey, str], named: Sequence[str], *, missing: Missing) -> set[NodeKey]:
    """Return the nodes, each with its name, that are `named`; all of them when none is named.

    Raise what `missing` creates: for the names that match no node, or for no names when there are no nodes at all.
    Raise `Conflict` when a name may be more than one of them.
    """
    wrong = unknown(nodes.items(), named)
    if wrong or not nodes:
        raise missing(wrong)
    check_unambiguous(nodes.items(), named)
    return {key for key, called in nodes.items() if not named or names_of(key, called) & set(named)}


def check_unambiguous(nodes: Iterable[tuple[NodeKey, str]], named: Sequence[str]) -> None:
    """Raise `Conflict` when one of the names may be more than one of these nodes (key and name each)."""
    if not named:
        return
    meant: dict[str, list[tuple[NodeKey, str]]] = {name: [] for name in named}
    for key, called in nodes:
        for name in names_of(key, called) & meant.keys():
            meant[name].append((key, called))
    for name, found in meant.items():
        if len(found) > 1:
            raise ambiguous(name, found)


def ambiguous(name: str, found: Iterable[tuple[NodeKey, str]]) -> Conflict:
    """Return the error for a name that may be any of these nodes (key and name each)."""
    candidates = ", ".join(f"{called} ({key})" for key, called in found)
    return Conflict(f"'{name}' may be any of {candidates}.", hint="Name it by gid/nid.")


def quoted(names: Sequence[str]) -> str:
    """Return the names in quotes, "'web-1', 'web-2'"; of many, the first ones and the number of the others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"'{name[:100]}'" for name in names[:_LISTED]) + more


def no_such(named: Sequence[str], known: Iterable[str]) -> NoSuchNodes:
    """Return the error for names that no node has; its hint offers the nearest of the `known` names."""
    one = "There is no node" if len(named) == 1 else "There are no nodes"
    return NoSuchNodes(f"{one} {quoted(named)}.", hint=nearest_hint(named, known))


def no_job(command_id: str, named: Sequence[str], known: Iterable[str]) -> NoSuchNodes:
    """Return the error for names of nodes without a job of this command; without names, the command has no jobs."""
    where = quoted(named) if named else "any node"
    hint = nearest_hint(named, known, otherwise="See `qd job show`.")
    return NoSuchNodes(f"The command '{command_id}' has no job on {where}.", hint=hint)


def nearest_hint(named: Iterable[str], known: Iterable[str], *, otherwise: str = "See `qd node ls`.") -> str:
    """Return a hint: the names that may have been meant, or where to find them."""
    names = sorted(set(known))
    near = dict.fromkeys(one for name in named for one in nearest(name, names))
    return did_you_mean(list(near)[:OFFERED], otherwise=otherwise)
