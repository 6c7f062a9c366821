"""The progress line while nodes send or get files: how many nodes are done, and how far the others are.

The results of the jobs are followed elsewhere. The server is asked twice a second how far the nodes are, by a thread of
its own, and only where the line is seen.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Self

from quarterdeck.cli import output
from quarterdeck.cli.arguments import print_absence
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.files import Transfer
from quarterdeck.model.jobs import CommandWithJobs, Job, is_final

#: seconds between two looks
POLL_S = 0.5


class TransferProgress:
    """The progress of a command that transfers files. A context manager; the line is there inside of it."""

    def __init__(self, client: Client, command: CommandWithJobs, *, wanted: bool) -> None:
        self.jobs = {job.key: job for job in command.jobs}
        self._client = client
        self._command = command
        self._progress = Progress(wanted=wanted)
        self._seen = wanted and sys.stderr.isatty()
        self._lock = threading.Lock()  # held by whoever writes to the terminal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._seen:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._seen:
            self._thread.join()
        self._progress.clear()

    def print_absence(self, seconds: float) -> None:
        """Print that the server does not answer, above the line."""
        with self._lock:
            self._progress.clear()
            print_absence(seconds)

    @contextmanager
    def away(self, job: Job) -> Generator[None]:
        """Update a job; inside the context the progress line is hidden, so that text can be printed."""
        with self._lock:
            self._progress.clear()
            self.jobs[job.key] = job
            yield
            self._progress.show(self.line(()))

    def line(self, transfers: Iterable[Transfer]) -> str:
        """ "put_file: 2 of 3 nodes, 41 % of 300.0 MiB"."""
        waiting = {key for key, job in self.jobs.items() if not is_final(job.state)}
        done = f"{self._command.cmd}: {len(self.jobs) - len(waiting)} of {output.counted(len(self.jobs), 'node')}"
        moving = [each for each in transfers if (each.gid, each.nid) in waiting and self._is_ours(each)]
        size = sum(each.size for each in moving)
        if not size:
            return done
        return f"{done}, {100 * sum(each.at for each in moving) // size} % of {output.size(size)}"

    def _is_ours(self, transfer: Transfer) -> bool:
        sha256 = self._command.args.get("sha256", transfer.sha256)  # of what nodes send it is not known yet
        return transfer.sha256 == sha256 and transfer.to_node == (self._command.cmd == "put_file")

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            try:
                transfers = self._client.transfers.list()
            except QuarterdeckError:
                continue  # whoever follows the command says so
            with self._lock:
                if not self._over.is_set():
                    self._progress.show(self.line(transfers))
