"""Events that the keeper reports to the agent: its children, their output, their exits."""

from __future__ import annotations

from quarterdeck.model.struct import Wire


class Exited(Wire, frozen=True, kw_only=True, tag_field="t", tag="exit"):
    """A child and its whole tree have ended; all its output was reported before."""

    id: str
    seq: int
    code: int | None  #: -n: signal n ended it; None: not known, the keeper was lost
    ended: float  #: seconds since the epoch
    at: float = 0.0  #: the same by the monotonic clock of this boot; 0: not known
    printed: tuple[int, int] = (0, 0)  #: bytes of standard output and of standard error, as far as is known
    killed: bool = False  #: it ended on request
    lost: bool = False  #: its keeper died first: the rest of the tree was killed, and output may be missing
    leaves: int = 0  #: processes of its tree that were still running when it ended, and were ended then
    survivors: int = 0  #: processes of its tree that could not be killed because the kernel blocks them
    user_s: float = 0.0  #: CPU time of it and of those of its own that it waited for
    system_s: float = 0.0
    max_rss: int = 0  #: bytes; of the largest of them


class OutputChunk(Wire, frozen=True, kw_only=True, tag_field="t", tag="output"):
    """Bytes of a stream, in order."""

    id: str
    seq: int
    stream: int  #: 1 standard output, 2 standard error
    offset: int  #: position of the first byte in its stream
    data: bytes = b""


class OutputLost(Wire, frozen=True, kw_only=True, tag_field="t", tag="lost"):
    """Bytes that the keeper could not keep until they were reported."""

    id: str
    seq: int
    bytes: tuple[int, int]  #: of standard output and of standard error
    why: str = ""  #: a clause that can follow "because"; empty from an older keeper


class Exit(Wire, frozen=True, kw_only=True):
    """The end of a child whose exit was not acknowledged yet."""

    code: int | None
    ended: float


class ChildStatus(Wire, frozen=True, kw_only=True, tag_field="t", tag="started"):
    """A child that the keeper has."""

    id: str
    pid: int
    began: float  #: seconds since the epoch
    since: float = 0.0  #: the same by the monotonic clock of this boot
    restarts: int = 0  #: as given at its start
    killed: bool = False
    exit: Exit | None = None  #: None: it runs
    groups: tuple[str, ...] = ()


class StartFailed(Wire, frozen=True, kw_only=True, tag_field="t", tag="refused"):
    """A program that could not be started: the stage at which it failed, and the error of the system."""

    id: str
    stage: str
    errno: int
    why: str


class KeeperHello(Wire, frozen=True, kw_only=True, tag_field="t", tag="hello"):
    """The first frame of a keeper: its identity, and the children that it has."""

    version: int
    pid: int
    since: float = 0.0
    confirms: bool = False  #: it confirms when it has forgotten a child
    opens_inputs: bool = False  #: it opens the `stdin_file` of a start
    children: list[dict[str, object]] = []


class Forgotten(Wire, frozen=True, kw_only=True, tag_field="t", tag="forgotten"):
    """A child whose exit was acknowledged: its id is free."""

    id: str


Event = OutputChunk | OutputLost | Exited
FromKeeper = Exited | OutputChunk | OutputLost | ChildStatus | StartFailed | KeeperHello | Forgotten
