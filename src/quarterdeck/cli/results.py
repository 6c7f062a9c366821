"""How `qd` follows a command and prints what became of it, each line after the name of its node.

Results go to standard output as they come; the progress line (on a terminal only), what a node is waiting for and the
summary go to standard error, so that the output can be piped.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from rich.markup import escape
from rich.status import Status

from quarterdeck.cli import output
from quarterdeck.client import Client
from quarterdeck.model.jobs import Command, CommandWithJobs, Job, JobResult, JobState, is_final

#: some node had another result than OK
EXIT_NOT_OK = 1
#: 128 and the number of SIGINT, as shells have it
EXIT_INTERRUPTED = 130
#: names of nodes in the progress line
WAITING_NAMES = 3
#: the level of a result in JSON
JSON_LEVEL = 20


def follow(client: Client, command: CommandWithJobs, *, json: bool) -> None:
    """Prints each node's result as it comes, then a summary. Ends the program with 1 unless all are OK."""
    jobs = {(job.gid, job.nid): job for job in command.jobs}
    try:
        _follow(client, command, jobs, quiet=json)
    except KeyboardInterrupt:
        _print_interrupted(command, jobs)
        sys.exit(EXIT_INTERRUPTED)
    if json:
        output.print_json(client.show_command(command.id))
    else:
        _print_summary(jobs)
    if any(job.state is not JobState.OK for job in jobs.values()):
        sys.exit(EXIT_NOT_OK)


def _follow(client: Client, command: Command, jobs: dict[tuple[int, int], Job], *, quiet: bool) -> None:
    said: set[tuple[int, int, str]] = set()
    with output.errors.status(_progress(command, jobs)) as status:
        for job in client.follow_command(command.id):
            jobs[job.gid, job.nid] = job
            if not quiet and is_final(job.state):
                _between(status, job)
            elif not quiet and job.reason and (job.gid, job.nid, job.reason) not in said:
                said.add((job.gid, job.nid, job.reason))
                output.errors.print(f"{escape(job.node_name)} {job.state}: {escape(job.reason)}", soft_wrap=True)
            status.update(_progress(command, jobs))


def _between(status: Status, job: Job) -> None:
    """Prints a job while the progress line is away: the two consoles would write over each other."""
    status.stop()
    print_job(job)
    status.start()


def _progress(command: Command, jobs: Mapping[tuple[int, int], Job]) -> str:
    waiting = [job.node_name for job in jobs.values() if not is_final(job.state)]
    names = ", ".join(waiting[:WAITING_NAMES]) + (" …" if len(waiting) > WAITING_NAMES else "")
    return escape(f"{command.cmd}: {len(jobs) - len(waiting)} of {nodes(len(jobs))}; waiting for {names}")


def print_job(job: Job) -> None:
    """A job's state, then its result's lines, each after the node's name."""
    took = f" {job.result.time} ms" if job.result and job.result.starttime else ""
    why = (job.result.reason if job.result else "") or job.reason
    name = escape(job.node_name)
    output.console.print(
        f"[bold]{name}[/] {output.cell(job.state)}{took}{escape(f': {why}' if why else '')}", soft_wrap=True
    )
    if job.result:
        for line in _lines(job.result):
            output.console.print(f"[dim]{name} |[/] {escape(line)}", soft_wrap=True)


def _lines(result: JobResult) -> Iterator[str]:
    yield from result.streams[0].splitlines()
    yield from result.streams[1].splitlines()
    if result.critical:
        yield result.critical
    data = result.data
    if result.level == JSON_LEVEL:
        with suppress(msgspec.DecodeError):  # what says it is JSON and is not is shown as it came
            data = msgspec.json.format(data, indent=2)
    yield from data.splitlines()


def _print_summary(jobs: Mapping[tuple[int, int], Job]) -> None:
    states = Counter(job.state for job in jobs.values())
    output.errors.print(f"[dim]{counts(states)} on {nodes(len(jobs))}[/]")


def _print_interrupted(command: Command, jobs: Mapping[tuple[int, int], Job]) -> None:
    left = sum(not is_final(job.state) for job in jobs.values())
    output.errors.print(
        f"\nNo longer following; {nodes(left)} had no result yet, and the jobs go on.\n"
        f"Follow again: qd job show {command.id} --follow\n"
        f"End them:     qd job kill {command.id}",
        soft_wrap=True,
    )


def counts(states: Mapping[JobState, int]) -> str:
    """How many jobs are in each state, in the order of a job's life: "2 OK, 1 QUEUED"."""
    return ", ".join(f"{states[state]} {state}" for state in JobState if states.get(state))


def nodes(count: int) -> str:
    """ "1 node", "3 nodes"."""
    return f"{count} node" if count == 1 else f"{count} nodes"


def moment(timestamp: float | None) -> str:
    """A time as UTC text, or nothing."""
    return "" if timestamp is None else datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
