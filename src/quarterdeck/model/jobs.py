"""Commands and jobs: a request to some nodes, and its run on one node, with exactly one result.

The requirement document uses one id for both: `id` is the command's, and a job is that id on one node. The document
defines the names and meanings of the result's fields, except `code`, `reason` and `streams`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.model.processes import program_line
from quarterdeck.model.struct import Name, Output, Struct, Text, Wire, WireEnum
from quarterdeck.model.transitions import Transitions

#: lines that a result keeps from the end of each stream; the node stores all lines as messages
RESULT_LINES = 1000
#: bytes of a command with its arguments and data; larger data is sent as files
COMMAND_LIMIT_BYTES = 256 * 1024
#: characters of a command's id
ID_LIMIT = 128


#: seconds; None: the server's default for offline nodes
Expiry = float | Literal["never"] | None


def is_id(text: str) -> bool:
    """Return whether `text` is valid as the id of a command."""
    return 0 < len(text) <= ID_LIMIT and text.isprintable()


class JobState(WireEnum):
    """The state of a job. The first three can change; each of the others is the final result."""

    QUEUED = "QUEUED"  #: the server has it on disk; the node has not yet confirmed that it has it too
    ACCEPTED = "ACCEPTED"  #: the node has it on disk; it waits to be run
    RUNNING = "RUNNING"
    OK = "OK"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"  #: it ran longer than its max_time
    KILLED = "KILLED"  #: it was ended on request
    UNKNOWN_CMD = "UNKNOWN_CMD"  #: the node has no command of that name
    REFUSED = "REFUSED"  #: the node's own configuration does not allow it
    EXPIRED = "EXPIRED"  #: the node did not receive it in time
    LOST = "LOST"  #: it began, and its outcome is unknown; the reason gives the cause


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
    """Return whether a job in this state has its result."""
    return state in _FINAL


def in_one_line(args: Mapping[str, Any]) -> str:
    """Return the arguments of a command in one line: the program's command line if it has one, else `name=value` pairs.

    The line never contains the environment, which may hold secrets.
    """
    if program := args.get("cmd"):
        words: list[Any] = args["args"] if isinstance(args.get("args"), list) else []
        return program_line(map(str, (program, *words)))
    kept = {name: value for name, value in args.items() if name not in {"sha256", "env"}} or args
    return " ".join(f"{name}={value}" for name, value in kept.items() if name != "env")


class JobOffer(Wire, frozen=True, kw_only=True):
    """A job as a node receives it.

    `taken` means that the node confirmed the job earlier; if it no longer has a record of it, the job is LOST.
    """

    id: Name
    cmd: Text
    args: Annotated[dict[Text, Any], Meta(max_length=COMMAND_LIMIT_BYTES)] = {}
    data: Output = ""
    expires_in_s: float | None = None  #: seconds from now; a node that has not accepted it by then answers EXPIRED
    taken: bool = False


class JobResult(Wire, frozen=True, kw_only=True):
    """The result of a job. The node keeps it until the server has it on disk."""

    id: Name
    state: JobState
    cmd: Text = ""
    data: Output = ""  #: the returned data: JSON of a built-in command, or its last message of level 20 to 30
    level: int = 0  #: level of the message in `data`; 20 (JSON) for a built-in command; 0 without data
    code: int | None = None  #: the exit code of a process; -n when signal n ended it
    reason: Text = ""  #: why the state is not OK; for OK, further remarks
    critical: Text = ""  #: its last message of level 9
    streams: tuple[Output, Output] = ("", "")  #: the last RESULT_LINES of standard output and standard error
    starttime: int = 0  #: milliseconds since the epoch, by the node's clock; 0 when it did not begin
    time: int = 0  #: duration in milliseconds


class Job(Struct, frozen=True, kw_only=True):
    """The run of a command on one node."""

    id: str
    gid: int
    nid: int
    node_name: str
    cmd: str
    state: JobState
    reason: str = ""  #: why it is in this state: offline, expired, refused, the agent was restarted …
    create_time: float = 0.0  #: seconds since the epoch
    accept_time: float = 0.0  #: seconds since the epoch; 0 until the node has it
    last_update_time: float = 0.0  #: seconds since the epoch
    result: JobResult | None = None

    @property
    def key(self) -> NodeKey:
        """Return the key of the node that runs the job."""
        return NodeKey(self.gid, self.nid)


class Command(Struct, frozen=True, kw_only=True):
    """A request to some nodes."""

    id: str
    cmd: str
    args: dict[str, Any] = {}
    selector: Selector = msgspec.field(default_factory=Selector)
    actor: str = ""  #: name of the API token
    create_time: float = 0.0
    expires_at: float | None = None  #: seconds since the epoch; nodes that have not received it by then do not run it
    states: dict[JobState, int] = {}  #: number of its jobs in each state


class CommandWithJobs(Command, frozen=True, kw_only=True):
    """A command with its job on every node."""

    jobs: tuple[Job, ...] = ()


class CreateCommand(Struct, frozen=True, kw_only=True):
    """A request to run a command on nodes. An `id` that was used before is refused; default: a new one."""

    cmd: str
    args: dict[str, Any] = {}
    data: str = ""
    id: str = ""
    selector: Selector = msgspec.field(default_factory=Selector)
    any: bool = False  #: True: only one of the matching nodes runs it, one that is online; False: all matching nodes
    expires_s: Expiry = None  #: seconds within which offline nodes may still receive it; default: the server's


class KillCommand(Struct, frozen=True, kw_only=True):
    """A request to end a command's jobs that have no result yet."""

    nodes: tuple[str, ...] = ()  #: only on these nodes, by name, nid or gid/nid; default: on all
