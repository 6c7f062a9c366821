"""How `qd` follows a command and prints what its jobs print and what became of them.

Output goes where the program wrote it, results of built-in commands to standard output; the progress line, what nodes
wait for and the summary go to standard error, so that the output can be piped.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import msgspec
from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.jobs import CommandWithJobs, Job, JobResult, JobState, is_final
from quarterdeck.model.messages import Level
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.output import NodeMessages

#: some node had another result than OK
EXIT_NOT_OK = 1
#: 128 and the number of SIGINT, as shells have it
EXIT_INTERRUPTED = 130
#: names of nodes in the progress line, in a line of the summary, and of those whose reason to wait is printed
WAITING_NAMES, SUMMARY_NAMES, REASONS = 3, 10, 20
#: the level of a result in JSON
JSON_LEVEL = 20


@dataclass(frozen=True)
class View:
    """How a command is shown while it is followed."""

    states: bool = True  #: each job's state as it ends; else only the summary says what failed
    prefix: bool | None = None  #: the node's name in front of each line; None: unless there is only one node
    ends: bool = False  #: Ctrl-C ends the jobs; else they go on
    json: bool = False  #: nothing but the command with its jobs, when it is over


def follow(client: Client, command: CommandWithJobs, view: View) -> None:
    """Prints what jobs print and what became of them, then a summary. Ends the program unless all are OK."""
    following = _Following(client, command, view)
    try:
        with following.interruptible():
            following.run()
    except KeyboardInterrupt:
        following.print_interrupted()
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        if view.ends:  # nobody reads any more, as behind `| head`: that ends a program here too
            client.kill_command(command.id)
        raise
    if view.json:
        output.print_json(client.show_command(command.id))
    else:
        following.print_summary()
    code = EXIT_INTERRUPTED if following.interrupted else exit_code(list(following.jobs.values()))
    if code:
        sys.exit(code)


def exit_code(jobs: list[Job]) -> int:
    """0 if all are OK; of one job whose program failed that program's own (128 + n for signal n); else 1."""
    if all(job.state is JobState.OK for job in jobs):
        return 0
    if len(jobs) == 1 and jobs[0].state is JobState.ERROR and (result := jobs[0].result) and result.code:
        return result.code if 0 < result.code < 256 else 128 - result.code if -128 < result.code < 0 else EXIT_NOT_OK
    return EXIT_NOT_OK


class _Following:
    """One command on its way."""

    def __init__(self, client: Client, command: CommandWithJobs, view: View) -> None:
        self._client = client
        self._command = command
        self._view = view
        self.jobs = {job.key: job for job in command.jobs}
        self.interrupted = False
        prefix = view.states or len(self.jobs) > 1 if view.prefix is None else view.prefix
        self._lines = NodeLines((job.node_name for job in command.jobs), prefix=prefix)
        self._progress = Progress(wanted=not view.json and len(self.jobs) > 1)
        self._printed: dict[tuple[int, int], str] = {}  #: each job's last ops error: why a start failed is said once
        self._said: set[tuple[NodeKey, str]] = set()
        self._began = time.monotonic()

    def run(self) -> None:
        """Until every job has its result."""
        try:
            self._progress.show(self._state())
            for event in self._client.follow_output(self._command.id):
                if isinstance(event, Job):
                    self.jobs[event.key] = event
                if not self._view.json:
                    self._print(event)
                    if not self._lines.unfinished:
                        self._progress.show(self._state())
        finally:
            self._progress.clear()
            self._lines.finish()

    def _print(self, event: Job | NodeMessages) -> None:
        if isinstance(event, NodeMessages):
            self._progress.clear()
            self._lines.print(event.node_name, event.messages)
            for message in event.messages:
                if message.level == Level.OPS_ERROR:
                    self._printed[event.gid, event.nid] = message.data
            for problem in event.problems:
                self._say(event.node_name, problem)
        elif is_final(event.state):
            if self._view.states:
                self._progress.clear()
                self._lines.finish()
                _print_state(event, self._why(event))
            if event.result and event.result.data:
                self._progress.clear()
                self._lines.print_text(event.node_name, result_text(event.result))
        elif not self.interrupted:  # who ended it knows
            self._print_reason(event)

    def _print_reason(self, job: Job) -> None:
        """Why a job has no result yet, once; of many jobs, of the first."""
        waits = (job.key, job.reason)
        if not job.reason or waits in self._said:
            return
        self._said.add(waits)
        if len(self._said) <= REASONS:
            self._say(job.node_name, f"{job.state}: {job.reason}")
        elif len(self._said) == REASONS + 1:
            self._say("…", f"More nodes wait; see `qd job show {self._command.id}`.")

    def _say(self, node: str, text: str) -> None:
        self._progress.clear()
        self._lines.finish()
        output.errors.print(f"[dim]{escape(node)}[/] {escape(text)}", soft_wrap=True)

    def _state(self) -> str:
        """The progress line."""
        waiting = [job.node_name for job in self.jobs.values() if not is_final(job.state)]
        failed = sum(is_final(job.state) and job.state is not JobState.OK for job in self.jobs.values())
        names = ", ".join(waiting[:WAITING_NAMES]) + (", …" if len(waiting) > WAITING_NAMES else "")
        done = f"{len(self.jobs) - len(waiting)} of {len(self.jobs)} done" + (f", {failed} not OK" if failed else "")
        return f"{done}, waiting for {names}" if waiting else done

    def print_summary(self) -> None:
        """How many are in each state, how long it took, and what failed where."""
        took = time.monotonic() - self._began
        states = counts(Counter(job.state for job in self.jobs.values()))
        said = f"{took * 1000:.0f} ms" if took < 1 else f"{took:.1f} s"
        output.errors.print(f"[dim]{states} on {output.counted(len(self.jobs), 'node')} in {said}[/]")
        if self._view.states:
            return
        failed: dict[tuple[JobState, str], list[str]] = {}
        for job in self.jobs.values():
            if job.state is not JobState.OK:
                failed.setdefault((job.state, self._why(job)), []).append(job.node_name)
        for (state, why), names in failed.items():
            if not why and len(self.jobs) == 1:
                continue  # all is said
            more = f" and {len(names) - SUMMARY_NAMES} more" if len(names) > SUMMARY_NAMES else ""
            text = escape(f"{', '.join(names[:SUMMARY_NAMES])}{more}: ") + output.cell(state)
            output.errors.print(text + escape(f" {why}" if why else ""), soft_wrap=True)

    def _why(self, job: Job) -> str:
        """Why it ended so, unless its node printed that already."""
        why = _why(job)
        return "" if why == self._printed.get((job.gid, job.nid)) else why

    # ── Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def interruptible(self) -> Generator[None]:
        """The first Ctrl-C ends the jobs, if the view says so, and they are followed to their end; the next leaves."""
        if not self._view.ends or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._end_jobs)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _end_jobs(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.interrupted = True
        threading.Thread(target=self._kill, daemon=True).start()

    def _kill(self) -> None:
        """In a thread of its own: the program is in the middle of anything."""
        self._progress.clear()
        output.errors.print("\n[dim]Ending the jobs; Ctrl-C again leaves them to it.[/]")
        try:
            self._client.kill_command(self._command.id)
        except QuarterdeckError as error:
            output.print_error(error)

    def print_interrupted(self) -> None:
        """What goes on, and how to follow or end it."""
        left = sum(not is_final(job.state) for job in self.jobs.values())
        ending = "they were told to end" if self.interrupted else "the jobs go on"
        output.errors.print(
            f"\nNo longer following; {output.counted(left, 'node')} had no result yet, and {ending}.\n"
            f"Follow again: qd job show {self._command.id} --follow\n"
            f"End them:     qd job kill {self._command.id}",
            soft_wrap=True,
        )


def print_job(job: Job) -> None:
    """A job's state, then its result: the last lines it printed, and what it returned."""
    print_state(job)
    if job.result:
        text = "".join(f"{part.removesuffix(chr(10))}\n" for part in (*job.result.streams, job.result.critical) if part)
        NodeLines([job.node_name], prefix=True).print_text(job.node_name, text + result_text(job.result))


def print_state(job: Job) -> None:
    """One line: the node, the state, how long it took, and why."""
    _print_state(job, _why(job))


def _print_state(job: Job, why: str) -> None:
    took = f" {job.result.time} ms" if job.result and job.result.starttime else ""
    output.console.print(
        f"[bold]{escape(job.node_name)}[/] {output.cell(job.state)}{took}{escape(f': {why}' if why else '')}",
        soft_wrap=True,
    )


def _why(job: Job) -> str:
    reason = (job.result.reason if job.result else "") or job.reason
    return reason or (f"exit code {job.result.code}" if job.result and job.result.code else "")


def result_text(result: JobResult) -> str:
    """What a job returned, JSON indented."""
    if result.level == JSON_LEVEL:
        with suppress(msgspec.DecodeError):  # what says it is JSON and is not is shown as it came
            return msgspec.json.format(result.data, indent=2)
    return result.data


def counts(states: Mapping[JobState, int]) -> str:
    """How many jobs are in each state, in the order of a job's life: "2 OK, 1 QUEUED"."""
    return ", ".join(f"{states[state]} {state}" for state in JobState if states.get(state))


def print_accepted(made: CommandWithJobs, *, json: bool) -> None:
    """That the server has it."""
    if json:
        output.print_json(made)
        return
    output.console.print(f"{made.id}: {made.cmd} on {output.counted(len(made.jobs), 'node')}")
    output.errors.print(f"Follow it with `qd job show {made.id} --follow`.", soft_wrap=True)
