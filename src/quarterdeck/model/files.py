"""Files that travel between people, the server and nodes: contents named by the sha256 of their bytes.

The server keeps contents for a while, whatever they are for: a file to put on nodes, one that was got from a node. On
a node a file has a path, an owner and a mode.
"""

from __future__ import annotations

import re

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"0?[0-7]{3}|[0-7]{4}")


class StoredFile(Struct, frozen=True, kw_only=True):
    """A content that the server has whole."""

    sha256: str
    size: int  #: bytes
    name: str = ""  #: what it was called where it came from
    added_at: float = 0.0  #: seconds since the epoch, as is the next
    used_at: float = 0.0  #: when it last came or was read; unused for `files_keep_s` it is removed


class FileStatus(Struct, frozen=True, kw_only=True):
    """How much of a content the server has: an upload goes on at `size` until `complete`."""

    sha256: str
    size: int  #: bytes
    complete: bool = False


class Transfer(Struct, frozen=True, kw_only=True):
    """A content on its way to a node or from it, or lately through."""

    gid: int
    nid: int
    sha256: str
    to_node: bool  #: else from it
    at: int  #: bytes that are through
    size: int  #: of how many
    moved_at: float  #: seconds since the epoch


class PutFileArguments(Struct, frozen=True, kw_only=True):
    """Of `put_file`: write a content that the server has to a file of the node."""

    path: str  #: absolute; `$agentroot`, `$root` and `$tmp` are replaced
    sha256: str
    size: int = 0  #: bytes, where they are known: what does not fit is refused before it is sent
    mode: str = ""  #: as "0644"; default: of the file that it replaces, else 0644
    user: str = ""  #: owner, with its group; default: of the file that it replaces, else the agent's own
    overwrite: bool = True  #: else a file with another content is an error
    make_dirs: bool = False  #: make the folders that are missing

    def __post_init__(self) -> None:
        check_sha256(self.sha256)
        if self.mode and not _MODE.fullmatch(self.mode):
            raise BadInput(f"'{self.mode[:100]}' is not a file's mode.", hint="Write it as 0644.")


class GetFileArguments(Struct, frozen=True, kw_only=True):
    """Of `get_file`: send a file of the node to the server."""

    path: str  #: absolute; `$agentroot`, `$root` and `$tmp` are replaced


class NodeFile(Struct, frozen=True, kw_only=True):
    """A file of a node as `put_file` left it or `get_file` found it."""

    path: str
    sha256: str
    size: int  #: bytes
    mode: str  #: as "0644"
    mtime: float  #: seconds since the epoch


def is_sha256(text: str) -> bool:
    """Whether this is a sha256 as it is written everywhere: 64 small hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def check_sha256(text: str) -> str:
    """`text`, or `BadInput`."""
    if not is_sha256(text):
        raise BadInput(f"Expected a sha256 of 64 hexadecimal digits, found '{text[:100]}'.")
    return text
