"""Files of a node are missing or damaged when its agent starts: no running program is ended, with or without server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.services import ApplyServices, Service, ServiceState
from tests.fleet import Fleet, eventually

FILES = ("desired.msgpack", "services.msgpack", "jobs.db")


def remove(file: Path) -> None:
    file.unlink()


def overwrite(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink(missing_ok=True)  # all is in it too
    file.write_bytes(b"\xc1\x00" * 5000)


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        running.join("one")
        yield running


def said(sign: Path) -> str:
    return eventually(lambda: sign.read_text().strip() if sign.exists() else "", f"{sign.name} to run")


def job_state(fleet: Fleet, id_: str) -> JobState:
    return fleet.client.commands.get(id_).jobs[0].state


@pytest.mark.parametrize("harm", [remove, overwrite, spoil])
def test_what_runs_goes_on_without_the_agents_files(fleet: Fleet, harm: Callable[[Path], None]) -> None:
    name, agent = harm.__name__, fleet.agents["one"]
    service, job = (fleet.folder / f"{name}.{kind}" for kind in ("service", "job"))
    sleep = "echo $$ >> {}; exec sleep 86400"
    wanted = Service(name=name, command=("sh", "-c", sleep.format(service)), selector=Selector(nodes=("one",)))
    fleet.client.services.apply(ApplyServices(services=(wanted,)))
    args = {"cmd": "sh", "args": ["-c", sleep.format(job)]}
    fleet.client.commands.create(CreateCommand(cmd="execute", args=args, id=name))
    pids = said(service), said(job)
    eventually(lambda: job_state(fleet, name) is JobState.RUNNING, "the server to know that it runs")
    eventually((agent.home / "agent" / "services.msgpack").exists, "the service to be noted")
    agent.kill()
    fleet.server.stop()
    for file in FILES:
        harm(agent.home / "agent" / file)
    before = agent.log.stat().st_size
    agent.start()
    sign = "nothing is known here of the process" if harm is not spoil else "no link to the server"
    eventually(lambda: sign in agent.log.read_text()[before:], "it to be at work")
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    fleet.start_server()
    fleet.wait_for("one", AgentState.ONLINE)

    def runs() -> bool:
        (there,) = fleet.client.services.get(name).nodes
        return there.status.state is ServiceState.RUNNING and str(there.status.pid) == pids[0]

    eventually(runs, "the service to be as before")
    assert job_state(fleet, name) is JobState.RUNNING
    fleet.client.commands.kill(name)
    eventually(lambda: job_state(fleet, name) is JobState.KILLED, "the job to be ended")
    eventually(lambda: not Path(f"/proc/{pids[1]}").exists(), "its program to be gone")
    fleet.client.services.remove(name)
    eventually(lambda: not Path(f"/proc/{pids[0]}").exists(), "its program to be gone")
    assert (said(service), said(job)) == pids
