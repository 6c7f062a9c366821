"""How the results and output of jobs are shown, and the exit code that follows from them."""

from __future__ import annotations

import io
import re
import sys
from typing import Any, cast

import msgspec
import pytest

from quarterdeck.cli import results
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState
from tests.unit.cli.conftest import CallQd
from tests.unit.cli.run_client import FakeClient, job, printed


def test_one_node_is_like_a_program_here(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a", events=[job("a", JobState.RUNNING), printed("a", "x"), printed("a", "y", level=2)])
    client.events = [*client.events, job("a", JobState.OK)]
    assert call_qd(client, "run", "ls") == 0
    out, err = capsys.readouterr()
    assert out == "x\n"
    oops, summary = err.splitlines()
    assert oops == "y"
    assert re.fullmatch(r"1 OK on 1 node in \d+ ms", summary)
    assert call_qd(client, "run", "--prefix", "ls") == 0
    assert capsys.readouterr().out == "a | x\n"


def test_many_nodes_are_told_apart_and_those_that_failed_named(
    call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [job(name, JobState.ERROR, code=3, reason="exit code 3") for name in ("bb", "ccc")]
    lost = msgspec.structs.replace(job("dddd", JobState.LOST), reason="The node was removed.")
    events = [printed("a", "x"), printed("bb", "y", problems=("It is away.",)), *failed, job("a", JobState.OK), lost]
    client = FakeClient("a", "bb", "ccc", "dddd", events=events)
    assert call_qd(client, "run", "--all", "ls") == 1
    out, err = capsys.readouterr()
    assert out == "a    | x\nbb   | y\n"
    problem, summary, errors, losses = err.splitlines()
    assert problem == "bb It is away."
    assert summary.startswith("1 OK, 2 ERROR, 1 LOST on 4 nodes in ")
    assert errors == "bb, ccc: ERROR exit code 3"
    assert losses == "dddd: LOST The node was removed."
    assert call_qd(client, "run", "--all", "--no-prefix", "ls") == 1
    assert capsys.readouterr().out == "x\ny\n"


def test_why_a_program_could_not_be_started_is_said_once(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    why = "There is no program 'lss' on this node's PATH."
    refused = [event for n in ("a", "bb") for event in (printed(n, why, level=8), job(n, JobState.ERROR, reason=why))]
    assert call_qd(FakeClient("a", events=refused[:2]), "run", "lss") == 1
    printed_why, summary = capsys.readouterr().err.splitlines()
    assert printed_why == f"ops error: {why}"
    assert summary.startswith("1 ERROR on 1 node in ")
    assert call_qd(FakeClient("a", "bb", events=refused), "run", "--all", "lss") == 1
    *_, summary, where = capsys.readouterr().err.splitlines()
    assert summary.startswith("2 ERROR on 2 nodes in ")
    assert where == "a, bb: ERROR"


def test_what_waits_says_why_once_and_not_a_thousand_times(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["n" * number for number in range(1, 50)]
    waiting = [msgspec.structs.replace(job(name, JobState.QUEUED), reason="It is offline.") for name in names]
    client = FakeClient(*names, events=[*waiting, *waiting, *(job(name, JobState.OK) for name in names)])
    assert call_qd(client, "run", "--all", "ls") == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum("It is offline." in line for line in lines) == 20
    assert sum("More nodes wait" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("names", "ended", "code"),
    [
        (["a"], job("a", JobState.ERROR, code=7), 7),
        (["a"], job("a", JobState.ERROR, code=-9), 137),
        (["a"], job("a", JobState.ERROR, reason="no such program"), 1),
        (["a"], job("a", JobState.TIMEOUT, code=-15), 1),
        (["a"], job("a", JobState.LOST), 1),
        (["bb", "a"], job("a", JobState.ERROR, code=7), 1),
    ],
)
def test_the_exit_code_of_one_node_is_the_programs(call_qd: CallQd, names: list[str], ended: Job, code: int) -> None:
    others = [job(name, JobState.OK) for name in names if name != "a"]
    assert call_qd(FakeClient(*names, events=[*others, ended]), "run", "--all", "ls") == code


def test_detached_and_json(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a", events=[printed("a", "x"), job("a", JobState.OK)])
    assert call_qd(client, "run", "--detach", "ls") == 0
    assert capsys.readouterr().out == "one: execute on 1 node\n"
    assert call_qd(client, "run", "--json", "ls") == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=CommandWithJobs) == client.commands.get("one")
    for options in ((), ("--detach",)):
        assert call_qd(client, "run", *options, "-o", "name", "ls") == 0
        assert capsys.readouterr().out == "one\n"


def test_on_a_terminal_a_line_says_how_far_it_is(call_qd: CallQd, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    client = FakeClient("a", "bb", "ccc", "dddd", "e" * 5)
    client.events = [
        job("a", JobState.ERROR, code=1),
        printed("bb", "x"),
        *(job(n, JobState.OK) for n in client.names[1:]),
    ]
    assert call_qd(client, "run", "--all", "ls") == 1
    shown = screen.getvalue()
    assert "0 of 5 done, waiting for a, bb, ccc, …" in shown
    assert "1 of 5 done, 1 not OK, waiting for bb, ccc, dddd, …" in shown
    assert "\r\x1b[2K4 OK, 1 ERROR on 5 nodes" in shown, "it is taken away before anything is printed"
    assert shown.count("waiting for bb, ccc, dddd") == 2, "not written again while it says the same"


@pytest.mark.parametrize("ends", [True, False])
def test_when_nobody_reads_any_more_the_jobs_end_as_a_program_here_would(ends: bool) -> None:
    def gone() -> None:
        raise BrokenPipeError

    client = FakeClient("a", events=[gone])
    made = client.commands.create(CreateCommand(cmd="execute"))
    with pytest.raises(BrokenPipeError):
        results.follow(cast("Any", client), made, results.View(ends=ends))
    assert client.killed.is_set() == ends


def test_a_server_that_stays_away_is_said_and_ends_the_view_but_not_the_jobs(
    call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def away() -> None:
        cast("Any", client).absent(60.0)
        raise Unavailable("No server answers.")

    client.events = [job("a", JobState.RUNNING), printed("a", "x"), away]
    assert call_qd(client, "run", "sleep", "9") == Unavailable.exit_code == 69
    out, err = capsys.readouterr()
    assert out == "x\n"
    said = " ".join(err.split())
    assert "The server does not answer; trying again for 60 s." in said
    assert "1 node had no result yet, and the jobs go on" in said
    assert "No server answers." in said
    assert not client.killed.is_set()
