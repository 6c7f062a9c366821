"""Files that are transferred between users, the server and nodes: contents, named by the sha256 of their bytes.

The server stores contents for a limited time, both files to put on nodes and files read from nodes. A file on a node
also has a path, an owner and a mode.
"""

from __future__ import annotations

import re

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct, Wire

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"0?[0-7]{3}|[0-7]{4}")


class StoredFile(Struct, frozen=True, kw_only=True):
    """A content that the server has stored completely."""

    sha256: str
    size: int  #: bytes
    name: str = ""  #: name of the file at its origin
    added_at: float = 0.0  #: seconds since the epoch
    used_at: float = 0.0  #: seconds since the epoch, of the last upload or read; unused for `keep_s`, it is removed


class FileStatus(Struct, frozen=True, kw_only=True):
    """The part of a content that the server has: an upload continues at `size` until `complete`."""

    sha256: str
    size: int  #: bytes
    complete: bool = False


class Transfer(Struct, frozen=True, kw_only=True):
    """A transfer of a content to or from a node, in progress or recently completed."""

    gid: int
    nid: int
    sha256: str
    to_node: bool  #: True: to the node; False: from it
    at: int  #: bytes that were transferred
    size: int  #: bytes of the content
    moved_at: float  #: seconds since the epoch


def check_mode(mode: str) -> str:
    """Return `mode` unchanged; raise `BadInput` unless it is a file's mode."""
    if not _MODE.fullmatch(mode):
        raise BadInput(f"'{mode[:100]}' is not a file mode.", hint="Write it as 0644.")
    return mode


class PutFileArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `put_file`, which writes a content that the server has to a file of the node."""

    path: str  #: absolute; may begin with `$agentroot`, `$root` or `$tmp`
    sha256: str
    size: int = 0  #: bytes, if known: a content that does not fit on the disk is then refused before it is sent
    mode: str = ""  #: such as "0644"; "644" keeps set-user-id and similar bits; default: the replaced file's, else 0644
    user: str = ""  #: owner, with its group; default: of the replaced file, else the agent's own
    overwrite: bool = True  #: False: an existing file with another content is an error
    make_dirs: bool = False  #: create missing folders

    def __post_init__(self) -> None:
        check_sha256(self.sha256)
        if self.mode:
            check_mode(self.mode)


class GetFileArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `get_file`, which sends a file of the node to the server."""

    path: str  #: absolute; may begin with `$agentroot`, `$root` or `$tmp`


class NodeFile(Wire, frozen=True, kw_only=True):
    """A file of a node as `put_file` wrote it or `get_file` found it."""

    path: str
    sha256: str
    size: int  #: bytes
    mode: str  #: such as "0644"
    mtime: float  #: seconds since the epoch


def is_sha256(text: str) -> bool:
    """Return whether `text` is a sha256 in its usual form: 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def check_sha256(text: str) -> str:
    """Return `text`. Raise `BadInput` unless it is a sha256."""
    if not is_sha256(text):
        raise BadInput(f"Expected a sha256 of 64 hexadecimal digits, found '{text[:100]}'.")
    return text
