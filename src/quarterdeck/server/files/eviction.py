"""Eviction: the choice of contents that are removed to make space for another one.

An upload of a user may evict the contents that were unused longest. A content from a node evicts only earlier contents
of the same node: no node can evict the files of users or of other nodes, or fill the server alone. This module never
removes a file: `files` does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from quarterdeck.model.nodes import NodeKey

#: the `source` of uploads by users
UPLOAD = "upload"
#: the share of the space for files that contents from one node may take
NODE_SHARE = 0.5


def source_of(key: NodeKey) -> str:
    """Return the `source` of contents from a node; only these contain a dash."""
    return f"{key.gid}-{key.nid}"


class Content(NamedTuple):
    """A content that is stored or being received."""

    path: Path
    source: str
    used_at: float
    size: int


class Evictions(NamedTuple):
    """The contents to remove, and how many bytes are still missing then."""

    removed: Sequence[Path]
    missing: int


def choose_evictions(
    contents: Sequence[Content],
    *,
    source: str,
    over: int,
    limit: int,
    coming: int,
    recent: float,
    spared: Collection[Path],
) -> Evictions:
    """Choose contents to remove for `coming` bytes from `source`, which include its other transfers in progress.

    `over`: excess bytes in all, `limit`: bytes that files may take, `recent`: contents used since then are kept.
    """
    is_node = "-" in source
    own = [content for content in contents if content.source == source]
    if is_node:
        over = max(over, coming + sum(content.size for content in own) - int(NODE_SHARE * limit))
    removed: list[Path] = []
    for content in sorted(own if is_node else contents, key=lambda content: (content.used_at, content.size)):
        if over > 0 and content.used_at < recent and content.path not in spared:
            removed.append(content.path)
            over -= content.size
    return Evictions(removed, over)


def use_and_size(path: Path) -> tuple[float, int]:
    """Return the time of the last use of a content, and its size."""
    try:
        state = path.stat()
    except FileNotFoundError:  # it was removed in the meantime
        return 0.0, 0
    return state.st_mtime, state.st_size
