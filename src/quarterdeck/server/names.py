"""Checks of names, labels, facts and numbers, made once where a user or an agent enters them.

Owns their limits. The checks never change what they accept, except that blanks around a name are removed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import ROLE_LABEL, Facts

_UNSELECTABLE = re.compile(r"[\s=,]")
NAME_LIMIT = 253  # characters, as in a DNS name
LABELS_LIMIT = 64  # labels of one node
FACTS_LIMIT_BYTES = 64 * 1024  # a host with a thousand addresses takes half of it
LIST_LIMIT = 10_000  #: entries of one list
NUMBER_LIMIT = 2**31 - 1  # of a grid, and of a node in it


def check_name(name: str, what: str) -> str:
    """Return `name` without surrounding blanks; raise `BadInput` unless it is 1 to 253 printable characters, no '/'."""
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable() or "/" in name:
        raise BadInput(f"A {what} name is 1 to {NAME_LIMIT} printable characters without '/'; found {name[:300]!r}.")
    return name


def check_node_name(name: str) -> str:
    """Return `name` if it can be a node's; raise `BadInput` if it looks like a number, a path or an option."""
    name = check_name(name, "node")
    if name.isdecimal() or name in {".", ".."} or name.startswith("-"):
        raise BadInput(
            f"A node's name must not be a number, '.' or '..', or begin with '-'; found '{name}'.",
            hint="Start the agent with another --name.",
        )
    return name


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return `labels` unchanged; raise `BadInput` unless keys and values are short, printable, and no key has a '='."""
    if len(labels) > LABELS_LIMIT:
        raise BadInput(f"A node has at most {LABELS_LIMIT} labels; found {len(labels)}.")
    for key, value in labels.items():
        bad = not key or len(key) > NAME_LIMIT or not key.isprintable() or "=" in key
        if bad or len(value) > NAME_LIMIT or not value.isprintable():
            raise BadInput(
                f"A label is KEY=VALUE, each at most {NAME_LIMIT} printable characters;"
                f" found {key[:300]!r}: {value[:300]!r}."
            )
    return dict(labels)


def check_selectable(labels: Mapping[str, str]) -> dict[str, str]:
    """Return `labels` unchanged; raise `BadInput` unless the options of `qd` and its configuration can write them.

    These rules are for labels that are given anew: the agents of older nodes may state others.
    """
    for key, value in check_labels(labels).items():
        commas = key == ROLE_LABEL  # between roles
        if (
            _UNSELECTABLE.search(key)
            or key.endswith("-")
            or _UNSELECTABLE.search(value.replace(",", "") if commas else value)
        ):
            raise BadInput(
                f"The label {key[:300]!r}: {value[:300]!r} could not be selected.",
                hint="A key and a value have no blanks, no '=' and no ',' (but role=web,db has several roles); "
                "a key does not end with '-'.",
            )
    return dict(labels)


def check_facts(facts: Facts) -> Facts:
    """Return `facts` unchanged; raise `BadInput` when they are too large, as every list of nodes contains them."""
    size = len(msgspec.json.encode(facts))
    if size > FACTS_LIMIT_BYTES:
        raise BadInput(f"A host's facts take at most {FACTS_LIMIT_BYTES} bytes; found {size}.")
    return facts


def check_limit(limit: int) -> int:
    """Return `limit` unchanged; raise `BadInput` unless it is from 1 to 10,000."""
    if not 1 <= limit <= LIST_LIMIT:
        raise BadInput(f"A list has 1 to {LIST_LIMIT} entries; found a limit of {limit}.")
    return limit


def check_gid(gid: int) -> int:
    """Return `gid` unchanged; raise `BadInput` unless it is 1 to 2^31 - 1."""
    return _check_number(gid, "grid")


def check_nid(nid: int) -> int:
    """Return `nid` unchanged; raise `BadInput` unless it is 1 to 2^31 - 1."""
    return _check_number(nid, "node")


def _check_number(number: int, what: str) -> int:
    if not 1 <= number <= NUMBER_LIMIT:
        raise BadInput(f"A {what}'s number is 1 to {NUMBER_LIMIT}; found {number}.")
    return number
