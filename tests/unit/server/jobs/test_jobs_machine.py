"""Jobs against a model: agents accept, crash, lose their ledger, repeat themselves and answer late, nodes go, the
server restarts; each job ends with exactly one result, the first that the server heard of, and never changes after."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quarterdeck.link.messages import JobOffers, JobResults, JobsStarted, JobsTaken, KillJobs
from quarterdeck.model.errors import AlreadyExists
from quarterdeck.model.jobs import CreateCommand, Job, JobOffer, JobResult, JobState, is_final
from quarterdeck.model.nodes import AgentIdentity, NodeKey, Selector
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.state import sqlite_url

T = TypeVar("T")
OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
Place = tuple[str, NodeKey]


@dataclass
class ModelAgent:
    """An agent that does what decision 0016 asks of it. None in its ledger: taken, and no result yet."""

    identity: AgentIdentity
    name: str
    connected: bool = False
    number: int = 0
    ledger: dict[str, JobResult | None] = field(default_factory=dict)
    forgetful: bool = False  #: it lost a ledger: what it ran, it may run again

    @property
    def key(self) -> NodeKey:
        return self.identity.key


class JobsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.fleet = self.open()
        self.agents: dict[NodeKey, ModelAgent] = {}
        self.asked: dict[str, set[NodeKey]] = {}
        self.runs = Counter[Place]()
        self.heard: dict[Place, JobResult] = {}  #: the first result that the server confirmed
        self.final: dict[Place, Job] = {}
        self.ended: set[NodeKey] = set()  #: nodes that were removed, or whose agent was replaced

    def open(self) -> Services:
        folder = Path(self.folder.name)
        return Services(self.run(Database.open(sqlite_url(folder))), folder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.run(self.fleet.database.close())
            self.runner.close()
            self.folder.cleanup()

    def pick(self, number: int) -> ModelAgent:
        return list(self.agents.values())[number % len(self.agents)]

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────
    @initialize()
    def begin(self) -> None:
        for name in ("web-1", "web-2"):
            agent = ModelAgent(self.run(self.fleet.join(name)), name)
            self.agents[agent.key] = agent

    @rule(at=st.integers(0, 5), everywhere=st.booleans(), expires=st.sampled_from([None, 10.0, 50.0]))
    def ask(self, at: int, everywhere: bool, expires: float | None) -> None:
        nodes = () if everywhere else (self.pick(at).name,)
        command_id = f"c{len(self.asked)}"
        request = CreateCommand(cmd="ping", id=command_id, selector=Selector(nodes=nodes), expires_s=expires)
        made = self.run(self.fleet.commands.create(request, OLGA))
        self.asked[command_id] = {job.key for job in made.jobs}
        assert self.asked[command_id] == (set(self.agents) if everywhere else {self.pick(at).key})

    @precondition(lambda self: bool(self.asked))
    @rule(at=st.integers(0, 20), node=st.integers(0, 5))
    def ask_with_an_id_that_was_used(self, at: int, node: int) -> None:
        used = list(self.asked)[at % len(self.asked)]
        request = CreateCommand(cmd="ping", id=used, selector=Selector(nodes=(self.pick(node).name,)))
        with pytest.raises(AlreadyExists):
            self.run(self.fleet.commands.create(request, OLGA))

    @precondition(lambda self: bool(self.asked))
    @rule(at=st.integers(0, 20))
    def kill(self, at: int) -> None:
        self.run(self.fleet.commands.kill(list(self.asked)[at % len(self.asked)], (), OLGA))

    @precondition(lambda self: len(self.agents) > 1)
    @rule(at=st.integers(0, 5))
    def remove(self, at: int) -> None:
        agent = self.pick(at)
        self.run(self.fleet.nodes.remove(agent.name))
        del self.agents[agent.key]
        self.fleet.sessions.here.discard(agent.key)
        self.ended.add(agent.key)

    @rule(at=st.integers(0, 5))
    def replace(self, at: int) -> None:
        old = self.pick(at)
        self.ended.add(old.key)
        self.fleet.sessions.here.discard(old.key)
        identity = self.run(self.fleet.join(old.name, nid=old.key.nid))
        self.agents[old.key] = ModelAgent(identity, old.name, forgetful=True)
        self.say(old, JobResults(results=(JobResult(id="c0", state=JobState.OK),)), counts=False)

    # ── what agents do ───────────────────────────────────────────────────────────────────────────────────────────────
    @rule(at=st.integers(0, 5))
    def connect(self, at: int) -> None:
        agent = self.pick(at)
        self.run(self.fleet.connect(agent.identity))
        agent.connected, agent.number = True, 0
        self.fleet.sessions.here.add(agent.key)

    @rule(at=st.integers(0, 5), cut=st.booleans())
    def take(self, at: int, cut: bool) -> None:
        """It is offered what there is. `cut`: the connection breaks before the server hears that it has it."""
        agent = self.pick(at)
        if not agent.connected:
            return
        upcoming = self.run(self.fleet.jobs.next(agent.identity, agent.number))
        agent.number = upcoming.number
        for message in upcoming.messages:
            match message:
                case JobOffers():
                    for offer in message.jobs:
                        self.accept(agent, offer)
                case KillJobs():
                    for job_id in message.ids:
                        if job_id in agent.ledger and agent.ledger[job_id] is None:
                            agent.ledger[job_id] = JobResult(id=job_id, state=JobState.KILLED)
                case _:
                    raise AssertionError(message)
        if cut:
            self.disconnect(agent)
        else:
            self.say(agent, JobsTaken(ids=tuple(job_id for job_id, result in agent.ledger.items() if result is None)))

    def accept(self, agent: ModelAgent, offer: JobOffer) -> None:
        assert agent.key in self.asked[offer.id]
        assert (offer.id, agent.key) not in self.final, "what has its result is not offered"
        if offer.id in agent.ledger:
            return
        if offer.taken:
            assert agent.forgetful
            agent.ledger[offer.id] = JobResult(id=offer.id, state=JobState.LOST, reason="The ledger was lost.")
        elif offer.expires_in_s == 0:
            agent.ledger[offer.id] = JobResult(id=offer.id, state=JobState.EXPIRED)
        else:
            agent.ledger[offer.id] = None
            self.runs[offer.id, agent.key] += 1
            assert self.runs[offer.id, agent.key] == 1 or agent.forgetful, "it ran twice"

    @rule(at=st.integers(0, 5), state=st.sampled_from([JobState.OK, JobState.ERROR, JobState.TIMEOUT]))
    def work(self, at: int, state: JobState) -> None:
        agent = self.pick(at)
        waiting = [job_id for job_id, result in agent.ledger.items() if result is None]
        self.say(agent, JobsStarted(ids=tuple(waiting)))
        for job_id in waiting:
            agent.ledger[job_id] = JobResult(id=job_id, state=state, data=f"{state} on {agent.name}")

    @rule(at=st.integers(0, 5), unheard=st.booleans())
    def answer(self, at: int, unheard: bool) -> None:
        """It sends its results. `unheard`: the confirmation gets lost, and it will send them again."""
        agent = self.pick(at)
        results = tuple(result for result in agent.ledger.values() if result is not None)
        stored = self.say(agent, JobResults(results=results))
        for job_id in () if unheard else stored:
            del agent.ledger[job_id]

    @precondition(lambda self: bool(self.asked))
    @rule(at=st.integers(0, 5), which=st.integers(0, 20))
    def answer_what_was_answered(self, at: int, which: int) -> None:
        agent, command_id = self.pick(at), list(self.asked)[which % len(self.asked)]
        place = (command_id, agent.key)
        if place in self.final or agent.key not in self.asked[command_id]:
            self.say(agent, JobResults(results=(JobResult(id=command_id, state=JobState.ERROR, data="late"),)))
            self.say(agent, JobsTaken(ids=(command_id,)))

    @rule(at=st.integers(0, 5))
    def crash(self, at: int) -> None:
        agent = self.pick(at)
        self.disconnect(agent)
        for job_id, result in agent.ledger.items():
            if result is None:
                agent.ledger[job_id] = JobResult(id=job_id, state=JobState.LOST, reason="The agent was restarted.")

    @rule(at=st.integers(0, 5))
    def lose_the_ledger(self, at: int) -> None:
        agent = self.pick(at)
        self.disconnect(agent)
        agent.ledger, agent.forgetful = {}, True

    def disconnect(self, agent: ModelAgent) -> None:
        if agent.connected:
            agent.connected = False
            self.fleet.sessions.here.discard(agent.key)
            self.run(self.fleet.nodes.disconnected(agent.identity))

    def say(
        self, agent: ModelAgent, report: JobsTaken | JobsStarted | JobResults, *, counts: bool = True
    ) -> tuple[str, ...]:
        if counts and not agent.connected:
            return ()
        stored = self.run(self.fleet.jobs.reported(agent.identity, [report]))
        if isinstance(report, JobResults):
            assert stored == (tuple(result.id for result in report.results) if counts else ())
            for result in report.results if counts else ():
                if (result.id, agent.key) not in self.final:
                    self.heard.setdefault((result.id, agent.key), result)
        return stored

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────
    @rule()
    def restart_the_server(self) -> None:
        now = self.fleet.clock.now
        self.run(self.fleet.database.close())
        self.fleet = self.open()
        self.fleet.clock.now = now
        self.run(self.fleet.nodes.set_all_offline())
        for agent in self.agents.values():
            agent.connected = False

    @rule(seconds=st.sampled_from([5.0, 20.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.fleet.clock.now += seconds
        self.run(self.fleet.commands.sweep())

    # ── what must always hold ────────────────────────────────────────────────────────────────────────────────────────
    @invariant()
    def a_result_is_the_first_and_stays(self) -> None:
        shown = self.run(self.fleet.commands.jobs(limit=10_000))
        assert {(job.id, job.key) for job in shown} == {
            (command_id, key) for command_id, keys in self.asked.items() for key in keys
        }
        for job in shown:
            place = (job.id, job.key)
            if place in self.final:
                assert job == self.final[place], "it changed after its result"
            elif is_final(job.state):
                self.final[place] = job
                self.check_result(place, job)
            else:
                assert job.result is None
                agent = self.agents[place[1]]
                assert ("offline since" in job.reason) is not agent.connected

    def check_result(self, place: Place, job: Job) -> None:
        if place in self.heard:
            assert job.result is not None
            assert (job.result.state, job.result.data) == (self.heard[place].state, self.heard[place].data)
            assert job.state is job.result.state
            return
        assert job.result is None
        assert job.reason
        if job.state is JobState.LOST:
            assert place[1] in self.ended
        else:
            assert job.state in {JobState.EXPIRED, JobState.KILLED}
            assert not self.runs[place], "the server ended alone what its node had"

    def settle(self) -> None:
        """Everybody comes, works and answers: then every job has its result, and the audit log says so once."""
        for at in range(len(self.agents)):
            self.connect(at)
            self.take(at, cut=False)
            self.work(at, JobState.OK)
            self.answer(at, unheard=False)
        self.a_result_is_the_first_and_stays()
        assert len(self.final) == sum(map(len, self.asked.values()))
        entries = [entry.target for entry in self.run(self.fleet.audit.list()) if entry.action == "endCommand"]
        assert sorted(entries) == sorted(self.asked)
        for command_id, keys in self.asked.items():
            assert len(self.run(self.followed(command_id))) == len(keys)

    async def followed(self, command_id: str) -> list[Job]:
        return [change.job async for change in await self.fleet.commands.follow(command_id)]


JobsMachine.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestJobs = JobsMachine.TestCase
