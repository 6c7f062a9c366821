"""The progress line of files: of the command's own transfers, on the nodes that are not done."""

from __future__ import annotations

from typing import cast

from quarterdeck.cli.transfer_progress import TransferProgress
from quarterdeck.client import Client
from quarterdeck.model.files import Transfer
from quarterdeck.model.jobs import CommandWithJobs, Job, JobState


def moving(cmd: str, **arguments: object) -> TransferProgress:
    jobs = [
        Job(id="c", gid=1, nid=nid, node_name=str(nid), cmd=cmd, state=state)
        for nid, state in enumerate((JobState.OK, JobState.RUNNING, JobState.QUEUED))
    ]
    command = CommandWithJobs(id="c", cmd=cmd, args=arguments, jobs=tuple(jobs))
    return TransferProgress(cast("Client", None), command, wanted=False)


def transfer(nid: int, at: int, *, sha256: str = "a", to_node: bool = True) -> Transfer:
    return Transfer(gid=1, nid=nid, sha256=sha256, to_node=to_node, at=at, size=1024, moved_at=0.0)


def test_the_line_of_a_push_counts_the_transfers_of_unfinished_nodes() -> None:
    line = moving("put_file", sha256="a").line
    assert line(()) == "put_file: 1 of 3 nodes"
    others = (transfer(1, 9, sha256="b"), transfer(1, 9, to_node=False), transfer(7, 9), transfer(0, 1024))
    assert line(others) == "put_file: 1 of 3 nodes"
    assert line((*others, transfer(1, 512), transfer(2, 0))) == "put_file: 1 of 3 nodes, 25 % of 2.0 KiB"


def test_the_line_of_a_pull_counts_every_transfer_from_unfinished_nodes() -> None:
    line = moving("get_file", path="/x").line
    assert line((transfer(1, 512, to_node=False), transfer(2, 9))) == "get_file: 1 of 3 nodes, 50 % of 1.0 KiB"
