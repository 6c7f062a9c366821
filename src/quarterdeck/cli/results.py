"""The output and the results of a followed command, as they are printed.

Output goes to the stream that the program wrote it to, results of built-in commands to standard output; the progress
line, reasons of waiting nodes and the summary go to standard error, so that the output can be piped.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field

import msgspec
from rich.markup import escape

from quarterdeck.cli import leaving, output
from quarterdeck.cli.arguments import absence
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.job_list import print_command
from quarterdeck.cli.leaving import ReaderLeft, on_signals, while_read
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.model.errors import QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, Job, JobResult, JobState, is_final
from quarterdeck.model.messages import Level
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.output import NodeMessages

#: some job has another result than OK
EXIT_NOT_OK = 1
#: names in the progress line and in a line of the summary, and nodes whose reason to wait is printed
WAITING_NAMES, SUMMARY_NAMES, REASONS = 3, 10, 20
#: the level of a result in JSON
JSON_LEVEL = 20


@dataclass(frozen=True)
class View:
    """The form in which a followed command is shown."""

    states: bool = True  #: print each job's state when it ends; else only the summary names failed jobs
    prefix: bool | None = None  #: print the node's name before each line; None: unless there is only one node
    ends: bool = False  #: Ctrl-C ends the jobs; else they continue
    how: OutputOptions = field(
        default_factory=OutputOptions
    )  #: a format for programs: nothing is printed before the command has ended
    last_words_s: float = 2.0  #: how long output is still shown after a request to end jobs
    end_s: float = 10.0  #: how long that request may take

    @property
    def quiet(self) -> bool:
        """Return whether only programs read what is printed."""
        return not self.how.is_table


def follow(client: Client, command: CommandWithJobs, view: View) -> None:
    """Print the output of jobs and their results, then a summary; for programs, the command when it has ended.

    Exit with an error unless all are OK. Raise `Unavailable` when the server does not answer for too long; the jobs
    continue.
    """
    code = followed(client, command, view)
    if view.quiet:
        print_command(client.commands.get(command.id), view.how)
    if code:
        sys.exit(code)


def followed(client: Client, command: CommandWithJobs, view: View) -> int:
    """Do the same, and return the exit code. For programs nothing is printed."""
    following = _Following(client, command, view)
    client.absent = following.print_absence
    try:
        with following.interruptible(), while_read():
            following.run()
            code = leaving.exit_code() if following.interrupted else exit_code(list(following.jobs.values()))
    except KeyboardInterrupt:
        following.end()
        following.print_interrupted()
        sys.exit(leaving.exit_code())
    except (BrokenPipeError, ReaderLeft):
        following.end()  # the reader has left, as with `| head`: that ends a program here too
        raise
    except Unavailable:
        following.print_interrupted()
        raise
    if not view.quiet:
        following.print_summary()
    return code


def exit_code(jobs: list[Job]) -> int:
    """Return 0 if all are OK; for one job, the exit code of its program (128 + n for signal n); else 1."""
    if all(job.state is JobState.OK for job in jobs):
        return 0
    if len(jobs) == 1 and jobs[0].state is JobState.ERROR and (result := jobs[0].result) and result.code:
        return result.code if 0 < result.code < 256 else 128 - result.code if -128 < result.code < 0 else EXIT_NOT_OK
    return EXIT_NOT_OK


class _Following:
    """A command that is being followed."""

    def __init__(self, client: Client, command: CommandWithJobs, view: View) -> None:
        self._client = client
        self._command = command
        self._view = view
        self.jobs = {job.key: job for job in command.jobs}
        self.interrupted = False
        self._until: float | None = None  #: the time until which output is awaited, once the command has ended
        self._ending: threading.Thread | None = None
        prefix = view.states or len(self.jobs) > 1 if view.prefix is None else view.prefix
        self._lines = NodeLines((job.node_name for job in command.jobs), prefix=prefix)
        self._progress = Progress(wanted=not view.quiet and len(self.jobs) > 1)
        self._printed: dict[tuple[int, int], str] = {}  #: each job's last ops error, so that it is printed once
        self._explained: set[tuple[NodeKey, str]] = set()
        self._began = time.monotonic()

    def run(self) -> None:
        """Follow the command until every job has its result."""
        try:
            self._progress.show(self._state())
            for event in self._client.commands.output(self._command.id):
                self._take(event)
                if self._until is not None and time.monotonic() > self._until:
                    self._follow_to_the_end()
                    return
        finally:
            self._progress.clear()
            self._lines.finish()

    def _take(self, event: Job | NodeMessages) -> None:
        if isinstance(event, Job):
            self.jobs[event.key] = event
        if not self._view.quiet:
            self._print(event)
            if not self._lines.unfinished:
                self._progress.show(self._state())

    def _follow_to_the_end(self) -> None:
        """Follow only the states of the jobs: a user who ended them does not want all of their earlier output."""
        self._say("…", f"The rest of what was printed is not shown: see `qd logs --job {self._command.id}`.")
        for job in self._client.commands.follow(self._command.id):
            self._take(job)

    def _print(self, event: Job | NodeMessages) -> None:
        if isinstance(event, NodeMessages):
            self._progress.clear()
            self._lines.print(event.node_name, event.messages)
            for message in event.messages:
                if message.level in (Level.WARNING, Level.OPS_ERROR):
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
        elif not self.interrupted:  # the user who ended it knows
            self._print_reason(event)

    def _print_reason(self, job: Job) -> None:
        """Print once why a job has no result yet; for many jobs, only for the first ones."""
        waits = (job.key, job.reason)
        if not job.reason or waits in self._explained:
            return
        self._explained.add(waits)
        if len(self._explained) <= REASONS:
            self._say(job.node_name, f"{job.state}: {job.reason}")
        elif len(self._explained) == REASONS + 1:
            self._say("…", f"More nodes wait; see `qd job show {self._command.id}`.")

    def print_absence(self, seconds: float) -> None:
        """Print that the server does not answer."""
        self._say("…", absence(seconds))

    def _say(self, node: str, text: str) -> None:
        self._progress.clear()
        self._lines.finish()
        output.errors.print(f"[dim]{escape(node)}[/] {escape(text)}", soft_wrap=True)

    def _state(self) -> str:
        """Return the progress line."""
        waiting = [job.node_name for job in self.jobs.values() if not is_final(job.state)]
        failed = sum(is_final(job.state) and job.state is not JobState.OK for job in self.jobs.values())
        names = ", ".join(waiting[:WAITING_NAMES]) + (", …" if len(waiting) > WAITING_NAMES else "")
        done = f"{len(self.jobs) - len(waiting)} of {len(self.jobs)} done" + (f", {failed} not OK" if failed else "")
        return f"{done}, waiting for {names}" if waiting else done

    def print_summary(self) -> None:
        """Print how many jobs are in each state, the time, and the failures."""
        took = time.monotonic() - self._began
        states = counts(Counter(job.state for job in self.jobs.values()))
        said = output.took(took * 1000)
        output.errors.print(f"[dim]{escape(states)} on {output.counted(len(self.jobs), 'node')} in {escape(said)}[/]")
        if self._view.states:
            return
        failed: dict[tuple[JobState, str], list[str]] = {}
        for job in self.jobs.values():
            if job.state is not JobState.OK:
                failed.setdefault((job.state, self._why(job)), []).append(job.node_name)
        for (state, why), names in failed.items():
            if not why and len(self.jobs) == 1:
                continue  # everything is printed
            more = f" and {len(names) - SUMMARY_NAMES} more" if len(names) > SUMMARY_NAMES else ""
            text = escape(f"{', '.join(names[:SUMMARY_NAMES])}{more}: ") + output.cell(state)
            output.errors.print(text + escape(f" {why}" if why else ""), soft_wrap=True)

    def _why(self, job: Job) -> str:
        """Return why the job ended so, unless its node printed that already."""
        why = _why(job)
        return "" if why == self._printed.get((job.gid, job.nid)) else why

    # ── Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def interruptible(self) -> AbstractContextManager[None]:
        """End the jobs at the first Ctrl-C, if the view does so, and follow them to their end; leave at the next."""
        return on_signals(self._interrupt) if self._view.ends else nullcontext()

    def _interrupt(self) -> None:
        self.interrupted = True
        self._until = time.monotonic() + self._view.last_words_s
        self._ending = threading.Thread(target=self._kill, daemon=True)  # the main thread may be interrupted anywhere
        self._ending.start()

    def _kill(self) -> None:
        with suppress(OSError):  # the terminal may be closed
            self._progress.clear()
            output.errors.print("\n[dim]Ending the jobs; Ctrl-C again leaves them to it.[/]")
        self._tell_to_end()

    def end(self) -> None:
        """End the view; ask the jobs to end if the view does so, and wait for that request."""
        if self._ending is not None:
            self._ending.join(self._view.end_s)
        elif self._view.ends:
            self._tell_to_end()

    def _tell_to_end(self) -> None:
        try:
            self._client.commands.kill(self._command.id)
        except QuarterdeckError as error:
            output.print_error(error)

    def print_interrupted(self) -> None:
        """Print which jobs continue, and how to follow or end them."""
        left = sum(not is_final(job.state) for job in self.jobs.values())
        ending = "they were told to end" if self.interrupted else "the jobs go on"
        output.errors.print(
            f"\nNo longer following; {output.counted(left, 'node')} had no result yet, and {escape(ending)}.\n"
            f"Follow again: qd job show {escape(self._command.id)} --follow\n"
            f"End them:     qd job kill {escape(self._command.id)}",
            soft_wrap=True,
        )


def print_job(job: Job) -> None:
    """Print a job's state, then its result: the last lines of its output, and its value."""
    print_state(job)
    if job.result:
        text = "".join(f"{part.removesuffix(chr(10))}\n" for part in (*job.result.streams, job.result.critical) if part)
        NodeLines([job.node_name], prefix=True).print_text(job.node_name, text + result_text(job.result))


def print_state(job: Job) -> None:
    """Print one line: the node, the state, the duration, and the reason."""
    _print_state(job, _why(job))


def _print_state(job: Job, why: str) -> None:
    took = f" {output.took(job.result.time)}" if job.result and job.result.starttime else ""
    more = escape(f"{took}: {why}" if why else took)
    output.console.print(
        f"[bold]{escape(job.node_name)}[/] {output.cell(job.state)}" + more,
        soft_wrap=True,
    )


def _why(job: Job) -> str:
    reason = (job.result.reason if job.result else "") or job.reason
    return reason or (f"exit code {job.result.code}" if job.result and job.result.code else "")


def result_text(result: JobResult) -> str:
    """Return a job's result, with JSON indented."""
    if result.level == JSON_LEVEL:
        with suppress(msgspec.DecodeError):  # invalid JSON is shown as it is
            return msgspec.json.format(result.data, indent=2)
    return result.data


def counts(states: Mapping[JobState, int]) -> str:
    """Return how many jobs are in each state, in the order of a job's states: "2 OK, 1 QUEUED"."""
    return ", ".join(
        f"{count} {state}" for state, count in (dict.fromkeys(JobState, 0) | dict(states)).items() if count
    )


def print_accepted(made: CommandWithJobs, how: OutputOptions) -> None:
    """Print that the server has accepted the command."""
    if not how.is_table:
        print_command(made, how)
        return
    output.console.print(f"{escape(made.id)}: {escape(made.cmd)} on {output.counted(len(made.jobs), 'node')}")
    waits = [job for job in made.jobs if job.reason]
    for job in waits[:REASONS]:
        output.errors.print(
            f"[dim]{escape(job.node_name)}[/] {escape(job.state)}: {escape(job.reason)}", soft_wrap=True
        )
    if len(waits) > REASONS:
        output.errors.print(f"… and {len(waits) - REASONS:d} more nodes wait.", soft_wrap=True)
    output.errors.print(f"Follow it with `qd job show {escape(made.id)} --follow`.", soft_wrap=True)
