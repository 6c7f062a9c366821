"""`client.commands`: commands that nodes run once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quarterdeck.client.calls import get, given, number, post, segment
from quarterdeck.client.streams.commands import JobStream, OutputStream
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, KillCommand
from quarterdeck.model.output import NodeMessages


class Commands(Namespace):
    """Commands that nodes run once."""

    def create(self, request: CreateCommand, *, wait_s: float = 0.0) -> CommandWithJobs:
        """Create a command, which each node runs once. It is durable when this returns.

        With `wait_s` (at most 60), return when every job has its result, or when that time has passed.
        """
        query = given(wait_s=f"{wait_s:g}" if wait_s else None)
        call = post("/commands", CommandWithJobs, request, timeout_s=60.0 + max(0.0, wait_s), query=query)
        return self._connection.send(call)

    def list(self, *, since: float | None = None, text: str = "", limit: int = 100) -> Sequence[Command]:
        """Return commands, newest first; with `since`, from then on, in seconds since the epoch.

        With `text`, return those in which each of its words is found: in the name or the arguments of the command or in
        the name of a node, or at the beginning of the id.
        """
        call = get("/commands", list[Command], since=number(since), text=text or None, limit=str(limit))
        return self._connection.send(call)

    def get(self, command_id: str) -> CommandWithJobs:
        """Return one command with its job on every node."""
        return self._connection.send(get(f"/commands/{segment(command_id)}", CommandWithJobs))

    def follow(self, command_id: str) -> Iterator[Job]:
        """Yield every job of a command in its current state, then each change, until all have their result.

        A lost connection is resumed where it stopped.
        """
        return self._connection.follow(JobStream(command_id))

    def output(self, command_id: str, *, follow: bool = True, paced: bool = True) -> Iterator[Job | NodeMessages]:
        """Yield the jobs of a command as they change, and the messages of each node in their order.

        A job with its result comes after all its output. The stream ends when all jobs have their result; without
        `follow`, after the current state. A lost connection is resumed where it stopped: nothing is left out or
        repeated. Programs are slowed down for a slow reader, unless `paced` is false.
        """
        return self._connection.follow(OutputStream(command_id, follow=follow, paced=paced))

    def kill(self, command_id: str, nodes: Sequence[str] = ()) -> CommandWithJobs:
        """End the jobs of a command that have no result yet, on these nodes or on all."""
        body = KillCommand(nodes=tuple(nodes))
        return self._connection.send(post(f"/commands/{segment(command_id)}/kill", CommandWithJobs, body))

    def rerun(self, command_id: str) -> CommandWithJobs:
        """Create a command that is equal to an earlier one, for the nodes of its jobs."""
        return self._connection.send(post(f"/commands/{segment(command_id)}/rerun", CommandWithJobs))
