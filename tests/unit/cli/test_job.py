from __future__ import annotations

import io
import re
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quarterdeck.cli import job, main
from quarterdeck.cli.command import arguments
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Expiry, Job, JobResult, JobState
from quarterdeck.model.messages import Message
from quarterdeck.model.nodes import AgentState, Node, Selector
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.scripts import ScriptSource


def a_job(name: str, state: JobState, *, reason: str = "", result: JobResult | None = None) -> Job:
    return Job(id="one", gid=1, nid=len(name), node_name=name, cmd="ping", state=state, reason=reason, result=result)


def done(name: str, state: JobState = JobState.OK, *, data: str = '{"pong":true}', reason: str = "") -> Job:
    result = JobResult(id="one", state=state, cmd="ping", data=data, level=20, reason=reason, starttime=1, time=7)
    return a_job(name, state, reason=reason, result=result)


class FakeClient:
    """Answers as a server would to which these events happen."""

    def __init__(self, first: Sequence[Job], events: Sequence[Job | NodeMessages | BaseException] = ()) -> None:
        self.first = tuple(first)
        self.events = events
        self.asked: list[Any] = []
        self.follows: list[bool] = []
        self.stored: list[Command] = []
        self.again: tuple[Job, ...] | None = None  #: the jobs of what is asked once more; none said: the same
        self.nodes = SimpleNamespace(list=self.list_nodes)
        self.jobs = SimpleNamespace(list=self.list_jobs)
        self.commands = SimpleNamespace(
            create=self.create_command,
            get=self.show_command,
            list=self.list_commands,
            output=self.follow_output,
            kill=self.kill_command,
            rerun=self.rerun_command,
        )

    def list_nodes(self) -> list[Node]:
        return [
            Node(gid=1, nid=job.nid, name=job.node_name, agent_id=job.node_name, state=AgentState.ONLINE)
            for job in self.first
        ]

    def create_command(self, request: CreateCommand) -> CommandWithJobs:
        self.asked.append(request)
        return CommandWithJobs(id="one", cmd=request.cmd, jobs=self.first)

    def show_command(self, command_id: str) -> CommandWithJobs:
        return CommandWithJobs(id=command_id, cmd="ping", jobs=self.first, states={JobState.OK: 2, JobState.QUEUED: 1})

    def rerun_command(self, command_id: str) -> CommandWithJobs:
        self.asked.append(("rerun", command_id))
        return CommandWithJobs(id="two", cmd="ping", jobs=self.first if self.again is None else self.again)

    def kill_command(self, command_id: str, nodes: Sequence[str]) -> CommandWithJobs:
        self.asked.append(("kill", command_id, tuple(nodes)))
        return CommandWithJobs(id=command_id, cmd="ping", jobs=self.first)

    def list_commands(self, *, since: float | None, text: str, limit: int) -> list[Command]:
        assert since is None
        self.asked.append(("commands", text, limit))
        return self.stored

    def list_jobs(self, selector: Selector, *, state: JobState | None, since: float | None, limit: int) -> list[Job]:
        self.asked.append(("jobs", selector, state, since is None, limit))
        return list(self.first)

    def follow_output(self, command_id: str, *, follow: bool = True) -> Iterator[Job | NodeMessages]:
        assert command_id in {"one", "two"}
        self.follows.append(follow)
        yield from self.first
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event


def run(client: FakeClient, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `qd job` with these arguments."""

    @contextmanager
    def connect() -> Generator[FakeClient]:
        yield client

    monkeypatch.setattr(job, "connect", connect)
    monkeypatch.setattr(sys, "argv", ["qd", "job", *arguments])
    try:
        main.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_start_asks_what_the_arguments_say(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient([done("a")])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from a\r\npipe")))
    arguments = ("--arg", "n=3", "--arg", "path=/etc", "--data", "-", "--on", "role=web", "--gid", "2")
    assert run(client, "start", "ping", *arguments, "--any", "--expires", "1h", monkeypatch=monkeypatch) == 0
    (request,) = client.asked
    assert request == CreateCommand(
        cmd="ping",
        args={"n": 3, "path": "/etc"},
        data="from a\r\npipe",
        selector=Selector(labels={"role": "web"}, gid=2),
        any=True,
        expires_s=3600,
    )


def test_where_there_are_several_nodes_it_is_to_be_said_on_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([done("a"), done("bb")])
    assert run(client, "start", "execute", "--arg", "cmd=reboot", monkeypatch=monkeypatch) == 2
    assert "would run on all 2 nodes" in capsys.readouterr().err
    assert not client.asked


def test_results_are_printed_as_they_come_behind_their_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [a_job("a", JobState.QUEUED), a_job("bb", JobState.QUEUED, reason="offline since noon")]
    client = FakeClient(first, [a_job("a", JobState.RUNNING), done("a"), done("bb")])
    assert run(client, "start", "ping", "--all", monkeypatch=monkeypatch) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a OK 7 ms", "a  | {", 'a  |   "pong": true', "a  | }",
        "bb OK 7 ms", "bb | {", 'bb |   "pong": true', "bb | }",
    ]  # fmt: skip
    waits, summary = err.splitlines()
    assert waits == "bb QUEUED: offline since noon"
    assert re.fullmatch(r"2 OK on 2 nodes in \d+ ms", summary), "no progress line in a file"


@pytest.mark.parametrize(
    ("given", "expected"), [((), None), (("--expires", "never"), "never"), (("--expires", "2m"), 120.0)]
)
def test_who_does_not_wait_is_told_which_nodes_are_away_and_how_long_their_jobs_wait(
    given: tuple[str, ...], expected: Expiry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED), a_job("bb", JobState.QUEUED, reason="offline; expires at noon")])
    assert run(client, "start", "ping", "--all", "--detach", *given, monkeypatch=monkeypatch) == 0
    assert client.asked[0].expires_s == expected
    assert "bb QUEUED: offline; expires at noon" in capsys.readouterr().err


@pytest.mark.parametrize("state", [JobState.ERROR, JobState.EXPIRED, JobState.LOST, JobState.KILLED])
def test_one_result_that_is_not_ok_makes_the_exit_code_1(
    state: JobState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient(
        [a_job("a", JobState.QUEUED), a_job("bb", JobState.QUEUED)],
        [done("a"), done("bb", state, data="", reason="[why] it is so")],
    )
    assert run(client, "start", "ping", "--all", monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert f"bb {state} 7 ms: [why] it is so" in out
    assert f"1 OK, 1 {state} on 2 nodes" in err


def test_a_result_that_says_json_and_is_not_is_shown_as_it_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED)], [done("a", data="{half")])
    assert run(client, "start", "ping", "--all", monkeypatch=monkeypatch) == 0
    assert "a | {half" in capsys.readouterr().out


def test_ctrl_c_stops_following_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED), a_job("bb", JobState.QUEUED)], [done("a"), KeyboardInterrupt()])
    assert run(client, "start", "ping", "--all", monkeypatch=monkeypatch) == 130
    err = capsys.readouterr().err
    assert "1 node had no result yet" in err
    assert "qd job show one --follow" in err
    assert "qd job kill one" in err
    assert len(client.asked) == 1, "nothing but the command itself"


def test_detached_it_returns_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED)])
    assert run(client, "start", "ping", "--detach", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "one: ping on 1 node\n"


def test_json_is_the_command_with_its_jobs_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([done("a")])
    assert run(client, "start", "ping", "--json", monkeypatch=monkeypatch) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=CommandWithJobs) == client.commands.get("one")


def test_show_prints_every_job_and_follows_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED, reason="away")], [done("a")])
    assert run(client, "show", "one", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert "a QUEUED: away" in out
    assert "2 OK" in out
    assert "1 QUEUED" in out
    assert run(client, "show", "one", "--follow", monkeypatch=monkeypatch) == 0
    assert "a OK 7 ms" in capsys.readouterr().out


def printed(name: str, *lines: str, level: int = 1) -> NodeMessages:
    messages = tuple(Message(id=1, job_id="one", epoch=0, level=level, data=line) for line in lines)
    return NodeMessages(gid=1, nid=len(name), node_name=name, messages=messages)


def test_logs_are_what_was_printed_of_the_nodes_and_levels_that_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [printed("a", "x", "y"), printed("bb", "z"), printed("a", "oops", level=2), printed("a", "{}", level=20)]
    client = FakeClient([done("a"), done("bb")], events)
    assert run(client, "logs", "one", monkeypatch=monkeypatch) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a  | x", "a  | y", "bb | z"]
    assert err.splitlines() == ["a  | oops", "a  | result json: {}"]
    assert run(client, "logs", "one", "--node", "a", "--level", "1", "--follow", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr() == ("x\ny\n", "")
    assert client.follows == [False, True]
    assert run(client, "logs", "one", "--node", "bb", "--json", monkeypatch=monkeypatch) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["data"] == "z"
    assert run(client, "logs", "one", "--level", "9", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr() == ("", "Nothing was printed.\n")
    assert run(client, "logs", "one", "--node", "c", monkeypatch=monkeypatch) == 4
    assert "no job on 'c'" in capsys.readouterr().err


def test_a_mistyped_node_among_others_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([done("web-1"), done("web-20")])
    assert run(client, "logs", "one", "--node", "web-1", "--node", "web-2", monkeypatch=monkeypatch) == 4
    err = capsys.readouterr().err
    assert "no job on 'web-2'" in err
    assert "Did you mean web-20 or web-1?" in err


def test_nodes_that_are_gone_are_said_when_the_same_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([done("a"), done("bb")])
    client.again = (done("a"),)
    assert run(client, "rerun", "one", "--detach", monkeypatch=monkeypatch) == 0
    assert "left out: 'bb', gone from the fleet" in capsys.readouterr().err


def test_why_a_program_could_not_be_started_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "There is no program 'lss' on this node's PATH."
    events = [
        printed("a", "other", level=8),
        printed("a", why, level=8),
        done("a", JobState.ERROR, data="", reason=why),
    ]
    client = FakeClient([a_job("a", JobState.QUEUED)], events)
    assert run(client, "start", "execute", monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == "a ERROR 7 ms\n"
    assert err.count(why) == 1


def test_kill_and_rerun_name_what_they_mean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.QUEUED)], [done("a")])
    assert run(client, "kill", "one", "--node", "a", "--node", "1/2", monkeypatch=monkeypatch) == 0
    assert run(client, "rerun", "one", monkeypatch=monkeypatch) == 0
    assert client.asked == [("kill", "one", ("a", "1/2")), ("rerun", "one")]
    assert "a OK" in capsys.readouterr().out


class KillingClient(FakeClient):
    """The jobs of a killed command are at each look as `looks` says; the last one holds from then on."""

    def __init__(self, *looks: Sequence[Job]) -> None:
        super().__init__(looks[0])
        self._looks = list(looks)

    def show_command(self, command_id: str) -> CommandWithJobs:
        jobs = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return CommandWithJobs(id=command_id, cmd="ping", jobs=tuple(jobs))


RUNS, ENDS = a_job("a", JobState.RUNNING, reason="its end was requested"), a_job("a", JobState.KILLED)


def test_kill_waits_until_the_jobs_that_are_meant_have_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = a_job("bb", JobState.RUNNING)
    client = KillingClient([RUNS, other], [RUNS, other], [ENDS, other])
    assert run(client, "kill", "one", "--node", "a", "--wait", "-o", "csv", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[2:5] for line in lines] == [
        ["node", "gid/nid", "state"],
        ["a", "1/1", "KILLED"],
        ["bb", "1/2", "RUNNING"],
    ]
    assert client.asked == [("kill", "one", ("a",))]


def test_kill_names_the_nodes_whose_jobs_go_on_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(KillingClient([RUNS]), "kill", "one", "--wait", "--timeout", "0s", monkeypatch=monkeypatch) == 7
    out, err = capsys.readouterr()
    assert "RUNNING" in out
    assert "The end of the jobs is still on its way after 0s: a." in err
    assert "a: RUNNING: its end was requested" in err


def test_kill_draws_the_jobs_until_those_that_are_meant_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    client = KillingClient([ENDS, a_job("bb", JobState.RUNNING)])
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    assert run(client, "kill", "one", "--node", "a", "--watch", monkeypatch=monkeypatch) == 0
    assert screen.getvalue().count("\x1b[2J") == 1


@pytest.mark.parametrize("options", [("--watch",), ("--watch", "--wait"), ("--timeout", "5s")])
def test_kill_ends_nothing_when_its_options_are_wrong(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = KillingClient([RUNS])
    assert run(client, "kill", "one", *options, monkeypatch=monkeypatch) == 2
    assert not client.asked


@pytest.mark.parametrize(
    ("given", "printed"), [("name", "one\n"), ("csv", "id,command,node,gid/nid,state"), ("yaml", "id: one\n")]
)
def test_what_was_started_is_printed_for_programs_in_every_format(
    given: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ((), ("--detach",)):
        client = FakeClient([a_job("a", JobState.QUEUED)], [done("a")])
        assert run(client, "start", "ping", "-o", given, *options, monkeypatch=monkeypatch) == 0
        out, err = capsys.readouterr()
        assert printed in out
        assert not err


def test_ls_lists_commands_or_the_jobs_of_a_node_or_state(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([a_job("a", JobState.LOST, reason="the agent was restarted")])
    assert run(client, "ls", monkeypatch=monkeypatch) == 0
    assert "Nothing was asked yet" in capsys.readouterr().err
    assert run(client, "ls", "--node", "a", "--role", "db", "--state", "LOST", monkeypatch=monkeypatch) == 0
    assert run(client, "ls", "--state", "LOST", "--since", "1h", "-n", "3", monkeypatch=monkeypatch) == 0
    chosen = Selector(nodes=("a",), roles=("db",))
    assert client.asked == [
        ("commands", "", 20),
        ("jobs", chosen, JobState.LOST, True, 20),
        ("jobs", Selector(), JobState.LOST, False, 3),
    ]
    assert "the agent was restarted" in capsys.readouterr().out


def test_ls_says_what_was_asked_so_that_commands_can_be_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([])
    for args in (
        {"cmd": "sh", "args": ["-c", "echo  one\necho two"], "user": "www"},
        {"cmd": "tool", "args": 7},
        {"name": "disk", "sha256": "ab"},
        {"sha256": "cd"},
        {},
    ):
        client.stored.append(Command(id="one", cmd="any", args=args))
    run(client, "ls", monkeypatch=monkeypatch)
    assert [re.split(r"\s{2,}", line)[2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "sh -c 'echo one echo two'",
        "tool",
        "name=disk",
        "sha256=cd",
        "never",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("true", True), ('"1"', "1"), ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}), ("a b", "a b"), ("", "")],
)
def test_an_argument_is_json_where_it_is_json(text: str, value: object) -> None:
    assert arguments([f"name={text}"]) == {"name": value}


def test_an_argument_may_be_the_text_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("12\n")
    assert arguments([f"script=@{tmp_path}/a.py", "at=@@home", "mail=me@here"]) == {
        "script": "12\n",
        "at": "@home",
        "mail": "me@here",
    }


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe")
    for name, kind, words in (("none", NotFound, "no file"), ("a.bin", BadInput, "not UTF-8")):
        with pytest.raises(kind, match=words) as caught:
            arguments([f"script=@{tmp_path / name}"])
        assert name in str(caught.value)


def test_commands_are_listed_by_their_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient([])
    run(client, "ls", "--text", "uptime web", monkeypatch=monkeypatch)
    assert client.asked == [("commands", "uptime web", 20)]
    assert run(client, "ls", "--text", "uptime", "--node", "a", monkeypatch=monkeypatch) == BadInput.exit_code
    assert "--text lists commands" in capsys.readouterr().err


class WithScript(FakeClient):
    """Has a command that runs a script."""

    def __init__(self, cmd: str, args: dict[str, Any]) -> None:
        super().__init__([])
        self._command = CommandWithJobs(id="one", cmd=cmd, args=args)
        self.scripts = SimpleNamespace(get=lambda sha256: ScriptSource(sha256=sha256, source=f"echo {sha256}\n"))

    def show_command(self, command_id: str) -> CommandWithJobs:
        assert command_id == "one"
        return self._command


def test_the_script_of_a_command_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(WithScript("execute_sh", {"sha256": "ab"}), "script", "one", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "echo ab\n"
    for cmd, args in (("ping", {}), ("own", {"sha256": "ab"})):
        refused = run(WithScript(cmd, args), "script", "one", monkeypatch=monkeypatch)
        assert refused == BadInput.exit_code
        assert f"is {cmd}, which runs no script" in capsys.readouterr().err
