"""The options `--wait` and `--timeout`, the same on every verb, and the wait for the nodes.

A verb lists the things that it waits for as `Awaited`; the list is read again and again. Nodes that are offline all the
time are not waited for, and are named at the end. This module never decides what is well: each noun does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, NamedTuple

from cyclopts import Parameter
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.arguments import print_absence
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput, NoSuchNodes, TimedOut, Unavailable
from quarterdeck.model.nodes import AgentState, NodeKey

#: seconds that --wait waits by default
WAIT_S = 60.0
#: seconds between the first two looks, and at most between two later ones
POLL_S, POLL_CAP_S = 0.1, 1.0
#: names in the progress line and in an error, and reasons in an error
_NAMES, _REASONS = 5, 20


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wait:
    """The options of a verb that can wait for the nodes."""

    wait: Annotated[
        bool, Parameter(name="--wait", help="Return when it is done, or has failed, on every node that is online.")
    ] = False
    timeout: Annotated[
        str | None,
        Parameter(name="--timeout", help=f"With --wait: how long to wait. Default: {output.duration(WAIT_S)}."),
    ] = None

    @property
    def limit_s(self) -> float | None:
        """Return how long to wait, None for not at all. Raise `BadInput` for --timeout without --wait."""
        if not self.wait:
            if self.timeout is not None:
                raise BadInput("--timeout limits --wait, which is not given.", hint="Add --wait.")
            return None
        return WAIT_S if self.timeout is None else parse_duration(self.timeout)


class Outlook(Enum):
    """The prospect of something that is waited for."""

    PENDING = auto()
    WELL = auto()
    FAILED = auto()


class Awaited(NamedTuple):
    """Something on one node that is waited for."""

    node: NodeKey
    name: str  #: of the node; where several things are waited for, "web on node-1"
    outlook: Outlook
    state: str = ""
    reason: str = ""  #: why it is not well, in words


class Waited(NamedTuple):
    """The result of a wait."""

    found: Sequence[Awaited]  #: at the last look, without what is on nodes that were never online
    total: int  #: how many of them there were; what is gone is well
    left_out: Sequence[str]  #: nodes that were never online
    limit_s: float

    def of(self, outlook: Outlook) -> list[Awaited]:
        """Return what has this outlook."""
        return [each for each in self.found if each.outlook is outlook]

    def check_online(self) -> None:
        """Raise `NoSuchNodes` if everything is on nodes that are offline."""
        if self.left_out and not self.total:
            raise NoSuchNodes("No node that matches is online.", hint="See `qd node ls`.")

    def check_time(self, what: str, *, reasons: bool) -> None:
        """Raise `TimedOut` if `what` is still pending somewhere: name the nodes, and with `reasons` why."""
        if pending := self.of(Outlook.PENDING):
            after = output.duration(self.limit_s)
            raise TimedOut(
                f"{what} is still on its way after {after}: {names_of(pending)}.",
                hint="The nodes go on; --timeout sets how long to wait.",
                lines=reasons_of(pending) if reasons else (),
            )

    def print_left_out(self) -> None:
        """Print which nodes were not waited for."""
        if self.left_out:
            names = _names(self.left_out)
            output.errors.print(f"[yellow]not waited for:[/] {escape(names)}: offline, done when back", soft_wrap=True)


def wait_for(
    client: Client,
    find: Callable[[], Sequence[Awaited]],
    *,
    doing: str,
    limit_s: float,
    progress: bool = True,
    poll_s: float = POLL_S,
) -> Waited:
    """Call `find` until nothing that it returns is pending, at most for `limit_s` seconds, and show the progress.

    What `find` does not return any more is well. A server that does not answer meanwhile is tried again; raise
    `Unavailable` if it is away at the end.
    """
    waiting = _Waiting(client, find, doing=doing, limit_s=limit_s, progress=progress)
    try:
        return waiting.run(poll_s)
    except KeyboardInterrupt:
        waiting.progress.clear()
        output.errors.print("\nNo longer waiting; the nodes go on.")
        raise
    finally:
        waiting.progress.clear()


class _Waiting:
    """One wait, with its progress line."""

    def __init__(
        self, client: Client, find: Callable[[], Sequence[Awaited]], *, doing: str, limit_s: float, progress: bool
    ) -> None:
        self.progress = Progress(wanted=progress)
        self._client = client
        self._find = find
        self._doing = doing
        self._limit_s = limit_s
        self._online: set[NodeKey] = set()  # at one look at least
        self._seen: set[tuple[NodeKey, str]] = set()  # all that was found there
        self._absence_printed = False

    def run(self, pause_s: float) -> Waited:
        """Look until it is over; the second look comes after `pause_s`."""
        until = time.monotonic() + self._limit_s
        while True:
            late = time.monotonic() >= until
            waited = self._look(tolerant=not late)
            if waited is not None:
                if late or not waited.of(Outlook.PENDING):
                    return waited
                self._show(waited)
            time.sleep(min(pause_s, max(0.0, until - time.monotonic())))
            pause_s = min(POLL_CAP_S, 1.5 * pause_s)

    def _look(self, *, tolerant: bool) -> Waited | None:
        """Return what there is now; with `tolerant`, None if the server does not answer."""
        try:
            self._online |= {node.key for node in self._client.nodes.list() if node.state is AgentState.ONLINE}
            found = self._find()
        except Unavailable:
            if not tolerant:
                raise
            if not self._absence_printed:
                self._absence_printed = True
                self.progress.clear()
                print_absence(self._limit_s)
            return None
        here = [each for each in found if each.node in self._online]
        left_out = list(dict.fromkeys(each.name for each in found if each.node not in self._online))
        self._seen |= {(each.node, each.name) for each in here}
        return Waited(here, len(self._seen), left_out, self._limit_s)

    def _show(self, waited: Waited) -> None:
        pending = waited.of(Outlook.PENDING)
        done = f"{waited.total - len(pending)} of {waited.total}"
        self.progress.show(f"{self._doing}: {done}, waiting for {names_of(pending)}")


def names_of(items: Sequence[Awaited]) -> str:
    """Return the names in one line, the first few of many."""
    return _names([each.name for each in items])


def reasons_of(items: Sequence[Awaited]) -> tuple[str, ...]:
    """Return a line for each, with its state and why, the first few of many."""
    lines = [": ".join(part for part in (each.name, each.state, each.reason) if part) for each in items[:_REASONS]]
    return (*lines, *([f"… and {len(items) - _REASONS} more"] if len(items) > _REASONS else []))


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
