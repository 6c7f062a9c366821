"""Commands and jobs: what was asked of some nodes, and its run on one node, with exactly one result.

The requirement document calls both by one id: `id` is the command's, and a job is that id on one node. Names and
meanings of the result's fields are the document's; `code`, `reason` and `streams` are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.processes import program_line
from quarterdeck.model.struct import Struct, Wire
from quarterdeck.model.transitions import Transitions

#: lines that a result keeps of each stream, from its end; all of them are messages on the node
RESULT_LINES = 1000
#: bytes of a command with its arguments and data; larger things are sent as files
COMMAND_LIMIT_BYTES = 256 * 1024
#: characters of a command's id
ID_LIMIT = 128


def is_id(text: str) -> bool:
    """Whether this may be the id of a command."""
    return 0 < len(text) <= ID_LIMIT and text.isprintable()


class JobState(StrEnum):
    """Where a job is. The first three may change; each of the others is the one result."""

    QUEUED = "QUEUED"  #: the server has it on disk; the node has not said yet that it has it too
    ACCEPTED = "ACCEPTED"  #: the node has it on disk; it waits for its turn
    RUNNING = "RUNNING"
    OK = "OK"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"  #: it ran longer than its max_time
    KILLED = "KILLED"  #: somebody ended it
    UNKNOWN_CMD = "UNKNOWN_CMD"  #: the node has no command of that name
    REFUSED = "REFUSED"  #: the node's own configuration does not allow it
    EXPIRED = "EXPIRED"  #: the node did not get it in time
    LOST = "LOST"  #: it began, and what became of it is not known: the reason says why


_FINAL = frozenset(
    {
        JobState.OK,
        JobState.ERROR,
        JobState.TIMEOUT,
        JobState.KILLED,
        JobState.UNKNOWN_CMD,
        JobState.REFUSED,
        JobState.EXPIRED,
        JobState.LOST,
    }
)

JOB_TRANSITIONS = Transitions(
    "job",
    {
        JobState.QUEUED: _FINAL | {JobState.ACCEPTED, JobState.RUNNING},
        JobState.ACCEPTED: _FINAL | {JobState.RUNNING},
        JobState.RUNNING: _FINAL,
        **{state: frozenset[JobState]() for state in _FINAL},
    },
)


def is_final(state: JobState) -> bool:
    """Whether a job in this state has its result."""
    return state in _FINAL


def in_one_line(args: Mapping[str, Any]) -> str:
    """The arguments of a command, so that it can be told from others: a program's own line, else what was said.

    Never the environment: that may hold what others are not to read.
    """
    if program := args.get("cmd"):
        words: list[Any] = args["args"] if isinstance(args.get("args"), list) else []
        return program_line(map(str, (program, *words)))
    said = {name: value for name, value in args.items() if name not in {"sha256", "env"}} or args
    return " ".join(f"{name}={value}" for name, value in said.items() if name != "env")


class JobOffer(Wire, frozen=True, kw_only=True):
    """A job as a node gets it. `taken`: the node said before that it has it; if it does not know it now, it is LOST."""

    id: str
    cmd: str
    args: dict[str, Any] = {}
    data: str = ""
    expires_in_s: float | None = None  #: from now; a node that has not accepted it by then answers EXPIRED
    taken: bool = False


class JobResult(Wire, frozen=True, kw_only=True):
    """What came of a job. The node keeps it until the server has it on disk."""

    id: str
    state: JobState
    cmd: str = ""
    data: str = ""  #: what it returned: JSON of a built-in command, or its last message of level 20 to 30
    level: int = 0  #: of the message that `data` is from, else 20 (JSON), else 0 for none
    code: int | None = None  #: the exit code of a process; -n when signal n ended it
    reason: str = ""  #: in words, where the state is not OK
    critical: str = ""  #: its last message of level 9
    streams: tuple[str, str] = ("", "")  #: the last RESULT_LINES of standard output and standard error
    starttime: int = 0  #: milliseconds since the epoch, by the node's clock; 0 when it never began
    time: int = 0  #: milliseconds that it took


class Job(Struct, frozen=True, kw_only=True):
    """A command's run on one node."""

    id: str
    gid: int
    nid: int
    node_name: str
    cmd: str
    state: JobState
    reason: str = ""  #: why it is in this state: offline, expired, refused, the agent was restarted …
    create_time: float = 0.0  #: seconds since the epoch, as are the next two
    accept_time: float = 0.0  #: 0 until the node has it
    last_update_time: float = 0.0
    result: JobResult | None = None

    @property
    def key(self) -> NodeKey:
        """On which node."""
        return NodeKey(self.gid, self.nid)


class Command(Struct, frozen=True, kw_only=True):
    """What was asked of some nodes."""

    id: str
    cmd: str
    args: dict[str, Any] = {}
    selector: Selector = msgspec.field(default_factory=Selector)
    actor: str = ""  #: name of the API token
    create_time: float = 0.0
    expires_at: float | None = None  #: nodes that have not got it by then do not run it
    states: dict[JobState, int] = {}  #: how many of its jobs are in each state


class CommandWithJobs(Command, frozen=True, kw_only=True):
    """A command with what became of it on every node."""

    jobs: tuple[Job, ...] = ()


class CreateCommand(Struct, frozen=True, kw_only=True):
    """Ask nodes to do something. An `id` used before is refused; without one the server makes it."""

    cmd: str
    args: dict[str, Any] = {}
    data: str = ""
    id: str = ""
    selector: Selector = msgspec.field(default_factory=Selector)
    any: bool = False  #: of the nodes that match, one that is online; else all
    expires_s: float | None = None  #: how long nodes that are away may take to come back; default: for ever


class KillCommand(Struct, frozen=True, kw_only=True):
    """End a command's jobs that have no result yet."""

    nodes: tuple[str, ...] = ()  #: on these nodes, by name, nid or gid/nid; none named: on all
