"""`qd run` in a whole fleet: output while a program runs, all of it once, and an exit code that can be relied on."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from quarterdeck.client import Client
from quarterdeck.model.jobs import CreateCommand, Job, JobState
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.output import SILENT, NodeMessages
from tests.fleet import Fleet, eventually

DEADLINE_S = 120


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web"})
    fleet.join("two", labels={"role": "web"})
    fleet.join("three", labels={"role": "db"})


class Qd:
    """One `qd` that runs, with its output as it comes."""

    def __init__(self, fleet: Fleet, *arguments: str, stdin: bytes = b"") -> None:
        token = (fleet.server.home / "admin.token").read_text().strip()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quarterdeck.cli.main", *arguments],
            env=inherited | {"QD_HTTP": fleet.http, "QD_TOKEN": token, "QD_HOME": str(fleet.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin
        self._process.stdin.write(stdin)
        self._process.stdin.close()
        self._process.stdin = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """The next line of its standard output, which is waited for."""
        assert self._process.stdout
        return self._process.stdout.readline().decode()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, bytes, str]:
        """Its exit code and what it printed that was not read yet."""
        out, err = self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode, out, err.decode()


def qd(fleet: Fleet, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    with Qd(fleet, *arguments, stdin=stdin) as running:
        return running.end()


def sh(script: str) -> tuple[str, ...]:
    return ("--", "sh", "-c", script)


def test_output_is_there_while_the_program_runs(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo last; echo oops >&2"
    with Qd(fleet, "run", "--role", "web", *sh(script)) as running:
        assert {running.line(), running.line()} == {"one | first\n", "two | first\n"}
        go.touch()
        code, out, err = running.end()
    assert code == 0
    assert sorted(out.decode().splitlines()) == ["one | last", "two | last"]
    *oops, summary = err.splitlines()
    assert sorted(oops) == ["one | oops", "two | oops"]
    assert re.fullmatch(r"2 OK on 2 nodes in [\d.]+ m?s", summary)


def test_one_node_gives_its_programs_output_and_exit_code(fleet: Fleet) -> None:
    code, out, err = qd(fleet, "run", "--node", "three", *sh("printf 'a\\nb'; exit 7"))
    assert (code, out) == (7, b"a\nb")
    assert "three: ERROR exit code 7" in err
    assert qd(fleet, "run", "--node", "three", *sh("kill -TERM $$"))[0] == 128 + signal.SIGTERM


def test_bytes_come_as_they_were_written(fleet: Fleet) -> None:
    script = "import random,sys; random.seed(7); sys.stdout.buffer.write(random.randbytes(3_000_000))"
    code, out, err = qd(fleet, "run", "--node", "one", "--", sys.executable, "-c", script)
    assert code == 0, err
    here = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    # a few of its lines may look like marks of a level; there are none for this seed
    assert hashlib.sha256(out).digest() == hashlib.sha256(here).digest()


def test_many_lines_of_many_nodes_come_once_and_in_order(fleet: Fleet) -> None:
    code, out, _ = qd(fleet, "run", "--all", "--", "seq", "20000")
    assert code == 0
    lines: dict[str, list[str]] = {}
    for line in out.decode().splitlines():
        node, _, text = line.partition("| ")
        lines.setdefault(node.strip(), []).append(text)
    whole = [str(number) for number in range(1, 20001)]
    assert lines == {"one": whole, "two": whole, "three": whole}


def test_standard_input_and_scripts_are_passed_on(fleet: Fleet, tmp_path: Path) -> None:
    code, out, _ = qd(fleet, "run", "--node", "one", "--stdin", "cat", stdin="a\n⚓".encode())
    assert (code, out) == (0, "a\n⚓".encode())
    script = tmp_path / "x.sh"
    script.write_text('read line; echo "$1 $line $COLOUR"')
    options = ("--script", str(script), "--stdin", "--env", "COLOUR=red", "--no-prefix", "--role", "web")
    code, out, _ = qd(fleet, "run", *options, "--", "-v", stdin=b"in\n")
    assert (code, out) == (0, b"-v in red\n" * 2)


def test_any_is_one_node_and_no_node_named_is_not_every_node(fleet: Fleet) -> None:
    code, out, _ = qd(fleet, "run", "--any", "--role", "web", "--prefix", "true")
    assert (code, out) == (0, b"")
    assert len(fleet.client.show_command(fleet.client.list_commands(limit=1)[0].id).jobs) == 1
    before = len(fleet.client.list_commands())
    code, _, err = qd(fleet, "run", "reboot")
    assert code == 2
    assert "all 3 nodes" in err
    assert len(fleet.client.list_commands()) == before


def test_what_takes_too_long_is_ended_and_said_so(fleet: Fleet) -> None:
    code, out, err = qd(fleet, "run", "--role", "web", "--timeout", "1s", *sh("echo begin; sleep 600"))
    assert code == 1
    assert sorted(out.decode().splitlines()) == ["one | begin", "two | begin"]
    assert "2 TIMEOUT" in err
    assert "one, two: TIMEOUT It ran longer than its max_time of 1 s." in err


def _running(mark: str) -> list[int]:
    """Processes with this in their command line."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if line.split(b"\0")[:2] == [b"sleep", mark.encode()]:
                found.append(int(process.name))
    return found


def test_ctrl_c_ends_the_program_on_every_node(fleet: Fleet) -> None:
    with Qd(fleet, "run", "--all", *sh("echo begin; sleep 617.25")) as running:
        for _ in range(3):
            assert running.line().endswith("begin\n")
        eventually(lambda: len(_running("617.25")) == 3, "what comes after the first word to run")
        running.interrupt()
        code, _, err = running.end()
    assert code == 130
    assert "3 KILLED" in err
    assert _running("617.25") == []


def _numbers(out: bytes) -> list[int]:
    return [int(line) for line in out.split()]


def test_an_agent_that_is_killed_costs_no_line_and_repeats_none(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"seq 1 1000; while [ ! -e {go} ]; do sleep 0.05; done; seq 1001 2000"
    agent = fleet.agents["two"]
    with Qd(fleet, "run", "--node", "two", *sh(script)) as running:
        first = [int(running.line()) for _ in range(1000)]
        agent.kill()
        fleet.wait_for("two", AgentState.OFFLINE)
        go.touch()
        agent.start()
        code, out, err = running.end()
    assert (code, first + _numbers(out)) == (0, list(range(1, 2001))), err
    assert "when it is back" in err


def test_a_server_that_is_killed_costs_no_line_and_repeats_none(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"seq 1 1000; while [ ! -e {go} ]; do sleep 0.05; done; seq 1001 2000"
    with Qd(fleet, "run", "--role", "web", "--no-prefix", *sh(script)) as running:
        first = [int(running.line()) for _ in range(2000)]
        fleet.server.kill()
        go.touch()
        fleet.start_server()
        code, out, err = running.end()
    assert code == 0, err
    assert sorted(first) == sorted([*range(1, 1001)] * 2)
    assert sorted(_numbers(out)) == sorted([*range(1001, 2001)] * 2)


def _events(client: Client, command_id: str, *, follow: bool) -> Iterator[str]:
    for event in client.follow_output(command_id, follow=follow):
        if isinstance(event, Job):
            yield f"{event.node_name} {event.state}"
        else:
            yield from (f"{event.node_name}: {message.data}" for message in event.messages)


def test_the_client_follows_over_a_restart_of_the_server(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    args = {"cmd": "sh", "args": ["-c", f"echo a; while [ ! -e {go} ]; do sleep 0.05; done; echo b"]}
    made = fleet.client.create_command(CreateCommand(cmd="execute", args=args, selector=Selector(nodes=("one",))))
    events = _events(fleet.client, made.id, follow=True)
    seen = [next(events)]
    while seen[-1] != "one: a":
        seen.append(next(events))
    fleet.server.kill()
    go.touch()
    fleet.start_server()
    seen += events
    assert [line for line in seen if "QUEUED" not in line and "ACCEPTED" not in line] == [
        "one RUNNING", "one: a", "one: b", "one OK",
    ]  # fmt: skip
    assert list(_events(fleet.client, made.id, follow=True)) == ["one: a", "one: b", "one OK"]


def test_logs_are_there_afterwards_and_their_end_also_when_the_node_is_away(fleet: Fleet) -> None:
    script = "echo x; echo oops >&2; echo 7::careful"
    code, _, _ = qd(fleet, "run", "--id", "logged", "--role", "web", *sh(script))
    assert code == 0
    code, out, err = qd(fleet, "job", "logs", "logged", "--node", "one", "--level", "1,7")
    assert (code, out, err) == (0, b"x\n", "warning: careful\n")
    agent = fleet.agents["one"]
    agent.stop()
    fleet.wait_for("one", AgentState.OFFLINE)
    code, out, err = qd(fleet, "job", "logs", "logged")
    assert sorted(out.decode().splitlines()) == ["one | 7::careful", "one | x", "two | x"], (
        "a result has lines as they came"
    )
    assert "one | oops" in err
    assert "These are the last lines of its result." in err
    agent.start()
    fleet.wait_for("one", AgentState.ONLINE)


def test_a_node_that_is_away_gets_it_when_it_is_back(fleet: Fleet) -> None:
    agent = fleet.agents["three"]
    agent.stop()
    fleet.wait_for("three", AgentState.OFFLINE)
    with Qd(fleet, "run", "--id", "later", "--node", "three", "--prefix", "echo", "here") as running:
        eventually(lambda: fleet.client.list_commands(limit=1)[0].id == "later", "the command to be asked")
        agent.start()
        code, out, err = running.end()
    assert (code, out) == (0, b"three | here\n"), err
    assert "three QUEUED: The node is offline since" in err


def test_the_server_knows_which_commands_print_nothing(fleet: Fleet) -> None:
    """The node's answer to a command that it does not have names those that it has."""
    made = fleet.client.create_command(CreateCommand(cmd="nonsense", selector=Selector(nodes=("one",))))
    (job,) = [job for job in fleet.client.follow_command(made.id) if job.result]
    names = set(job.reason.rpartition("It has ")[2].removesuffix(".").split(", "))
    assert names - SILENT == {"execute", "execute_js_py", "execute_js_lua", "execute_sh"}
    assert SILENT - names == set()


def test_following_again_shows_it_from_the_beginning(fleet: Fleet) -> None:
    qd(fleet, "run", "--id", "again", "--role", "web", *sh("echo x; exit 1"))
    code, out, _ = qd(fleet, "job", "show", "again", "--follow")
    assert code == 1
    lines = out.decode().splitlines()
    for name in ("one", "two"):
        (at,) = [number for number, line in enumerate(lines) if line.startswith(f"{name} ERROR")]
        assert lines.index(f"{name} | x") < at
    made = fleet.client.show_command("again")
    assert {job.state for job in made.jobs} == {JobState.ERROR}
    found = [event for event in fleet.client.follow_output("again") if isinstance(event, NodeMessages)]
    assert {(page.node_name, message.data) for page in found for message in page.messages} == {
        ("one", "x"),
        ("two", "x"),
    }
