"""What people ask of nodes: which are meant, what is refused, how a command ends where no node was offered it."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.link.messages import JobOffers, JobResults, JobsTaken, KillJobs
from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NoSuchNodes, NotFound, TooLarge
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, CommandWithJobs, CreateCommand, Expiry, JobResult, JobState
from quarterdeck.model.nodes import AgentIdentity, NodeKey, Selector
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.jobs import OFFERS, RESULT_LIMIT_BYTES
from quarterdeck.store.state import jobs as rows
from tests.services import Services, name_alike

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)


async def ask(fleet: Services, command_id: str = "", *, expires_s: float | None = None) -> CommandWithJobs:
    return await fleet.commands.create(CreateCommand(cmd="ping", id=command_id, expires_s=expires_s), OLGA)


async def answer(fleet: Services, agent: AgentIdentity, *results: JobResult) -> tuple[str, ...]:
    return await fleet.jobs.reported(agent, [JobResults(results=results)])


def states(command: CommandWithJobs) -> list[JobState]:
    return [job.state for job in command.jobs]


async def test_an_id_is_given_once(fleet: Services) -> None:
    await fleet.join("web-1")
    await ask(fleet, "deploy-7 ⚓")
    with pytest.raises(AlreadyExists, match="deploy-7"):
        await ask(fleet, "deploy-7 ⚓")
    made, other = await ask(fleet), await ask(fleet)
    assert made.id != other.id
    assert [command.id for command in await fleet.commands.list(limit=2)] == [other.id, made.id]


@pytest.fixture
async def searched(fleet: Services) -> Services:
    """Return a fleet with three commands, of which the last ran on one node only."""
    for name in ("web-1", "db_1"):
        await fleet.join(name)
    uptime = CreateCommand(cmd="execute", args={"cmd": "uptime", "args": ["-p"]}, id="Deploy-7")
    on_db = CreateCommand(cmd="get_disk_info", id="disk", selector=Selector(nodes=("db_1",)))
    for request in (uptime, CreateCommand(cmd="ping", args={"n": "100%"}, id="p"), on_db):
        await fleet.commands.create(request, OLGA)
    return fleet


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["disk", "p", "Deploy-7"]),
        ("UPTIME", ["Deploy-7"]),
        ("-p", ["Deploy-7"]),
        ("deploy", ["Deploy-7"]),
        ("7", []),
        ("web", ["p", "Deploy-7"]),
        ("db_", ["disk", "p", "Deploy-7"]),
        ("disk db", ["disk"]),
        ("disk web", []),
        ("%", ["p"]),
        ("d_sk", []),
    ],
)
async def test_commands_are_found_by_name_arguments_node_and_the_begin_of_their_id(
    searched: Services, text: str, found: list[str]
) -> None:
    assert [command.id for command in await searched.commands.list(text=text)] == found
    assert [command.id for command in await searched.commands.list(text=text, limit=1)] == found[:1]


async def test_only_the_newest_commands_are_searched(searched: Services) -> None:
    async with searched.database.read() as transaction:
        assert await rows.find_newest(transaction, 10, words=["uptime"], searched=2) == []
        assert len(await rows.find_newest(transaction, 10, words=["uptime"], searched=3)) == 1


@pytest.mark.parametrize("text", ["a\0", "x " * 9, "x" * 201])
async def test_a_text_that_cannot_be_searched_is_refused(fleet: Services, text: str) -> None:
    with pytest.raises(BadInput, match="A search has"):
        await fleet.commands.list(text=text)


@pytest.mark.parametrize("bad", ["a\nb", "a\0", "x" * 129, ".", "a/b"])
async def test_what_cannot_be_an_id_is_refused(fleet: Services, bad: str) -> None:
    await fleet.join("web-1")
    with pytest.raises(BadInput, match="1 to 128 printable"):
        await ask(fleet, bad)
    with pytest.raises(NotFound):
        await fleet.commands.show(bad)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (CreateCommand(cmd=""), BadInput),
        (CreateCommand(cmd="ping", expires_s=0), BadInput),
        (CreateCommand(cmd="ping", expires_s=1e300), BadInput),
        (CreateCommand(cmd="ping", args={"n": 2**70}), BadInput),
        (CreateCommand(cmd="ping", data="x" * COMMAND_LIMIT_BYTES), TooLarge),
        (CreateCommand(cmd="ping", selector=Selector(nodes=("web-9",))), NoSuchNodes),
        (CreateCommand(cmd="ping", any=True), NoSuchNodes),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    fleet: Services, request_: CreateCommand, error: type[Exception]
) -> None:
    await fleet.join("web-1")
    with pytest.raises(error):
        await fleet.commands.create(request_, OLGA)
    assert await fleet.commands.list() == []


@pytest.mark.parametrize("any_", [False, True])
async def test_a_mistyped_node_among_others_is_an_error_and_nothing_is_asked(fleet: Services, any_: bool) -> None:
    await fleet.connect(await fleet.join("web-1"))
    request = CreateCommand(cmd="ping", any=any_, selector=Selector(nodes=("web-1", "web-9", "1/7")))
    with pytest.raises(NoSuchNodes, match="'web-9', '1/7'") as caught:
        await fleet.commands.create(request, OLGA)
    assert caught.value.hint == "Did you mean web-1?"
    assert await fleet.commands.list() == []


async def test_a_kill_of_a_mistyped_node_among_others_kills_nothing(fleet: Services) -> None:
    await fleet.join("web-1")
    await ask(fleet, "c")
    with pytest.raises(NoSuchNodes, match="no job on 'web-9'"):
        await fleet.commands.kill("c", ("web-1", "web-9"), OLGA)
    assert states(await fleet.commands.show("c")) == [JobState.QUEUED]


async def test_the_same_again_is_asked_of_the_nodes_that_are_still_there(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.join("web-2")
    await ask(fleet, "c")
    await fleet.nodes.remove("web-2")
    again = await fleet.commands.rerun("c", OLGA)
    assert [job.node_name for job in again.jobs] == ["web-1"]
    await fleet.nodes.remove("web-1")
    with pytest.raises(NoSuchNodes):
        await fleet.commands.rerun("c", OLGA)


async def test_any_is_one_that_is_online_and_not_always_the_same(fleet: Services) -> None:
    for name in ("web-1", "web-2", "web-3"):
        agent = await fleet.join(name)
        if name != "web-1":
            await fleet.connect(agent)
    asked: list[str] = []
    for number in range(20):
        made = await fleet.commands.create(CreateCommand(cmd="ping", id=f"c{number}", any=True), OLGA)
        (job,) = made.jobs
        asked.append(job.node_name)
    assert set(asked) == {"web-2", "web-3"}


@pytest.mark.parametrize(
    ("said", "usual", "expected"),
    [(None, 3600.0, 3600.0), (None, 0.0, None), (60.0, 3600.0, 60.0), ("never", 3600.0, None)],
)
async def test_a_command_that_does_not_say_expires_when_the_server_says(
    fleet: Services, said: Expiry, usual: float, expected: float | None
) -> None:
    await fleet.join("web-1")
    commands = fleet.commands_with(expires_s=usual)
    made = await commands.create(CreateCommand(cmd="reboot", id="c", expires_s=said), OLGA)
    assert made.expires_at == (None if expected is None else fleet.clock.now + expected)
    assert ("expires if it is not back by" in made.jobs[0].reason) is (expected is not None)
    fleet.clock.now += 3601
    await commands.sweep()
    (job,) = (await commands.show("c")).jobs
    assert job.state is (JobState.QUEUED if expected is None else JobState.EXPIRED)
    again = await commands.rerun("c", OLGA)
    assert again.expires_at == (None if expected is None else fleet.clock.now + expected)


async def test_a_job_waits_with_the_reason_and_expires_only_if_it_was_not_offered(fleet: Services) -> None:
    here, away = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.connect(here)
    made = await ask(fleet, "c", expires_s=60)
    assert [("offline since" in job.reason) for job in made.jobs] == [False, True]
    (offers,) = (await fleet.jobs.next(here, 0)).messages
    assert isinstance(offers, JobOffers)
    assert offers.jobs[0].expires_in_s == 60
    fleet.clock.now += 61
    await fleet.commands.sweep()
    assert states(await fleet.commands.show("c")) == [JobState.QUEUED, JobState.EXPIRED]
    assert (await fleet.jobs.next(away, 0)).messages == []
    await answer(fleet, here, JobResult(id="c", state=JobState.EXPIRED))
    assert (await fleet.commands.show("c")).states == {JobState.EXPIRED: 2}


async def test_a_kill_ends_what_was_not_offered_and_asks_the_node_of_the_rest(fleet: Services) -> None:
    here, _ = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.connect(here)
    await ask(fleet, "c")
    await fleet.jobs.next(here, 0)
    killed = await fleet.commands.kill("c", (), OLGA)
    assert states(killed) == [JobState.QUEUED, JobState.KILLED]
    assert "olga" in killed.jobs[0].reason
    assert KillJobs(ids=("c",)) in (await fleet.jobs.next(here, 0)).messages
    with pytest.raises(NoSuchNodes, match="web-9"):
        await fleet.commands.kill("c", ("web-9",), OLGA)
    with pytest.raises(NotFound):
        await fleet.commands.kill("d", (), OLGA)


async def test_only_the_node_a_job_belongs_to_may_answer_and_the_first_answer_stays(fleet: Services) -> None:
    one, other = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.commands.create(CreateCommand(cmd="ping", id="c", selector=Selector(nodes=("web-1",))), OLGA)
    assert await answer(fleet, other, JobResult(id="c", state=JobState.ERROR)) == ("c",), "it need not keep it"
    assert states(await fleet.commands.show("c")) == [JobState.QUEUED]
    first = JobResult(id="c", cmd="ping", state=JobState.OK, data="1", level=20)
    await answer(fleet, one, first, JobResult(id="c", state=JobState.ERROR, data="2"))
    await fleet.jobs.reported(one, [JobsTaken(ids=("c",))])
    (job,) = (await fleet.commands.show("c")).jobs
    assert (job.state, job.result) == (JobState.OK, first)
    assert [job.id for job in await fleet.commands.jobs(Selector(nodes=("web-1",)), state=JobState.OK)] == ["c"]
    assert await fleet.commands.jobs(Selector(nodes=("web-2",))) == []


async def test_jobs_are_listed_of_one_node_and_no_other(fleet: Services) -> None:
    for name in ("web", "other"):
        await fleet.join(name)
    await name_alike(fleet, "web")
    await ask(fleet, "c")
    (job,) = await fleet.commands.jobs(Selector(nodes=("1/2",)))
    assert job.key == (1, 2)
    with pytest.raises(Conflict, match=r"web \(1/1\), web \(1/2\)"):
        await fleet.commands.jobs(Selector(nodes=("web",)))
    with pytest.raises(NoSuchNodes, match="web-9"):
        await fleet.commands.jobs(Selector(nodes=("web-9",)))


async def test_a_result_is_bounded_and_says_so(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await ask(fleet, "c")
    lines = "".join(f"{n} \0{'⚓' * 300}\n" for n in range(3000))
    await answer(fleet, agent, JobResult(id="c", state=JobState.RUNNING, data="x" * 9_000_000, streams=(lines, lines)))
    (job,) = (await fleet.commands.show("c")).jobs
    assert job.state is JobState.ERROR, "a result is a result"
    assert job.result is not None
    assert job.result.streams[0].endswith("⚓\n")
    assert sum(map(len, (job.result.data, *job.result.streams))) < RESULT_LIMIT_BYTES
    assert "the end is kept" in job.reason


async def test_who_asked_and_how_it_ended_is_in_the_audit_log_once(fleet: Services) -> None:
    agents = [await fleet.join("web-1"), await fleet.join("web-2")]
    await ask(fleet, "c")
    await answer(fleet, agents[0], JobResult(id="c", state=JobState.OK))
    assert await fleet.audit.list() == []
    for state in (JobState.ERROR, JobState.OK):
        await answer(fleet, agents[1], JobResult(id="c", state=state))
    (entry,) = await fleet.audit.list()
    assert (entry.actor, entry.role, entry.action, entry.target) == ("olga", "operator", "endCommand", "c")
    assert (entry.result, entry.detail) == ("failed", "ping: ERROR 1, OK 1")


async def test_a_command_runs_again_where_it_ran(fleet: Services) -> None:
    await fleet.join("web-1")
    old = await fleet.commands.create(CreateCommand(cmd="ping", args={"a": 1}, data="d", expires_s=60), OLGA)
    await fleet.join("web-2")
    again = await fleet.commands.rerun(old.id, OLGA)
    assert again.id != old.id
    assert (again.cmd, again.args, again.expires_at) == ("ping", {"a": 1}, fleet.clock.now + 60)
    assert [job.node_name for job in again.jobs] == ["web-1"]


async def test_a_follower_resumes_after_any_event_and_hears_of_the_end(fleet: Services) -> None:
    agents = [await fleet.join("web-1"), await fleet.join("web-2")]
    await ask(fleet, "c")
    changes = await fleet.commands.follow("c")
    first = await anext(changes)
    assert (first.job.node_name, first.job.state) == ("web-1", JobState.QUEUED)
    resumed = await fleet.commands.follow("c", str(first.number))
    assert (await anext(resumed)).job.node_name == "web-2"
    waiting = asyncio.ensure_future(anext(resumed))
    await answer(fleet, agents[1], JobResult(id="c", state=JobState.OK))
    assert (await waiting).job.state is JobState.OK
    await fleet.nodes.remove("web-1")
    assert [change.job.reason async for change in resumed] == ["The node was removed."]
    for bad in ("x", "-1", "9" * 30, "²"):
        with pytest.raises(BadInput, match="id of an event"):
            await fleet.commands.follow("c", bad)


async def test_many_jobs_are_offered_in_parts(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    for number in range(OFFERS + 1):
        await ask(fleet, f"c{number}")
    first = await fleet.jobs.next(agent, 0)
    second = await fleet.jobs.next(agent, first.number)
    assert (first.more, second.more) == (True, False)
    offered = [offer.id for part in (first, second) for each in part.messages for offer in getattr(each, "jobs", ())]
    assert offered == [f"c{number}" for number in range(OFFERS + 1)]


async def test_old_commands_that_are_over_are_forgotten(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    commands = fleet.commands_with(kept=2)
    for number in range(5):
        await ask(fleet, f"c{number}")
        if number != 1:
            await answer(fleet, agent, JobResult(id=f"c{number}", state=JobState.OK))
    await commands.sweep()
    assert [command.id for command in await commands.list()] == ["c4", "c3", "c1"]
    assert len(await commands.jobs()) == 3


async def test_whoever_waits_gets_the_results_as_they_were_stored(fleet: Services) -> None:
    agents = [await fleet.join(name) for name in ("web-1", "web-2")]
    asked = CreateCommand(cmd="ping", id="c")
    waiting = asyncio.create_task(fleet.commands.create(asked, OLGA, wait_s=1e9))
    while not fleet.sessions.woken_for_jobs:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await fleet.jobs.reported(agents[0], [JobsTaken(ids=("c",))])
    fleet.clock.now += 5
    await answer(fleet, agents[0], JobResult(id="c", state=JobState.OK, data="{}"))
    assert not waiting.done()
    await answer(fleet, agents[1], JobResult(id="c", state=JobState.ERROR, reason="no"))
    made = await waiting
    assert states(made) == [JobState.OK, JobState.ERROR]
    assert made.jobs == (await fleet.commands.show("c")).jobs
    assert made.states == {JobState.OK: 1, JobState.ERROR: 1}


async def test_when_the_time_is_up_the_answer_says_how_it_is(fleet: Services) -> None:
    await fleet.connect(await fleet.join("web-1"))
    made = await fleet.commands.create(CreateCommand(cmd="ping"), OLGA, wait_s=0.001)
    assert states(made) == [JobState.QUEUED]
    again = await fleet.commands.create(CreateCommand(cmd="ping"), OLGA, wait_s=float("nan"))
    assert states(again) == [JobState.QUEUED]


async def test_a_new_job_is_offered_from_memory_to_who_was_here_when_it_was_stored(fleet: Services) -> None:
    here, away = await fleet.join("web-1"), await fleet.join("web-2")
    fleet.sessions.here.add(NodeKey(here.gid, here.nid))
    await fleet.commands.create(CreateCommand(cmd="ping", id="c", expires_s=60), OLGA)
    ((key, offer),) = fleet.sessions.offered
    assert (key.nid, offer.id, offer.expires_in_s, offer.taken) == (here.nid, "c", 60.0, False)
    assert [key.nid for key in fleet.sessions.woken_for_jobs] == [here.nid, away.nid]


@pytest.mark.parametrize("limit", [0, -1, 10_001])
async def test_a_list_of_nothing_or_of_too_much_is_refused(fleet: Services, limit: int) -> None:
    with pytest.raises(BadInput, match="1 to 10000"):
        await fleet.commands.list(limit=limit)
    with pytest.raises(BadInput, match="1 to 10000"):
        await fleet.commands.jobs(limit=limit)


async def test_a_state_that_there_is_not_is_refused(fleet: Services) -> None:
    with pytest.raises(BadInput, match="QUEUED, ACCEPTED"):
        await fleet.commands.jobs(state=JobState("DONE"))
