"""As an ordinary user, everything but eBPF works, and each refusal names the missing privilege."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.model.jobs import CreateCommand, JobResult, JobState
from quarterdeck.model.modules import Instance, InstanceState
from quarterdeck.model.nodes import AgentState
from tests import ordinary
from tests.counted import counted
from tests.fleet import Fleet, eventually, free_port


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder that an ordinary user can access; those of pytest are private."""
    made = Path(tempfile.mkdtemp(prefix="quarterdeck-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[Fleet]:
    """A server and an agent of an ordinary user."""
    with Fleet(folder, ordinary_user=True) as running:
        running.join("one")
        yield running


def qd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `qd` as the ordinary user, with this home folder."""
    line = [*ordinary.command(), sys.executable, "-m", "quarterdeck.cli.main", *arguments]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_the_node_is_online_and_says_why_it_runs_no_modules(fleet: Fleet) -> None:
    facts = fleet.wait_for("one", AgentState.ONLINE).facts
    assert not facts.ebpf
    assert "CAP_BPF" in facts.ebpf_reason


def _failed(fleet: Fleet, module: str, attempt: int) -> Instance:
    def look() -> Instance | None:
        found = fleet.instances(module).get("one")
        failed = found and found.status.state is InstanceState.FAILED and found.status.attempt >= attempt
        return found if failed else None

    return eventually(look, f"attempt {attempt} of {module} to fail")


def test_a_deployment_fails_in_words_and_is_tried_again_with_growing_pauses(fleet: Fleet) -> None:
    fleet.client.modules.deploy("execs")
    first = _failed(fleet, "execs", 1).status
    assert "CAP_BPF" in first.reason
    later = _failed(fleet, "execs", 4).status
    assert later.reason == first.reason
    assert later.retry_at - later.since > 2.0, "the fourth pause is 4 to 8 s"
    assert fleet.node("one") == fleet.wait_for("one", AgentState.ONLINE)
    fleet.client.modules.undeploy("execs")
    eventually(lambda: not fleet.instances("execs"), "the instance to go")


def test_modules_are_built_and_tables_queried(fleet: Fleet) -> None:
    fleet.client.modules.create(counted("calls"))
    fleet.client.modules.deploy("calls")
    _failed(fleet, "calls", 1)
    answer = fleet.client.queries.run("SELECT count() FROM calls")
    assert answer.rows == [[0]]
    assert fleet.rows("SELECT count() FROM losses") == [[0]]
    fleet.client.modules.undeploy("calls")


def _run(fleet: Fleet, **limits: object) -> JobResult:
    args = {"cmd": "sh", "args": ["-c", "echo ran"], **limits}
    made = fleet.client.commands.create(CreateCommand(cmd="execute", args=args))

    def result() -> JobResult | None:
        return fleet.client.commands.get(made.id).jobs[0].result

    return eventually(result, "the job to be over")


def test_a_limit_that_cannot_be_held_is_refused_and_not_ignored(fleet: Fleet) -> None:
    fleet.wait_for("one", AgentState.ONLINE)
    for limit, controller in (({"memory": "50M"}, "memory"), ({"cpus": 0.5}, "cpu"), ({"pids": 50}, "pids")):
        result = _run(fleet, **limit)
        assert result.state is JobState.ERROR
        assert f"No cgroup controller for {controller} can be used here" in result.reason
        assert "Delegate=yes" in result.reason
        assert result.streams == ("", "")
    assert _run(fleet).streams[0] == "ran\n"


def test_a_restart_of_both_finds_everything_again(fleet: Fleet) -> None:
    assert fleet.agents["one"].stop() == 0
    assert fleet.server.stop() == 0
    fleet.agents["one"].start()
    fleet.start_server()
    fleet.wait_for("one", AgentState.ONLINE)


def test_the_doctor_says_what_is_missing_and_what_it_costs(folder: Path) -> None:
    told = qd(folder, "doctor")
    assert told.returncode == 1, told.stderr
    assert "CAP_BPF" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("No module can run here. The process (user ")
    assert "without it" in told.stdout
    features: list[dict[str, Any]] = json.loads(qd(folder, "doctor", "--json").stdout)
    missing = {feature["name"]: feature for feature in features if not feature["ok"]}
    assert missing.keys() >= {"CAP_BPF", "CAP_PERFMON", "memory limits", "cpu limits", "process limits"}
    assert all(feature["detail"] and feature["costs"] for feature in missing.values())


def test_one_command_brings_up_both_and_takes_them_down(folder: Path) -> None:
    home = folder / "user"
    home.mkdir()
    ordinary.own(home)
    addresses = [f"--{name}=127.0.0.1:{free_port()}" for name in ("http", "link")]
    up = qd(home, "up", *addresses, "--detach", "--wait")
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        nodes: list[dict[str, Any]] = json.loads(qd(home, "node", "ls", "--json").stdout)
        assert [node["state"] for node in nodes] == [AgentState.ONLINE]
        assert "CAP_BPF" in qd(home, "node", "show", nodes[0]["name"]).stdout
        assert qd(home, "query", "SELECT 40 + 2 AS answer", "--output", "csv").stdout.split() == ['"answer"', "42"]
    finally:
        down = qd(home, "down")
    assert down.returncode == 0, down.stdout + down.stderr
