"""Commands and results in Redis: the JSON that the requirement document defines, and the names of its lists.

A client adds a command to the list `cmds_queue` and reads its results from `cmds_queue_$id`. The messages of processes
are in `log.$domain.$name`. The document defines names and meanings, except the keys with a dot after `cmds_queue`.
"""

from __future__ import annotations

from typing import Any

from quarterdeck.model.jobs import JobState
from quarterdeck.model.struct import Struct, Wire

#: list of commands that no server has taken yet; clients add at its right end
COMMANDS = "cmds_queue"
#: list of the newest REJECTED_KEPT entries that could not be answered, because their id is missing or already used
REJECTED = "cmds_queue.rejected"
REJECTED_KEPT = 1000
#: stands for a missing domain or name in the name of a list of messages
UNKNOWN = "unknown"
#: as a role: matches every node
ANY_ROLE = "*"


def results_of(command_id: str) -> str:
    """Return the name of the list of a command's results."""
    return f"{COMMANDS}_{command_id}"


def log_of(domain: str, name: str) -> str:
    """Return the name of the list of messages of a domain and name; an empty one becomes `unknown`."""
    return f"log.{domain or UNKNOWN}.{name or UNKNOWN}"


class QueuedCommand(Struct, frozen=True, kw_only=True):
    """A command as a client queues it: for one node by `gid` and `nid`, or for nodes by their roles."""

    id: str  #: chosen by the client, and used only once
    cmd: str
    gid: int | None = None
    nid: int | None = None
    args: dict[str, Any] | None = None
    data: Any = ""  #: text; any other value is passed on as its JSON
    #: a node must have all of them; ["*"] matches every node; with `gid`, only nodes of that grid
    roles: tuple[str, ...] | None = None
    fanout: bool | None = None  #: with roles: all matching nodes run it, not only one
    tags: str | None = None  #: returned with each result


class QueuedResult(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The result of a command on one node. `gid` and `nid` are 0 when no node received the command."""

    id: str
    gid: int = 0
    nid: int = 0
    cmd: str = ""
    args: dict[str, Any] = {}
    data: str = ""  #: the returned data
    state: JobState
    time: int = 0  #: duration in milliseconds
    starttime: int = 0  #: milliseconds since the epoch, by the node's clock
    level: int = 0  #: level of the message in `data`
    code: int | None = None  #: exit code of a process
    reason: str = ""  #: why the state is not OK
    critical: str = ""  #: its last message of level 9
    streams: tuple[str, str] = ("", "")  #: the last lines of standard output and standard error
    tags: str = ""  #: the tags of the command
    jobs: int = 1  #: number of nodes that run the command, and so of its results


class RejectedCommand(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """An entry of `cmds_queue` that cannot be answered."""

    time: float  #: seconds since the epoch
    reason: str
    command: str  #: the entry, or its beginning


class QueuedMessage(Wire, frozen=True, kw_only=True):
    """A forwarded message in `log.$domain.$name`."""

    jobdomain: str
    jobname: str
    epoch: int  #: milliseconds since the epoch, by the node's clock
    level: int
    id: int
    data: str
    gid: int
    nid: int
    jobid: str
