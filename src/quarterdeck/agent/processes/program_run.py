"""One run of a supervised process: its output, whether it still runs, and how it ended, in words.

It holds facts and decides nothing: the rules (`supervision.py`) decide whether there is another run.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from quarterdeck.agent.keeper.messages import Exited
from quarterdeck.agent.processes.output import RunOutput


@dataclass(slots=True, eq=False)
class ProgramRun:
    """A run, from the request to start the program to its end."""

    output: RunOutput
    pid: int | None = None  #: while it runs
    began: float = 0.0  #: seconds since the epoch
    over: bool = False  #: its exit was reported, or its start was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The end of a run: its outcome, and the reason in words."""

    code: int | None = None  #: -n: signal n ended it
    reason: str = ""  #: in words; empty when it ended well
    refused: bool = False  #: it could not be started
    lost: bool = False  #: its keeper ended first
    leftovers: str = ""  #: a sentence about the processes that were ended with it
    exited: Exited | None = None  #: the keeper's report
    oom_kills: int = 0


def leftovers(exited: Exited) -> str:
    """Return a sentence about the processes that still ran when the program ended; empty when there were none."""
    if not exited.leaves or exited.killed:
        return ""
    some = "a process running, which was" if exited.leaves == 1 else f"{exited.leaves} processes running, which were"
    return f"It left {some} ended with it."


def end_reason(exited: Exited) -> str:
    """Return how the program ended, in words; empty when it ended well."""
    if exited.lost:
        return "Its keeper ended before it: what was left of it was killed, and how it ended is not known."
    if exited.code is None:
        return "how it ended is not known"
    if exited.code >= 0:
        return f"exit code {exited.code}" if exited.code else ""
    try:
        name = signal.Signals(-exited.code).name.removeprefix("SIG")
    except ValueError:  # a real-time signal
        return f"signal {-exited.code}"
    return f"signal {-exited.code} ({name})"
