"""`qd run`: what is asked of which nodes, how what comes back is shown, and what the exit code says."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import msgspec
import pytest

from quarterdeck.cli import asking, main, results, run
from quarterdeck.client.transfers import Measured
from quarterdeck.model.errors import BadInput, NotFound, QuarterdeckError, StorageFull, TimedOut, Unavailable
from quarterdeck.model.files import FileStatus
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, CommandWithJobs, CreateCommand, Job, JobResult, JobState
from quarterdeck.model.messages import Message
from quarterdeck.model.nodes import AgentState, Node, Selector
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


@pytest.fixture
def qd(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def call(client: FakeClient, *arguments: str) -> int:
        @contextmanager
        def connect() -> Generator[FakeClient]:
            yield client

        monkeypatch.setattr(run, "connect", connect)
        monkeypatch.setattr(sys, "argv", ["qd", "run", *arguments])
        try:
            main.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


def test_a_program_is_asked_for_as_it_is_written(qd: Callable[..., int]) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    options = (
        "--on", "tier=1", "--role", "web", "--gid", "2", "--timeout", "1.5m", "--user", "www", "--cwd", "/srv",
        "--env", "A=1", "--env", "B=x=y", "--memory", "512M", "--cpus", "0.5", "--pids", "10", "--queue", "q",
        "--name", "n", "--expires", "1h", "--id", "mine", "--any",
    )  # fmt: skip
    assert qd(client, *options, "--", "ls", "-l", "--", "--on") == 0
    (request,) = client.asked
    assert request == CreateCommand(
        cmd="execute",
        args={
            "cmd": "ls", "args": ["-l", "--", "--on"], "max_time": 90.0, "user": "www", "workingdir": "/srv",
            "env": {"A": "1", "B": "x=y"}, "memory": 512 * 1024**2, "cpus": 0.5, "pids": 10, "queue": "q", "name": "n",
        },
        id="mine",
        selector=Selector(labels={"tier": "1"}, roles=("web",), gid=2),
        any=True,
        expires_s=3600,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("uptime -p", ["uptime", "-p"]),
        ("--on role=web uptime -p --all", ["uptime", "-p", "--all"]),
        ("--on=role=web --no-prefix uptime --help", ["uptime", "--help"]),
        ("--node a -- -strange", ["-strange"]),
        ("--json ls -- --json", ["ls", "--", "--json"]),
        ("-o json --utc ls -o x", ["ls", "-o", "x"]),
        ("--env A=1 env --env B=2", ["env", "--env", "B=2"]),
    ],
)
def test_options_behind_the_program_are_the_programs(qd: Callable[..., int], line: str, program: list[str]) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    assert qd(client, *line.split()) == 0
    args = client.asked[0].args
    assert [args["cmd"], *args["args"]] == program


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "Expected a program"),
        ("--node a", "Expected a program"),
        ("--all --any ls", "opposites"),
        ("--memory much ls", "size in bytes"),
        ("--cpus -1 ls", "cpus is more than 0"),
        ("--env A ls", "variable as key=value"),
        ("--script x.pl ls", "end in .py, .lua or .sh"),
        ("--script nowhere.sh ls", "no file 'nowhere.sh'"),
        ("ls", "all 2 nodes"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_runs(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    client = FakeClient("a", "bb")
    assert qd(client, *line.split()) in {2, 4}
    assert words in " ".join(capsys.readouterr().err.split())
    assert client.asked == []


def test_an_unknown_option_is_no_program(qd: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a")
    assert qd(client, "--wrong", "ls") != 0
    assert "--wrong" in "".join(capsys.readouterr())
    assert client.asked == []


@pytest.mark.parametrize(
    ("names", "options", "selector"),
    [
        (["a"], [], Selector(nodes=("1/1",))),
        (["a", "bb"], ["--all"], Selector()),
        (["a", "bb"], ["--any"], Selector()),
        (["a", "bb"], ["--role", "web"], Selector(roles=("web",))),
    ],
)
def test_a_forgotten_option_does_not_mean_every_node(
    qd: Callable[..., int], names: list[str], options: list[str], selector: Selector
) -> None:
    client = FakeClient(*names, events=[job(name, JobState.OK) for name in names])
    assert qd(client, *options, "reboot") == 0
    assert client.asked[0].selector == selector


def test_a_script_is_sent_as_its_source(qd: Callable[..., int], tmp_path: Path) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)] * 3)
    for suffix in ("py", "lua", "sh"):
        (tmp_path / f"x.{suffix}").write_bytes("# ⚓\r\n".encode())
        assert qd(client, "--timeout", "3s", "--script", str(tmp_path / f"x.{suffix}"), "--", "-v", "b") == 0
    assert [request.cmd for request in client.asked] == ["execute_js_py", "execute_js_lua", "execute_sh"]
    assert client.asked[0].args == {"script": "# ⚓\r\n", "args": ["-v", "b"], "name": "x", "max_time": 3.0}


def test_standard_input_is_passed_on_whatever_it_is(
    qd: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    large = b"x" * COMMAND_LIMIT_BYTES
    for given in (b"a\nb", b"\xff", large):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
        assert qd(client, "--stdin", "cat") == 0
    assert [request.data for request in client.asked] == ["a\nb", "", ""]
    assert [client.uploaded[request.args["stdin_sha256"]] for request in client.asked[1:]] == [b"\xff", large]
    monkeypatch.setattr(sys, "stdin", None)
    assert qd(client, "--stdin", "cat") == BadInput.exit_code
    assert "it is closed" in capsys.readouterr().err


def test_input_of_any_size_passes_through_a_file_in_pieces(
    qd: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Source(io.RawIOBase):
        """As many zeros as were asked for; no read may ask for all of them."""

        left = 64 * 1024 * 1024

        def read(self, size: int = -1, /) -> bytes:
            assert 0 < size <= 1024 * 1024
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    client = FakeClient("a", events=[job("a", JobState.OK)])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Source()))
    assert qd(client, "--stdin", "cat") == 0
    ((sha256, content),) = client.uploaded.items()
    assert (client.asked[0].args["stdin_sha256"], len(content)) == (sha256, 64 * 1024 * 1024)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TMPDIR", "/dev")

    def full(**_: object) -> BinaryIO:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Source()))
    assert qd(client, "--stdin", "cat") == StorageFull.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert "Standard input is kept in /dev until it is sent" in said
    assert "No space left on device" in said
    assert "Set TMPDIR" in said


def test_a_pipe_is_read_if_something_is_in_it_and_a_file_too(
    qd: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    (tmp_path / "file").write_text("of a file")

    def call(descriptor: int, *options: str) -> str:
        with os.fdopen(descriptor) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert qd(client, *options, "cat") == 0
        return client.asked[-1].data

    assert call(os.open(tmp_path / "file", os.O_RDONLY)) == "of a file"
    assert call(os.open(tmp_path / "file", os.O_RDONLY), "--no-stdin") == ""
    assert call(os.open(os.devnull, os.O_RDONLY)) == ""
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    os.close(writing)
    assert call(reading) == "piped"
    ours, theirs = socket.socketpair()  # as of a remote shell
    theirs.sendall(b"sent")
    theirs.close()
    assert call(ours.detach()) == "sent"
    assert "--stdin" not in capsys.readouterr().err
    reading, writing = os.pipe()  # of somebody who holds it open, and says nothing
    assert call(reading) == ""
    assert "use --stdin to wait for it" in capsys.readouterr().err
    os.close(writing)


def test_one_node_is_like_a_program_here(qd: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a", events=[job("a", JobState.RUNNING), printed("a", "x"), printed("a", "y", level=2)])
    client.events = [*client.events, job("a", JobState.OK)]
    assert qd(client, "ls") == 0
    out, err = capsys.readouterr()
    assert out == "x\n"
    oops, summary = err.splitlines()
    assert oops == "y"
    assert re.fullmatch(r"1 OK on 1 node in \d+ ms", summary)
    assert qd(client, "--prefix", "ls") == 0
    assert capsys.readouterr().out == "a | x\n"


def test_many_nodes_are_told_apart_and_those_that_failed_named(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [job(name, JobState.ERROR, code=3, reason="exit code 3") for name in ("bb", "ccc")]
    lost = msgspec.structs.replace(job("dddd", JobState.LOST), reason="The node was removed.")
    events = [printed("a", "x"), printed("bb", "y", problems=("It is away.",)), *failed, job("a", JobState.OK), lost]
    client = FakeClient("a", "bb", "ccc", "dddd", events=events)
    assert qd(client, "--all", "ls") == 1
    out, err = capsys.readouterr()
    assert out == "a    | x\nbb   | y\n"
    problem, summary, errors, losses = err.splitlines()
    assert problem == "bb It is away."
    assert summary.startswith("1 OK, 2 ERROR, 1 LOST on 4 nodes in ")
    assert errors == "bb, ccc: ERROR exit code 3"
    assert losses == "dddd: LOST The node was removed."
    assert qd(client, "--all", "--no-prefix", "ls") == 1
    assert capsys.readouterr().out == "x\ny\n"


def test_why_a_program_could_not_be_started_is_said_once(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "There is no program 'lss' on this node's PATH."
    refused = [event for n in ("a", "bb") for event in (printed(n, why, level=8), job(n, JobState.ERROR, reason=why))]
    assert qd(FakeClient("a", events=refused[:2]), "lss") == 1
    printed_why, summary = capsys.readouterr().err.splitlines()
    assert printed_why == f"ops error: {why}"
    assert summary.startswith("1 ERROR on 1 node in ")
    assert qd(FakeClient("a", "bb", events=refused), "--all", "lss") == 1
    *_, summary, where = capsys.readouterr().err.splitlines()
    assert summary.startswith("2 ERROR on 2 nodes in ")
    assert where == "a, bb: ERROR"


def test_what_waits_says_why_once_and_not_a_thousand_times(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["n" * number for number in range(1, 50)]
    waiting = [msgspec.structs.replace(job(name, JobState.QUEUED), reason="It is offline.") for name in names]
    client = FakeClient(*names, events=[*waiting, *waiting, *(job(name, JobState.OK) for name in names)])
    assert qd(client, "--all", "ls") == 0
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
def test_the_exit_code_of_one_node_is_the_programs(
    qd: Callable[..., int], names: list[str], ended: Job, code: int
) -> None:
    others = [job(name, JobState.OK) for name in names if name != "a"]
    assert qd(FakeClient(*names, events=[*others, ended]), "--all", "ls") == code


def test_ctrl_c_ends_the_jobs_and_follows_them_to_their_end(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # the handler runs
        assert client.killed.wait(10)

    before = signal.getsignal(signal.SIGINT)
    client.events = [interrupt, printed("a", "bye"), job("a", JobState.KILLED, reason="ended")]
    assert qd(client, "sleep", "9") == 130
    out, err = capsys.readouterr()
    assert out == "bye\n"
    assert "Ending the jobs" in err
    assert "1 KILLED on 1 node" in err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_the_jobs_as_ctrl_c_does(
    number: signal.Signals, qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), number)
        time.sleep(0)
        assert client.killed.wait(10)

    client.events = [interrupt, printed("a", "bye"), job("a", JobState.KILLED, reason="ended")]
    assert qd(client, "sleep", "9") == 128 + number
    assert capsys.readouterr().out == "bye\n"


def test_a_signal_that_is_ignored_from_outside_stays_so(qd: Callable[..., int]) -> None:
    """As nohup has it."""
    client = FakeClient("a", events=[lambda: os.kill(os.getpid(), signal.SIGHUP), job("a", JobState.OK)])
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert qd(client, "sleep", "9") == 0
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


def test_ctrl_c_again_leaves(qd: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

    client.events = [interrupt, interrupt, job("a", JobState.OK)]
    assert qd(client, "sleep", "9") == 130
    assert client.killed.wait(10)
    err = capsys.readouterr().err
    assert "they were told to end" in err
    assert "qd job show one --follow" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_server_is_asked_ends_the_jobs_that_it_then_has(
    number: signal.Signals, qd: Callable[..., int]
) -> None:
    client = AskedSlowly("a", signals=(number,))
    assert qd(client, "sleep", "9") == 128 + number
    assert client.ended == [client.asked[0].id]
    assert client.answered


@pytest.mark.parametrize("error", [None, TimedOut("It did not answer."), Unavailable("It went away.")])
def test_who_leaves_before_the_server_answered_ends_what_it_then_stores(
    error: QuarterdeckError | None, qd: Callable[..., int]
) -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * (1 if error else 2), stores_after=1, error=error)
    assert qd(client, "sleep", "9") == 130
    assert client.ended == [client.asked[0].id]
    assert not client.answered


def test_what_the_server_never_had_is_not_waited_for_without_end() -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * 2, stores_after=1000)
    with pytest.raises(SystemExit) as ended:
        asking.ask_and_follow(cast("Any", client), CreateCommand(cmd="execute"), results.View(ends=True, end_s=0.0))
    assert ended.value.code == 130
    assert client.ended == []


def test_another_command_of_the_same_id_is_left_alone(
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = AskedSlowly("a", signals=(signal.SIGINT,) * 2)
    assert qd(client, "--id", "mine", "sleep", "9") == 130
    assert client.ended == []
    assert "qd job show mine" in capsys.readouterr().err


def test_detached_and_json(qd: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a", events=[printed("a", "x"), job("a", JobState.OK)])
    assert qd(client, "--detach", "ls") == 0
    assert capsys.readouterr().out == "one: execute on 1 node\n"
    assert qd(client, "--json", "ls") == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=CommandWithJobs) == client.commands.get("one")
    for options in ((), ("--detach",)):
        assert qd(client, *options, "-o", "name", "ls") == 0
        assert capsys.readouterr().out == "one\n"


def test_on_a_terminal_a_line_says_how_far_it_is(qd: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert qd(client, "--all", "ls") == 1
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
    qd: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient("a")

    def away() -> None:
        cast("Any", client).absent(60.0)
        raise Unavailable("No server answers.")

    client.events = [job("a", JobState.RUNNING), printed("a", "x"), away]
    assert qd(client, "sleep", "9") == Unavailable.exit_code == 69
    out, err = capsys.readouterr()
    assert out == "x\n"
    said = " ".join(err.split())
    assert "The server does not answer; trying again for 60 s." in said
    assert "1 node had no result yet, and the jobs go on" in said
    assert "No server answers." in said
    assert not client.killed.is_set()
