"""`qd run`: what is asked of which nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.nodes import Selector
from tests.unit.cli.conftest import CallQd
from tests.unit.cli.run_client import FakeClient, job


def test_a_program_is_asked_for_as_it_is_written(call_qd: CallQd) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    options = (
        "--on", "tier=1", "--role", "web", "--gid", "2", "--timeout", "1.5m", "--user", "www", "--cwd", "/srv",
        "--env", "A=1", "--env", "B=x=y", "--memory", "512M", "--cpus", "0.5", "--pids", "10", "--queue", "q",
        "--name", "n", "--expires", "1h", "--id", "mine", "--any",
    )  # fmt: skip
    assert call_qd(client, "run", *options, "--", "ls", "-l", "--", "--on") == 0
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
def test_options_behind_the_program_are_the_programs(call_qd: CallQd, line: str, program: list[str]) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)])
    assert call_qd(client, "run", *line.split()) == 0
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
    call_qd: CallQd, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    client = FakeClient("a", "bb")
    assert call_qd(client, "run", *line.split()) in {2, 4}
    assert words in " ".join(capsys.readouterr().err.split())
    assert client.asked == []


def test_an_unknown_option_is_no_program(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient("a")
    assert call_qd(client, "run", "--wrong", "ls") != 0
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
    call_qd: CallQd, names: list[str], options: list[str], selector: Selector
) -> None:
    client = FakeClient(*names, events=[job(name, JobState.OK) for name in names])
    assert call_qd(client, "run", *options, "reboot") == 0
    assert client.asked[0].selector == selector


def test_a_script_is_sent_as_its_source(call_qd: CallQd, tmp_path: Path) -> None:
    client = FakeClient("a", events=[job("a", JobState.OK)] * 3)
    for suffix in ("py", "lua", "sh"):
        (tmp_path / f"x.{suffix}").write_bytes("# ⚓\r\n".encode())
        assert (
            call_qd(client, "run", "--timeout", "3s", "--script", str(tmp_path / f"x.{suffix}"), "--", "-v", "b") == 0
        )
    assert [request.cmd for request in client.asked] == ["execute_js_py", "execute_js_lua", "execute_sh"]
    assert client.asked[0].args == {"script": "# ⚓\r\n", "args": ["-v", "b"], "name": "x", "max_time": 3.0}
