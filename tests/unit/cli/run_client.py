"""A client for tests of `qd run`: a fleet on which given events happen, and signals that come while it is asked."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from quarterdeck.client.transfers import Measured
from quarterdeck.model.errors import NotFound, QuarterdeckError
from quarterdeck.model.files import FileStatus
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobResult, JobState
from quarterdeck.model.messages import Message
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.output import NodeMessages


def job(name: str, state: JobState, **result: Any) -> Job:
    given = JobResult(id="one", state=state, starttime=1, time=7, **result) if result or state is JobState.OK else None
    return Job(id="one", gid=1, nid=len(name), node_name=name, cmd="execute", state=state, result=given)


def printed(name: str, *lines: str, level: int = 1, problems: tuple[str, ...] = ()) -> NodeMessages:
    messages = tuple(Message(id=1, job_id="one", epoch=0, level=level, data=line) for line in lines)
    return NodeMessages(gid=1, nid=len(name), node_name=name, messages=messages, problems=problems)


Event = Job | NodeMessages | Callable[[], None]


class FakeClient:
    """A fleet of these nodes, on which these events happen."""

    def __init__(self, *names: str, events: Sequence[Event] = ()) -> None:
        self.names = names
        self.events = events
        self.asked: list[CreateCommand] = []
        self.changes: list[Job] = []
        self.uploaded: dict[str, bytes] = {}
        self.killed = threading.Event()
        self.nodes = SimpleNamespace(list=self.list_nodes)
        self.files = SimpleNamespace(upload=self.upload_file)
        self.commands = SimpleNamespace(
            create=self.create_command,
            get=self.show_command,
            output=self.follow_output,
            follow=self.follow_command,
            kill=self.kill_command,
        )

    def list_nodes(self) -> list[Node]:
        return [
            Node(gid=1, nid=len(name), name=name, agent_id=name, state=AgentState.ONLINE, joined_at=0.0)
            for name in self.names
        ]

    def create_command(self, request: CreateCommand) -> CommandWithJobs:
        self.asked.append(request)
        jobs = tuple(job(name, JobState.QUEUED) for name in self.names)
        return CommandWithJobs(id="one", cmd=request.cmd, jobs=jobs)

    def show_command(self, command_id: str) -> CommandWithJobs:
        return CommandWithJobs(id=command_id, cmd="execute", jobs=(job("a", JobState.OK),))

    def follow_output(self, command_id: str) -> Iterator[Job | NodeMessages]:
        for event in self.events:
            if isinstance(event, Job | NodeMessages):
                yield event
            else:
                event()

    def follow_command(self, command_id: str) -> Iterator[Job]:
        yield from self.changes

    def upload_file(self, path: Path, *, name: str, measured: Measured, progress: object) -> FileStatus:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        assert measured == (sha256, len(content))
        self.uploaded[sha256] = content
        return FileStatus(sha256=sha256, size=len(content), complete=True)

    def kill_command(self, command_id: str) -> None:
        self.killed.set()


class AskedSlowly(FakeClient):
    """While it is asked, these signals come; it has the command when it was asked so often to end it."""

    def __init__(
        self,
        *names: str,
        signals: Sequence[signal.Signals],
        stores_after: int = 0,
        error: QuarterdeckError | None = None,
    ) -> None:
        super().__init__(*names)
        self._signals = signals
        self._stores_after = stores_after
        self._error = error
        self.answered = False
        self.ended: list[str] = []

    def create_command(self, request: CreateCommand) -> CommandWithJobs:
        made = super().create_command(request)
        for each in self._signals:
            os.kill(os.getpid(), each)
            time.sleep(0)  # the handler runs
        if self._error:
            raise self._error
        self.answered = True
        return made

    def kill_command(self, command_id: str) -> None:
        if self._stores_after:
            self._stores_after -= 1
            raise NotFound(f"There is no command '{command_id}'.")
        self.ended.append(command_id)
