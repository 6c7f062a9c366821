"""The waits of the jobs of a node: for a disk, for more news, and for the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The waits of one node, in seconds."""

    #: between two attempts to write to a ledger that cannot be written
    retry_s: float = 1.0
    #: how long the notice that a job was taken or started is delayed, because its result may come soon and include both
    linger_s: float = 0.03
    #: how long a restart waits for the server to store its result; afterwards the next run of the agent sends it
    restart_s: float = 5.0


WAITS = Waits()
