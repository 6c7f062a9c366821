"""`qd job schedule add`: a command, or a program behind `--`."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from quarterdeck.cli import main, schedule
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.model.schedules import CreateSchedule, Schedule


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[CreateSchedule]:
    asked: list[CreateSchedule] = []

    def create(request: CreateSchedule) -> Schedule:
        asked.append(request)
        return Schedule(name=request.name, command=request.command, period_s=request.period_s)

    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        yield SimpleNamespace(schedules=SimpleNamespace(create=create), nodes=SimpleNamespace(list=list))

    monkeypatch.setattr(schedule, "connect", connect)
    return asked


def add(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["qd", "job", "schedule", "add", *arguments])
    try:
        main.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (
            ("beat", "--every", "1h", "--role", "web", "--", "uptime", "-p", "--node", "x"),
            CreateCommand(
                cmd="execute", args={"cmd": "uptime", "args": ["-p", "--node", "x"]}, selector=Selector(roles=("web",))
            ),
        ),
        (("beat", "--every", "1h", "--", "true"), CreateCommand(cmd="execute", args={"cmd": "true", "args": []})),
        (("beat", "ping", "--every", "1h", "--arg", "n=1"), CreateCommand(cmd="ping", args={"n": 1})),
    ],
    ids=["a program", "without arguments", "a command"],
)
def test_what_is_asked_for(
    arguments: tuple[str, ...], command: CreateCommand, made: list[CreateSchedule], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add(*arguments, monkeypatch=monkeypatch) == 0
    assert made == [CreateSchedule(name="beat", command=command, period_s=3600)]


@pytest.mark.parametrize(("given", "printed"), [("name", "beat\n"), ("csv", "schedule,command,on,when,next,")])
def test_what_was_added_is_printed_in_the_formats_of_a_list(
    given: str,
    printed: str,
    made: list[CreateSchedule],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert add("beat", "ping", "--every", "1h", "-o", given, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.startswith(printed)
    assert made


def test_a_command_and_a_program_are_too_much(
    made: list[CreateSchedule], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add("beat", "ping", "--every", "1h", "--", "uptime", monkeypatch=monkeypatch) == 2
    assert "found both 'ping' and 'uptime'" in capsys.readouterr().err
    assert not made
