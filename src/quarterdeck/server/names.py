"""What names, labels, facts and numbers may be: checked once, where a person or an agent hands them in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Facts

NAME_LIMIT = 253  # characters, as of a DNS name
LABELS_LIMIT = 64  # labels of one node
FACTS_LIMIT_BYTES = 64 * 1024  # a host with a thousand addresses takes half of it
NUMBER_LIMIT = 2**31 - 1  # of a grid, and of a node in it


def check_name(name: str, what: str) -> str:
    """`name` without surrounding blanks; `BadInput` unless it is 1 to 253 printable characters without '/'."""
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable() or "/" in name:
        raise BadInput(f"A {what} name is 1 to {NAME_LIMIT} printable characters without '/'; found {name[:300]!r}.")
    return name


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """`labels` as they are; `BadInput` unless keys and values are short printable texts and the keys hold no '='."""
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


def check_facts(facts: Facts) -> Facts:
    """`facts` as they are; `BadInput` when they are larger than any host's: they are shown with every list of nodes."""
    size = len(msgspec.json.encode(facts))
    if size > FACTS_LIMIT_BYTES:
        raise BadInput(f"A host's facts take at most {FACTS_LIMIT_BYTES} bytes; found {size}.")
    return facts


def check_gid(gid: int) -> int:
    """`gid` as it is; `BadInput` unless it is 1 to 2^31 - 1."""
    return _check_number(gid, "grid")


def check_nid(nid: int) -> int:
    """`nid` as it is; `BadInput` unless it is 1 to 2^31 - 1."""
    return _check_number(nid, "node")


def _check_number(number: int, what: str) -> int:
    if not 1 <= number <= NUMBER_LIMIT:
        raise BadInput(f"A {what}'s number is 1 to {NUMBER_LIMIT}; found {number}.")
    return number
