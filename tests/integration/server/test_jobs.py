"""Commands on their way to an agent and back, over the real link and store; the agent is a test."""

from __future__ import annotations

import pytest

from quarterdeck.link.messages import JobOffers, JobResults, JobsStarted, JobsTaken, KillJobs, ResultsStored, Welcome
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, JobResult, JobState
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.server import Server
from tests.integration.server.agent import connected, joined
from tests.support import until

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
OK = JobResult(id="one", state=JobState.OK, cmd="ping", data="{}", level=20)


async def ask(running: Server, command_id: str) -> CommandWithJobs:
    return await running.commands.create(CreateCommand(cmd="ping", id=command_id), OLGA)


async def state(running: Server, command_id: str) -> JobState:
    return (await running.commands.show(command_id)).jobs[0].state


async def in_state(running: Server, command_id: str, wanted: JobState) -> None:
    async def holds() -> bool:
        return await state(running, command_id) is wanted

    await until(holds)


async def test_a_command_reaches_its_agent_and_its_result_is_confirmed(server: Server) -> None:
    agent = await connected(server)
    made = await ask(server, "one")
    assert [(job.node_name, job.state) for job in made.jobs] == [("web-1", JobState.QUEUED)]
    (offer,) = (await agent.expect(JobOffers)).jobs
    assert (offer.id, offer.cmd, offer.taken) == ("one", "ping", False)
    assert offer.expires_in_s is not None
    assert 0 < offer.expires_in_s <= server.config.commands.expires_s

    changes = await server.commands.follow("one")
    assert (await anext(changes)).job.state is JobState.QUEUED
    await agent.say(JobsTaken(ids=("one",)))
    assert (await anext(changes)).job.state is JobState.ACCEPTED
    await agent.say(JobsStarted(ids=("one",)))
    assert (await anext(changes)).job.state is JobState.RUNNING
    await agent.say(JobResults(results=(OK,)))
    assert (await agent.expect(ResultsStored)).ids == ("one",)
    last = await anext(changes)
    assert last.job.result == OK
    with pytest.raises(StopAsyncIteration):
        await anext(changes)

    await agent.say(
        JobResults(results=(JobResult(id="one", state=JobState.ERROR), JobResult(id="x", state=JobState.OK)))
    )
    assert (await agent.expect(ResultsStored)).ids == ("one", "x"), "the agent need not keep either"
    assert (await server.commands.show("one")).jobs[0].result == OK, "of two results the first is kept"
    await agent.close()


async def test_what_was_asked_while_a_node_was_away_waits_for_it_over_a_restart_of_the_server(
    config: ServerConfig,
) -> None:
    first = Server(config)
    await first.start()
    agent = await connected(first)
    await ask(first, "one")
    await agent.expect(JobOffers)
    await agent.say(JobsTaken(ids=("one",)))
    await in_state(first, "one", JobState.ACCEPTED)
    await agent.close()
    await first.stop()

    second = Server(config)
    await second.start()
    two = await ask(second, "two")
    assert "offline since" in two.jobs[0].reason
    await second.commands.kill("one", (), OLGA)
    assert await state(second, "one") is JobState.ACCEPTED, "only the node can say what became of it"
    agent.address = (await second.about.info()).link
    assert isinstance(await agent.connect(), Welcome)
    received = [await agent.receive() for _ in range(3)]
    (offers,) = [message for message in received if isinstance(message, JobOffers)]
    assert [(offer.id, offer.taken) for offer in offers.jobs] == [("one", True), ("two", False)]
    assert KillJobs(ids=("one",)) in received
    killed = JobResult(id="one", state=JobState.KILLED, reason="somebody ended it")
    await agent.say(JobResults(results=(killed,)))
    assert (await agent.expect(ResultsStored)).ids == ("one",)
    assert await state(second, "one") is JobState.KILLED
    await second.nodes.remove("web-1")
    assert (await second.commands.show("two")).jobs[0].reason == "The node was removed."
    assert await state(second, "two") is JobState.LOST
    await agent.close()
    await second.stop()


async def test_a_job_that_nobody_was_offered_expires_by_itself(server: Server) -> None:
    await joined(server)
    await server.commands.create(CreateCommand(cmd="ping", id="one", expires_s=0.001), OLGA)
    await in_state(server, "one", JobState.EXPIRED)
