"""Commands and results as they lie in Redis: the requirement document's own JSON, and the names of its lists.

A client puts a command into the list `cmds_queue`, and finds each of its results in `cmds_queue_$id`. What processes
print is in `log.$domain.$name`. Names and meanings are the document's; the keys with a dot after `cmds_queue` are ours.
"""

from __future__ import annotations

from typing import Any

from quarterdeck.model.jobs import JobState
from quarterdeck.model.struct import Struct, Wire

#: commands that no server has taken yet; clients add at its right end
COMMANDS = "cmds_queue"
#: what could not be answered, because no id could be read or it was another command's: the newest REJECTED_KEPT
REJECTED = "cmds_queue.rejected"
REJECTED_KEPT = 1000
#: in the name of a list of messages: no domain, or no name
UNKNOWN = "unknown"
#: of `roles`: every node
ANY_ROLE = "*"


def results_of(command_id: str) -> str:
    """The list of a command's results."""
    return f"{COMMANDS}_{command_id}"


def log_of(domain: str, name: str) -> str:
    """The list of the messages of a domain and name; what has none is unknown."""
    return f"log.{domain or UNKNOWN}.{name or UNKNOWN}"


class QueuedCommand(Struct, frozen=True, kw_only=True):
    """A command as a client queues it: for one node by `gid` and `nid`, or for nodes by their roles."""

    id: str  #: made by the client, and used once
    cmd: str
    gid: int | None = None
    nid: int | None = None
    args: dict[str, Any] | None = None
    data: Any = ""  #: text; anything else is passed on as its JSON
    roles: tuple[str, ...] | None = None  #: every one of them; ["*"]: any node; with a `gid`: of that grid
    fanout: bool | None = None  #: with roles: all nodes that have them, not one of them
    tags: str | None = None  #: comes back with each result


class QueuedResult(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What came of a command on one node. `gid` and `nid` are 0 where no node was asked."""

    id: str
    gid: int = 0
    nid: int = 0
    cmd: str = ""
    args: dict[str, Any] = {}
    data: str = ""  #: what it returned
    state: JobState
    time: int = 0  #: milliseconds that it took
    starttime: int = 0  #: milliseconds since the epoch, by the node's clock
    level: int = 0  #: of the message that `data` is from
    code: int | None = None  #: exit code of a process
    reason: str = ""  #: in words, where the state is not OK
    critical: str = ""  #: its last message of level 9
    streams: tuple[str, str] = ("", "")  #: the last lines of standard output and standard error
    tags: str = ""  #: as they came with the command
    jobs: int = 1  #: nodes that were asked: so many results there will be


class RejectedCommand(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Something in `cmds_queue` that nobody can be answered of."""

    time: float  #: seconds since the epoch
    reason: str
    command: str  #: what was found, or its beginning


class QueuedMessage(Wire, frozen=True, kw_only=True):
    """A forwarded message as it lies in `log.$domain.$name`."""

    jobdomain: str
    jobname: str
    epoch: int  #: milliseconds since the epoch, by the node's clock
    level: int
    id: int
    data: str
    gid: int
    nid: int
    jobid: str
