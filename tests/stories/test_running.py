"""`qd run` in a whole fleet: output while a program runs, all of it once, and an exit code that can be relied on."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
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
    """A running `qd`, with its output as it arrives."""

    def __init__(self, fleet: Fleet, *arguments: str, stdin: bytes = b"") -> None:
        token = (fleet.server.home / "admin.token").read_text().strip()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quarterdeck.cli.main", *arguments],
            env=inherited | {"QD_HTTP": fleet.http, "QD_TOKEN": token, "QD_HOME": str(fleet.folder)},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if self._process.stdin:
            self._process.stdin.write(stdin)
            self._process.stdin.close()
            self._process.stdin = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """Wait for the next line of its standard output and return it."""
        assert self._process.stdout
        return self._process.stdout.readline().decode()

    def rest(self) -> bytes:
        """Return the rest of its standard output."""
        assert self._process.stdout
        return self._process.stdout.read()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self._process.send_signal(number)

    def leave(self) -> None:
        """Stop reading its standard output."""
        assert self._process.stdout
        self._process.stdout.close()
        self._process.stdout = None

    def end(self) -> tuple[int, bytes, str]:
        """Wait for its end; return its exit code and the unread output."""
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


def test_a_large_output_comes_whole_and_nothing_else_is_said(fleet: Fleet) -> None:
    size = 20 * 1024 * 1024
    code, out, err = qd(fleet, "run", "--node", "one", *sh(f"seq -f %069.0f 1 1000000 | head -c {size}"))
    here = b"".join(b"%069d\n" % number for number in range(1, size // 70 + 2))[:size]
    assert (code, len(out)) == (0, size)
    assert hashlib.sha256(out).digest() == hashlib.sha256(here).digest()
    assert re.fullmatch(r"1 OK on 1 node in [\d.]+ m?s\n", err)


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
    large = os.urandom(3_000_000)
    code, out, _ = qd(fleet, "run", "--node", "one", "sha256sum", stdin=large)
    assert (code, out.split()[0].decode()) == (0, hashlib.sha256(large).hexdigest())
    huge = large[:1_000_000] * 41  # more than any message or buffer on the way may hold
    code, out, _ = qd(fleet, "run", "--role", "web", "sha256sum", stdin=huge)
    assert (code, {line.split()[2] for line in out.decode().splitlines()}) == (0, {hashlib.sha256(huge).hexdigest()})
    script = tmp_path / "x.sh"
    script.write_text('read line; echo "$1 $line $COLOUR"')
    options = ("--script", str(script), "--stdin", "--env", "COLOUR=red", "--no-prefix", "--role", "web")
    code, out, _ = qd(fleet, "run", *options, "--", "-v", stdin=b"in\n")
    assert (code, out) == (0, b"-v in red\n" * 2)


def test_any_is_one_node_and_no_node_named_is_not_every_node(fleet: Fleet) -> None:
    code, out, _ = qd(fleet, "run", "--any", "--role", "web", "--prefix", "true")
    assert (code, out) == (0, b"")
    assert len(fleet.client.commands.get(fleet.client.commands.list(limit=1)[0].id).jobs) == 1
    before = len(fleet.client.commands.list())
    code, _, err = qd(fleet, "run", "reboot")
    assert code == 2
    assert "all 3 nodes" in err
    assert len(fleet.client.commands.list()) == before


def test_what_takes_too_long_is_ended_and_said_so(fleet: Fleet) -> None:
    code, out, err = qd(fleet, "run", "--role", "web", "--timeout", "1s", *sh("echo begin; sleep 600"))
    assert code == 1
    assert sorted(out.decode().splitlines()) == ["one | begin", "two | begin"]
    assert "2 TIMEOUT" in err
    assert "one, two: TIMEOUT It ran longer than its max_time of 1 s." in err


def _running(mark: str) -> list[int]:
    """Return the processes with this text in their command line."""
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


def state_of_the_last(client: Client, cmd: str) -> JobState:
    found = next(command for command in client.commands.list() if command.args.get("cmd") == cmd)
    return client.commands.get(found.id).jobs[0].state


def test_a_flood_ends_with_its_reader_and_holds_up_nobody(fleet: Fleet) -> None:
    with Qd(fleet, "run", "--node", "one", "--", "yes") as flood:
        assert [flood.line() for _ in range(3)] == ["y\n"] * 3
        _, out, err = qd(fleet, "run", "--node", "one", "--", "echo", "hi")
        assert out == b"hi\n"
        assert "older" not in err
        flood.leave()
        eventually(lambda: state_of_the_last(fleet.client, "yes") is JobState.KILLED, "the end of the flood")


def test_a_program_waits_for_its_reader_and_then_goes_on(fleet: Fleet, tmp_path: Path) -> None:
    """All of 40 MB come to a reader that pauses, and the program was not far ahead of it meanwhile."""
    printed = tmp_path / "printed"
    script = (
        "import sys\n"
        "for number in range(400_000):\n"
        "    print(f'{number:099}')\n"
        "    if number % 1000 == 0:\n"
        f"        print(number, file=open({str(printed)!r}, 'w'))\n"
    )
    with Qd(fleet, "run", "--node", "two", "--", sys.executable, "-u", "-c", script) as running:
        assert running.line() == f"{0:099}\n"
        before = ""
        while (now := printed.read_text()) != before or not now:  # until it waits
            before = now
            time.sleep(2)
        assert int(now) < 300_000
        assert qd(fleet, "run", "--node", "two", "--", "echo", "hi")[1] == b"hi\n"
        out = running.rest()
        code, _, err = running.end()
    assert code == 0, err
    assert out == b"".join(b"%099d\n" % number for number in range(1, 400_000))


def test_a_program_that_waits_for_its_reader_can_be_killed(fleet: Fleet) -> None:
    with Qd(fleet, "run", "--node", "two", "--id", "waits-for-reader", "--", "yes", "y" * 1000) as running:
        running.line()
        time.sleep(2)  # most likely it waits now; it is ended well in any case
        assert qd(fleet, "job", "kill", "waits-for-reader")[0] == 0
        eventually(lambda: b"KILLED" in qd(fleet, "job", "show", "waits-for-reader", "--json")[1], "the job's end")


def test_a_reader_that_leaves_a_silent_program_ends_it(fleet: Fleet) -> None:
    with Qd(fleet, "run", "--node", "one", "--", "sh", "-c", "echo a; exec sleep 600") as silent:
        assert silent.line() == "a\n"
        silent.leave()
        eventually(lambda: state_of_the_last(fleet.client, "sh") is JobState.KILLED, "the end of the program")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_the_program_too(fleet: Fleet, number: signal.Signals) -> None:
    with Qd(fleet, "run", "--node", "one", "--", "sh", "-c", "echo a; exec sleep 600") as silent:
        assert silent.line() == "a\n"
        silent.interrupt(number)
        assert silent.end()[0] == 128 + number
    assert state_of_the_last(fleet.client, "sh") is JobState.KILLED


def test_readers_that_come_and_go_leave_the_node_linked(fleet: Fleet) -> None:
    script = 'i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo "line $i of a program"; done'
    for _ in range(5):
        with Qd(fleet, "run", "--node", "one", "--", "sh", "-c", script) as reader:
            assert reader.line() == "line 1 of a program\n"
            reader.leave()
    assert qd(fleet, "run", "--node", "one", "--", "echo", "hi")[1] == b"hi\n"
    assert fleet.client.nodes.get("one").state is AgentState.ONLINE


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
    for event in client.commands.output(command_id, follow=follow):
        if isinstance(event, Job):
            yield f"{event.node_name} {event.state}"
        else:
            yield from (f"{event.node_name}: {message.data}" for message in event.messages)


def test_the_client_follows_over_a_restart_of_the_server(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    args = {"cmd": "sh", "args": ["-c", f"echo a; while [ ! -e {go} ]; do sleep 0.05; done; echo b"]}
    made = fleet.client.commands.create(CreateCommand(cmd="execute", args=args, selector=Selector(nodes=("one",))))
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
        eventually(lambda: fleet.client.commands.list(limit=1)[0].id == "later", "the command to be asked")
        agent.start()
        code, out, err = running.end()
    assert (code, out) == (0, b"three | here\n"), err
    assert "three QUEUED: The node is offline since" in err


def test_the_server_knows_which_commands_print_nothing(fleet: Fleet) -> None:
    """A node's answer to an unknown command names those that it has."""
    made = fleet.client.commands.create(CreateCommand(cmd="nonsense", selector=Selector(nodes=("one",))))
    (job,) = [job for job in fleet.client.commands.follow(made.id) if job.result]
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
    made = fleet.client.commands.get("again")
    assert {job.state for job in made.jobs} == {JobState.ERROR}
    found = [event for event in fleet.client.commands.output("again") if isinstance(event, NodeMessages)]
    assert {(page.node_name, message.data) for page in found for message in page.messages} == {
        ("one", "x"),
        ("two", "x"),
    }
