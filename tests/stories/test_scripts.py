"""Scripts in a whole fleet: sent once, kept by their hash, run again; and commands that only one node has."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.nodes import Selector
from quarterdeck.model.schedules import CreateSchedule
from tests.fleet import Fleet, Process, eventually

EXTENSIONS = """
[agent.extensions.greet]
binary = "/bin/echo"
args = ["{greeting:ahoy}", "{who}"]
"""
GREETING = """
from quarterdeck import script
passed = script.data()
script.message(7, "nearly there")
script.result({"greeting": "ahoy " + passed["who"]})
"""
SHA256 = hashlib.sha256(GREETING.encode()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    (fleet.folder / "one").mkdir()
    (fleet.folder / "one" / "quarterdeck.toml").write_text(EXTENSIONS)
    fleet.join("one")
    fleet.join("two", environment={"QD_AGENT_JOBS__ALLOW": "get_*,execute_js_py"})


def qd(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
    environment |= {"QD_HOME": str(fleet.server.home), "QD_HTTP": fleet.http}
    command = [sys.executable, "-m", "quarterdeck.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def run(fleet: Fleet, cmd: str, *nodes: str, data: str = "", **args: object) -> CommandWithJobs:
    request = CreateCommand(cmd=cmd, args=args, data=data, selector=Selector(nodes=nodes))
    return over(fleet, fleet.client.commands.create(request).id)


def over(fleet: Fleet, command_id: str) -> CommandWithJobs:
    def look() -> CommandWithJobs | None:
        found = fleet.client.commands.get(command_id)
        return found if all(is_final(job.state) for job in found.jobs) else None

    return eventually(look, f"{command_id} to be over")


def returned(job: Job) -> object:
    assert (job.state, job.reason) == (JobState.OK, "")
    assert job.result is not None
    return json.loads(job.result.data)


def cached(fleet: Fleet, node: str) -> list[Path]:
    """Return the node's files of that script."""
    return list(fleet.agents[node].home.rglob(f"artefacts/{SHA256}"))


def test_a_file_is_run_on_every_node_and_sent_to_each_once(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "greet.py"
    file.write_text(GREETING)
    arguments = [
        "job",
        "start",
        "execute_js_py",
        "--all",
        "--arg",
        f"script=@{file}",
        "--data",
        '{"who": "Vasa"}',
        "--json",
    ]
    ran = qd(fleet, *arguments)
    assert ran.returncode == 0, ran.stderr
    command = json.loads(ran.stdout)
    assert command["args"] == {"sha256": SHA256}
    assert [json.loads(job["result"]["data"]) for job in command["jobs"]] == [{"greeting": "ahoy Vasa"}] * 2
    inodes = {path.stat().st_ino for node in ("one", "two") for path in cached(fleet, node)}
    assert len(inodes) == 2
    again = run(fleet, "execute_js_py", data='{"who": "Götheborg"}', sha256=SHA256)
    assert [returned(job) for job in again.jobs] == [{"greeting": "ahoy Götheborg"}] * 2
    assert {path.stat().st_ino for node in ("one", "two") for path in cached(fleet, node)} == inodes


def test_it_runs_again_by_hand_by_schedule_and_where_its_file_was_lost(fleet: Fleet) -> None:
    first = run(fleet, "execute_js_py", "one", data='{"who": "Kronan"}', script=GREETING)
    for path in cached(fleet, "one"):
        path.write_text("raise SystemExit('damaged')")
    again = over(fleet, fleet.client.commands.rerun(first.id).id)
    assert [returned(job) for job in again.jobs] == [{"greeting": "ahoy Kronan"}]
    command = CreateCommand(
        cmd="execute_js_py",
        args={"script": GREETING},
        data='{"who": "Mars"}',
        selector=Selector(nodes=("one",)),
    )
    fleet.client.schedules.create(CreateSchedule(name="beat", command=command, period_s=1))
    last = eventually(lambda: fleet.client.schedules.list()[0].last_command, "the schedule to run")
    assert [returned(job) for job in over(fleet, last).jobs] == [{"greeting": "ahoy Mars"}]
    fleet.client.schedules.remove("beat")


def test_lua_and_a_script_far_larger_than_a_command(fleet: Fleet) -> None:
    source = "-- " + "x" * 3_000_000 + "\nrequire('quarterdeck').result({args = arg[1]})"
    ran = run(fleet, "execute_js_lua", "one", script=source, args=["⚓"])
    assert [returned(job) for job in ran.jobs] == [{"args": "⚓"}]


def test_the_nodes_allow_list_holds_for_scripts(fleet: Fleet) -> None:
    (job,) = run(fleet, "execute_sh", "two", script="true").jobs
    assert job.state is JobState.REFUSED
    assert "agent.jobs.allow" in job.reason


def test_a_node_has_the_commands_that_its_configuration_adds(fleet: Fleet) -> None:
    (job,) = run(fleet, "greet", "one", who="Vasa").jobs
    assert job.result is not None
    assert (job.state, job.result.streams[0]) == (JobState.OK, "ahoy Vasa\n")
    (missing,) = run(fleet, "greet", "one").jobs
    assert (missing.state, missing.reason) == (JobState.ERROR, "greet needs the argument 'who'.")
    (unknown,) = run(fleet, "greeet", "one").jobs
    assert unknown.state is JobState.UNKNOWN_CMD
    assert "It has greet" in unknown.reason


def test_an_extension_cannot_take_the_name_of_a_command_that_is_there(fleet: Fleet) -> None:
    home = fleet.folder / "three"
    home.mkdir()
    (home / "quarterdeck.toml").write_text('[agent.extensions.execute_sh]\nbinary = "x"\n')
    (home / "quarterdeck.toml").chmod(0o600)
    token = fleet.client.tokens.create().token
    agent = Process(home, ["agent", "--server", fleet.link, "--name", "three"], {"QD_AGENT_TOKEN": token}).start()
    assert agent.wait() == 2, agent.tail()
    assert "agent.extensions.execute_sh: every agent has a command 'execute_sh'" in agent.tail()
    assert "Traceback" not in agent.tail()
