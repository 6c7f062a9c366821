"""A job prints; its messages are read on the node and in the table, followed, forwarded, and deleted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from quarterdeck.model.jobs import CreateCommand, JobResult, is_final
from quarterdeck.model.messages import DeletedMessages, MessageFilter, MessagePage
from quarterdeck.model.nodes import AgentState, Selector
from tests.fleet import Fleet, eventually

SCRIPT = r"""
echo one
echo 7::the disk is 91 % full
echo two >&2
echo 9::the backup failed
printf '5:::a block\nof two lines\n:::\n'
printf 'no end'
"""


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    for name in ("web-1", "web-2"):
        fleet.join(name)


def run_on(fleet: Fleet, nodes: Sequence[str], cmd: str, /, **arguments: object) -> list[JobResult]:
    """Return the results of a command, once every node has one."""
    request = CreateCommand(cmd=cmd, args=arguments, selector=Selector(nodes=tuple(nodes)))
    made = fleet.client.commands.create(request)

    def results() -> list[JobResult] | None:
        found = [job.result for job in fleet.client.commands.get(made.id).jobs]
        return [each for each in found if each is not None] if all(found) else None

    return eventually(results, f"results of {cmd}")


def prints(fleet: Fleet, nodes: Sequence[str], script: str = SCRIPT) -> str:
    """Return the id of a job that printed this."""
    return run_on(fleet, nodes, "execute", cmd="sh", args=["-c", script], domain="shop", name="backup")[0].id


def qd(fleet: Fleet, *arguments: str) -> subprocess.Popen[str]:
    """Run `qd` against this fleet."""
    return subprocess.Popen(
        [sys.executable, "-m", "quarterdeck.cli.main", *arguments],
        env={**os.environ, "QD_HTTP": fleet.http, "QD_HOME": str(fleet.server.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logs(fleet: Fleet, *arguments: str) -> tuple[list[str], str]:
    """Return the lines that `qd logs` prints, without jobs and times, and its standard error."""
    process = qd(fleet, "logs", *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [_shortened(line) for line in out.splitlines()], err


def _shortened(line: str) -> str:
    whose, bar, rest = line.partition(" | ")
    node, _, job = whose.partition(" ")
    assert job
    parts = rest.split(" ", 2)
    timed = len(parts) == 3 and parts[0].count("-") == 2 and parts[1].count(":") == 2
    return node + bar + (parts[2] if timed else rest)


LINES = [
    "web-1 | one",
    "web-1 | warning: the disk is 91 % full",
    "web-1 | stderr: two",
    "web-1 | critical: the backup failed",
    "web-1 | log: a block",
    "web-1 | log: of two lines",
    "web-1 | no end",
]
FORWARDED = ["web-1 | warning: the disk is 91 % full", "web-1 | critical: the backup failed"]


def test_everything_a_job_printed_is_shown_and_only_what_was_forwarded_is_in_the_table(fleet: Fleet) -> None:
    job = prints(fleet, ["web-1"])
    lines, err = logs(fleet, "--job", job)
    assert (sorted(lines), err) == (sorted(LINES), "")
    assert lines[-1] == "web-1 | no end" or "stderr" in lines[-1]
    assert logs(fleet, "--job", job, "--level", "7-9", "--domain", "shop", "--since", "1h")[0] == FORWARDED
    assert logs(fleet, "--job", job, "--text", "block")[0] == LINES[4:6]
    rows = eventually(
        lambda: (
            (found := fleet.rows(f"SELECT level, data FROM messages WHERE job_id = '{job}' ORDER BY id"))
            and len(found) == 2
            and found
        ),
        "forwarded messages",
    )
    assert rows == [[7, "the disk is 91 % full"], [9, "the backup failed"]]
    assert sorted(logs(fleet, "--job", job)[0]) == sorted(LINES)  # each once, though two are in both places


def test_a_job_of_several_nodes_is_one_log(fleet: Fleet) -> None:
    job = prints(fleet, ["web-1", "web-2"], "for i in 1 2 3; do echo $i; done")
    lines, _ = logs(fleet, "--job", job)
    for node in ("web-1", "web-2"):
        assert [line for line in lines if line.startswith(node)] == [f"{node} | {i}" for i in (1, 2, 3)]
    assert logs(fleet, "--job", job, "--node", "web-2", "-n", "1")[0] == ["web-2 | 3"]


def test_more_messages_than_a_page_are_all_shown_in_order(fleet: Fleet) -> None:
    job = prints(fleet, ["web-1"], "seq 1 3500")
    lines, _ = logs(fleet, "--job", job, "--lines", "5000")
    assert lines == [f"web-1 | {number}" for number in range(1, 3501)]


def test_of_a_node_that_is_offline_what_it_forwarded_is_shown_and_said_so(fleet: Fleet) -> None:
    job = prints(fleet, ["web-1"])
    eventually(lambda: len(fleet.rows(f"SELECT 1 FROM messages WHERE job_id = '{job}'")) == 2, "forwarded messages")
    fleet.agents["web-1"].stop()
    fleet.wait_for("web-1", AgentState.OFFLINE)
    lines, err = logs(fleet, "--job", job)
    assert lines == FORWARDED
    assert "web-1 is offline; only what it forwarded is shown." in err
    fleet.agents["web-1"].start()
    fleet.wait_for("web-1", AgentState.ONLINE)
    assert sorted(logs(fleet, "--job", job)[0]) == sorted(LINES)


def test_a_follower_sees_the_last_lines_then_those_that_come_and_ends_clean(fleet: Fleet, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    made = fleet.client.commands.create(
        CreateCommand(
            cmd="execute",
            args={
                "cmd": "sh",
                "args": ["-c", f"echo first; while [ ! -e {go_on} ]; do sleep 0.05; done; echo second; echo third"],
            },
            selector=Selector(nodes=("web-1",)),
        )
    )
    follower = qd(fleet, "logs", "--job", made.id, "--follow")
    seen: list[str] = []
    assert follower.stdout is not None
    lines = follower.stdout
    reader = threading.Thread(target=lambda: seen.extend(line.rstrip("\n") for line in iter(lines.readline, "")))
    reader.start()
    eventually(lambda: seen == [f"web-1 {made.id} | first"], "the first line")
    go_on.touch()
    eventually(lambda: len(seen) == 3, "the new lines")
    follower.send_signal(signal.SIGINT)
    assert follower.wait(30) == 130
    reader.join(10)
    assert seen == [f"web-1 {made.id} | {word}" for word in ("first", "second", "third")]
    assert follower.stderr is not None
    assert follower.stderr.read() == ""
    follower.stdout.close()
    follower.stderr.close()


def test_a_follower_of_a_flood_is_taken_to_the_newest_and_told_so(fleet: Fleet) -> None:
    script = "i=0; while :; do i=$((i+1)); yes $i | head -n 50000; done"
    made = fleet.client.commands.create(
        CreateCommand(cmd="execute", args={"cmd": "sh", "args": ["-c", script]}, selector=Selector(nodes=("web-1",)))
    )
    follower = qd(fleet, "logs", "--job", made.id, "--follow", "--lines", "0")
    assert follower.stdout is not None
    assert follower.stderr is not None
    drain = threading.Thread(target=follower.stdout.read)
    drain.start()
    said = follower.stderr.readline()
    assert re.search(r"[\d,]+ lines are left out after", said), said
    follower.send_signal(signal.SIGINT)
    drain.join()
    assert follower.wait(30) == 130
    follower.stdout.close()
    follower.stderr.close()
    fleet.client.commands.kill(made.id)
    eventually(lambda: is_final(fleet.client.commands.get(made.id).jobs[0].state), "the end of the flood")


def test_a_follower_goes_on_when_a_node_was_away(fleet: Fleet) -> None:
    resume = fleet.client.messages.list(MessageFilter(limit=1, newest_first=True)).resume
    stream = fleet.client.messages.follow(MessageFilter(), Selector(nodes=("web-2",)), resume=resume)
    job = prints(fleet, ["web-2"], "echo before")
    assert [message.data for message in next(stream).messages] == ["before"]
    fleet.agents["web-2"].kill()
    assert next(stream).problems == ("web-2 is offline; its messages are shown when it is back.",)
    fleet.agents["web-2"].start()
    fleet.wait_for("web-2", AgentState.ONLINE)
    again = prints(fleet, ["web-2"], "echo after")
    found = next(stream).messages
    assert [(message.job_id, message.data) for message in found] == [(again, "after")]
    assert again != job
    stream.close()  # type: ignore[attr-defined]


def test_messages_are_got_and_deleted_by_command(fleet: Fleet) -> None:
    job = prints(fleet, ["web-2"])
    (found,) = run_on(fleet, ["web-2"], "get_msgs", jobid=job, levels="7-9")
    page = msgspec.json.decode(found.data, type=MessagePage)
    assert [(message.level, message.data) for message in page.messages] == [
        (7, "the disk is 91 % full"),
        (9, "the backup failed"),
    ]
    (deleted,) = run_on(fleet, ["web-2"], "del_msgs", jobid=job, levels="1-6")
    assert msgspec.json.decode(deleted.data, type=DeletedMessages).deleted == 4
    lines, _ = logs(fleet, "--job", job)
    assert lines == [line.replace("web-1", "web-2") for line in FORWARDED]


def test_a_node_that_does_not_allow_it_is_not_read(fleet: Fleet) -> None:
    fleet.join("closed", environment={"QD_AGENT_JOBS__ALLOW": "execute"})
    job = prints(fleet, ["closed"])
    lines, err = logs(fleet, "--job", job, "--level", "1-6")
    assert lines == []
    assert "closed: This node's configuration (agent.jobs.allow) has no get_msgs." in err


def test_a_node_says_what_is_usual_and_a_program_may_be_told_otherwise(fleet: Fleet) -> None:
    usual = {"LOGLEVELS": "1-9", "LOGLEVELS_DB": "7,8", "LOGLEVELS_AC": "1"}
    fleet.join("quiet", environment={f"QD_AGENT_PROCESSES__{name}": value for name, value in usual.items()})
    said = "echo 1::one; echo 7::seven; echo 8::eight; echo 11::eleven"
    request = {"cmd": "sh", "args": ["-c", said], "domain": "usual"}
    (as_usual,) = run_on(fleet, ["quiet"], "execute", **request)
    (told,) = run_on(fleet, ["quiet"], "execute", **request, loglevels="*", loglevels_db="11", loglevels_ac="8")
    for job, kept in ((as_usual, ["seven", "eight"]), (told, ["eleven"])):
        (page,) = run_on(fleet, ["quiet"], "get_msgs", jobid=job.id)
        assert [each.data for each in msgspec.json.decode(page.data, type=MessagePage).messages] == kept
    expected = [[as_usual.id, "one"], [told.id, "eight"]]
    query = "SELECT job_id, data FROM messages WHERE domain = 'usual' ORDER BY id"
    eventually(lambda: fleet.rows(query) == expected, "what is forwarded")
