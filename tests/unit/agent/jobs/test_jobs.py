"""A node's jobs over several runs of the agent: taken once, run once, answered until the server has the result."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.agent.commands.command import Command, Outcome
from quarterdeck.agent.jobs.executor import Executor
from quarterdeck.agent.jobs.records import Record
from quarterdeck.agent.jobs.waits import Waits
from quarterdeck.agent.processes.unclaimed import Fate, Judge
from quarterdeck.link.messages import JobOffers
from quarterdeck.model.errors import NotFound
from quarterdeck.model.jobs import JobOffer, JobState
from tests.support import until
from tests.unit.agent.jobs.rig import Gate, node


def gated(gate: Gate) -> dict[str, Command]:
    return {"gate": Command(run=gate.run)}


async def test_a_job_is_taken_started_and_answered(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("a", cmd="gate")
        await until(lambda: server.started)
        assert server.taken == server.started == ["a"]
        gate.open.set()
        result = await server.result("a")
        assert (result.state, result.cmd) == (JobState.OK, "gate")
        assert result.starttime > 0


async def test_the_result_of_a_job_that_ends_at_once_says_all(tmp_path: Path) -> None:
    async with node(tmp_path, waits=Waits(linger_s=3600.0)) as server:
        server.offer("a")
        result = await server.result("a")
        assert (result.state, result.cmd, result.level) == (JobState.OK, "ping", 20)
        assert server.taken == server.started == []


async def test_an_offer_again_is_answered_and_not_run_again(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("a", "a", cmd="gate")
        await until(lambda: server.started)
        server.offer("a", cmd="gate", taken=True)
        await until(lambda: server.taken == ["a", "a"])
        gate.open.set()
        await server.result("a")
        server.store("a")
        server.offer("a", cmd="gate")
        await until(lambda: len(server.results) == 2)
        assert gate.began == ["a"]
        assert server.results[0] == server.results[1]


async def test_a_result_is_sent_over_each_link_until_it_is_stored(tmp_path: Path) -> None:
    async with node(tmp_path) as server:
        server.offer("a")
        first = await server.result("a")
    async with node(tmp_path) as server:
        assert await server.result("a") == first
        server.store("a")
        server.offer("b")
        await server.result("b")
    async with node(tmp_path) as server:
        await server.result("b")
        assert [result.id for result in server.results] == ["b"]


async def test_what_waited_runs_in_the_next_life_and_what_ran_is_lost(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("runs", "waits", "waits too", cmd="gate", args={"queue": "q"}, data="in")
        await until(lambda: server.started == ["runs"] and len(server.taken) == 3)
    assert gate.began == ["runs"]
    gate = Gate()
    gate.open.set()
    async with node(tmp_path, gated(gate)) as server:
        lost = await server.result("runs")
        assert (lost.state, lost.reason) == (JobState.LOST, "The agent was restarted while it ran.")
        assert (await server.result("waits too")).data == "in"
        assert gate.began == ["waits", "waits too"]


async def test_a_command_that_can_be_resumed_is(tmp_path: Path) -> None:
    gate = Gate()

    async def resume(job: JobOffer) -> Outcome:
        return Outcome(data=f"{job.id} goes on")

    commands = {"gate": Command(run=gate.run, resume=resume)}
    async with node(tmp_path, commands) as server:
        server.offer("a", cmd="gate")
        await until(lambda: server.started)
    async with node(tmp_path, commands) as server:
        assert (await server.result("a")).data == "a goes on"
    assert gate.began == ["a"]


async def test_what_is_allowed_no_more_is_not_taken_up(tmp_path: Path) -> None:
    gate = Gate()
    commands = {"gate": Command(run=gate.run, resume=gate.run)}
    async with node(tmp_path, commands, max_jobs=1) as server:
        server.offer("a", "b", cmd="gate")
        await until(lambda: server.started)
    judges: list[Judge] = []
    async with node(tmp_path, commands, allow=("ping",), recovered=judges.append) as server:
        for id_ in ("a", "b"):
            refused = await server.result(id_)
            assert refused.state is JobState.REFUSED
            assert "agent.jobs.allow" in refused.reason
        assert await judges[0](["a", "other"]) == {"a": Fate.OVER, "other": Fate.UNKNOWN}
    assert gate.began == ["a"]


async def test_a_job_that_the_server_thinks_taken_and_nobody_knows_is_lost(tmp_path: Path) -> None:
    async with node(tmp_path) as server:
        server.offer("a", taken=True)
        result = await server.result("a")
        assert result.state is JobState.LOST
        assert "no record" in result.reason
        assert server.started == server.taken == []


async def test_a_job_that_comes_too_late_expires(tmp_path: Path) -> None:
    async with node(tmp_path) as server:
        server.offer("late", expires_in_s=0.0)
        server.offer("in time", expires_in_s=60.0)
        assert (await server.result("late")).state is JobState.EXPIRED
        assert (await server.result("in time")).state is JobState.OK


async def test_the_nodes_own_configuration_refuses(tmp_path: Path) -> None:
    async with node(tmp_path, allow=("get_*_info", "ping")) as server:
        server.offer("a", cmd="restart")
        server.offer("b", cmd="get_mem_info")
        server.offer("c", cmd="get_the_moon_info")
        refused = await server.result("a")
        assert refused.state is JobState.REFUSED
        assert "agent.jobs.allow" in refused.reason
        assert (await server.result("b")).state is JobState.OK
        assert (await server.result("c")).state is JobState.UNKNOWN_CMD


async def test_no_job_takes_the_name_of_a_services_process(tmp_path: Path) -> None:
    noted: list[str] = []
    async with node(tmp_path, noted=noted.append) as server:
        server.offer("service/web")
        assert (await server.result("service/web")).state is JobState.ERROR
        server.offer("web")
        assert (await server.result("web")).state is JobState.OK
    assert noted == ["web"]


async def test_jobs_end_by_request_whether_they_wait_or_run(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("runs", "waits", cmd="gate", args={"queue": "q"})
        await until(lambda: server.started)
        server.kill("waits", "runs", "nobody")
        assert {(await server.result(id_)).state for id_ in ("runs", "waits")} == {JobState.KILLED}
        assert gate.began == ["runs"]
        server.offer("next", cmd="gate", args={"queue": "q"})
        await until(lambda: gate.began == ["runs", "next"])


async def test_all_jobs_end_together(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("runs", "waits", cmd="gate", args={"queue": "q"})
        await until(lambda: server.started)
        await server.jobs.end_all("ended for a test")
        for id_ in ("runs", "waits"):
            ended = await server.result(id_)
            assert ended.state is JobState.KILLED
            assert "It was ended for a test" in ended.reason
        assert gate.began == ["runs"]


async def test_a_job_ends_another(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate), max_jobs=1) as server:
        server.offer("long", cmd="gate")
        await until(lambda: server.started)
        server.offer("axe", cmd="kill", args={"id": "long"})
        assert (await server.result("axe")).state is JobState.OK
        killed = await server.result("long")
        assert (killed.state, killed.reason) == (JobState.KILLED, "It was ended by the job 'axe'.")
        server.offer("again", cmd="kill", data='{"id": "long"}')
        server.offer("self", cmd="kill", args={"id": "self"})
        again = await server.result("again")
        assert (again.state, again.reason) == (JobState.ERROR, "No job 'long' waits or runs on this node.")
        assert (await server.result("self")).state is JobState.ERROR


async def test_max_time_ends_a_job_and_a_commands_own_timeout_is_an_error(tmp_path: Path) -> None:
    async def times_out(_: JobOffer) -> Outcome:
        raise TimeoutError("its own")

    async with node(tmp_path, {"gate": Command(run=Gate().run), "own": Command(run=times_out)}) as server:
        server.offer("a", cmd="gate", args={"max_time": 0.01})
        server.offer("b", cmd="own", args={"max_time": 60})
        late = await server.result("a")
        assert (late.state, late.reason) == (JobState.TIMEOUT, "It ran longer than its max_time of 0.01 s.")
        assert (await server.result("b")).state is JobState.ERROR


async def test_no_more_than_max_jobs_run(tmp_path: Path) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate), max_jobs=2) as server:
        server.offer("a", "b", "c", cmd="gate")
        await until(lambda: len(gate.began) == 2 and len(server.taken) == 3)
        gate.open.set()
        await server.result("c")
        assert gate.began == ["a", "b", "c"]


async def test_whatever_a_command_does_is_a_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def refuses(_: JobOffer) -> Outcome:
        raise NotFound("There is no such thing.", hint="Look elsewhere.")

    async def breaks(_: JobOffer) -> Outcome:
        raise ValueError("broken")

    async def floods(_: JobOffer) -> Outcome:
        return Outcome(data="x" * (13 * 1024 * 1024))

    commands = {"refuses": Command(run=refuses), "breaks": Command(run=breaks), "floods": Command(run=floods)}
    async with node(tmp_path, commands) as server:
        for name in commands:
            server.offer(name, cmd=name)
        server.offer("bad", args={"max_time": "soon"})
        refused, broken = await server.result("refuses"), await server.result("breaks")
        assert (refused.state, refused.reason) == (JobState.ERROR, "There is no such thing. Look elsewhere.")
        assert (broken.state, broken.reason) == (JobState.ERROR, "Internal error: ValueError: broken.")
        assert "over the limit" in (await server.result("floods")).reason
        bad = await server.result("bad")
        assert bad.state is JobState.ERROR
        assert "max_time" in bad.reason
    assert "ValueError: broken" in caplog.text


@pytest.mark.parametrize("bad", ["its content", "its check", "its beginning"])
async def test_an_offer_that_cannot_be_taken_fails_alone(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    id_ = "bad"
    for name, faulty in (("verdict", "its check"), ("begin", "its beginning")):
        usual = getattr(Executor, name)

        def breaks(executor: Executor, job: JobOffer, usual: Any = usual, faulty: str = faulty) -> Any:
            if job.id == id_ and bad == faulty:
                raise ValueError("broken")
            return usual(executor, job)

        monkeypatch.setattr(Executor, name, breaks)
    async with node(tmp_path) as server:
        offers = [JobOffer(id=each, cmd="ping") for each in ("a", id_, "b")]
        offers[1] = msgspec.structs.replace(offers[1], data="\ud800" if bad == "its content" else "")
        server.jobs.received(JobOffers(jobs=tuple(offers)))
        failed = await server.result(id_)
        assert failed.state is JobState.ERROR
        assert failed.reason.startswith("Internal error: ")
        assert [(await server.result(each)).state for each in ("a", "b")] == [JobState.OK] * 2
        server.offer("later")
        assert (await server.result("later")).state is JobState.OK
    assert "because of an internal error" in caplog.text


async def test_a_job_that_cannot_be_taken_up_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    async with node(tmp_path, gated(gate)) as server:
        server.offer("bad", "good", cmd="gate", args={"queue": "q"})
        await until(lambda: server.started == ["bad"] and len(server.taken) == 2)
    usual = Executor.recover

    def breaks(executor: Executor, record: Record) -> None:
        if record.offer.id == "bad":
            raise ValueError("broken")
        usual(executor, record)

    monkeypatch.setattr(Executor, "recover", breaks)
    gate.open.set()
    async with node(tmp_path, gated(gate)) as server:
        assert (await server.result("bad")).reason == "Internal error: ValueError: broken."
        assert (await server.result("good")).state is JobState.OK


async def test_a_restart_waits_until_the_server_has_its_result(tmp_path: Path) -> None:
    async with node(tmp_path) as server:
        restarting = asyncio.create_task(server.jobs.restarting())
        server.offer("again", cmd="restart")
        assert (await server.result("again")).state is JobState.OK
        assert not restarting.done()
        server.store("again")
        await restarting


async def test_a_restart_without_a_server_is_answered_in_the_next_life(tmp_path: Path) -> None:
    async with node(tmp_path, linked=False, waits=Waits(restart_s=0.05)) as server:
        server.offer("again", cmd="restart")
        await server.jobs.restarting()
    async with node(tmp_path) as server:
        server.offer("again", cmd="restart", taken=True)
        assert (await server.result("again")).state is JobState.OK
        server.store("again")
        server.offer("ping")
        await server.result("ping")
        assert [result.id for result in server.results] == ["again", "ping"]
