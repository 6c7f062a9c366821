"""Signals while jobs run or are being asked for: the jobs end, and the program says what became of them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, cast

import pytest

from quarterdeck.cli import asking, results
from quarterdeck.model.errors import QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.jobs import CreateCommand, JobState
from tests.unit.cli.conftest import CallQd
from tests.unit.cli.run_client import AskedSlowly, FakeClient, job, printed


def test_ctrl_c_ends_the_jobs_and_follows_them_to_their_end(
    call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # the handler runs
        assert client.killed.wait(10)

    before = signal.getsignal(signal.SIGINT)
    client.events = [interrupt, printed("a", "bye"), job("a", JobState.KILLED, reason="ended")]
    assert call_qd(client, "run", "sleep", "9") == 130
    out, err = capsys.readouterr()
    assert out == "bye\n"
    assert "Ending the jobs" in err
    assert "1 KILLED on 1 node" in err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_the_jobs_as_ctrl_c_does(
    number: signal.Signals, call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), number)
        time.sleep(0)
        assert client.killed.wait(10)

    client.events = [interrupt, printed("a", "bye"), job("a", JobState.KILLED, reason="ended")]
    assert call_qd(client, "run", "sleep", "9") == 128 + number
    assert capsys.readouterr().out == "bye\n"


def test_a_signal_that_is_ignored_from_outside_stays_so(call_qd: CallQd) -> None:
    """As nohup has it."""
    client = FakeClient("a", events=[lambda: os.kill(os.getpid(), signal.SIGHUP), job("a", JobState.OK)])
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert call_qd(client, "run", "sleep", "9") == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not client.killed.is_set()


def test_what_was_printed_before_is_not_shown_to_its_end_after_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    client.events = [interrupt, printed("a", "one"), *[printed("a", "more")] * 1000]
    client.changes = [job("a", JobState.KILLED, reason="ended")]
    made = client.create_command(CreateCommand(cmd="execute"))
    view = results.View(states=False, ends=True, last_words_s=0.0)
    assert results.followed(cast("Any", client), made, view) == 130
    out, err = capsys.readouterr()
    assert out == "one\n"
    assert "qd logs --job one" in err


def test_ctrl_c_again_leaves(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

    client.events = [interrupt, interrupt, job("a", JobState.OK)]
    assert call_qd(client, "run", "sleep", "9") == 130
    assert client.killed.wait(10)
    err = capsys.readouterr().err
    assert "they were told to end" in err
    assert "qd job show one --follow" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_server_is_asked_ends_the_jobs_that_it_then_has(
    number: signal.Signals, call_qd: CallQd
) -> None:
    client = AskedSlowly("a", signals=(number,))
    assert call_qd(client, "run", "sleep", "9") == 128 + number
    assert client.ended == [client.asked[0].id]
    assert client.answered


@pytest.mark.parametrize("error", [None, TimedOut("It did not answer."), Unavailable("It went away.")])
def test_who_leaves_before_the_server_answered_ends_what_it_then_stores(
    error: QuarterdeckError | None, call_qd: CallQd
) -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * (1 if error else 2), stores_after=1, error=error)
    assert call_qd(client, "run", "sleep", "9") == 130
    assert client.ended == [client.asked[0].id]
    assert not client.answered


def test_what_the_server_never_had_is_not_waited_for_without_end() -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * 2, stores_after=1000)
    with pytest.raises(SystemExit) as ended:
        asking.ask_and_follow(cast("Any", client), CreateCommand(cmd="execute"), results.View(ends=True, end_s=0.0))
    assert ended.value.code == 130
    assert client.ended == []


def test_another_command_of_the_same_id_is_left_alone(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * 2)
    assert call_qd(client, "run", "--id", "mine", "sleep", "9") == 130
    assert client.ended == []
    assert "qd job show mine" in capsys.readouterr().err
