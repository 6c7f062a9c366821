"""A node's jobs against a model: offered once or often, in queues, killed, too late, over restarts of the agent.

The model knows whose turn it is, what has begun and what came of it. After each step the node must have begun just
that, in that order, each job once, and must have said just one result of each that is over.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from quarterdeck.agent.commands.command import Command, Outcome
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.jobs.jobs import Jobs
from quarterdeck.link.messages import JobOffers
from quarterdeck.model.config import JobsConfig
from quarterdeck.model.jobs import JobOffer, JobResult, JobState
from tests.support import until
from tests.unit.agent.jobs.rig import Server

T = TypeVar("T")
LIMIT = 3
DEADLINE_S = 20.0
QUEUES = st.sampled_from(["", "", "disk", "net"])
COMMANDS = st.sampled_from(["once", "lasts"])  # a job that a restart of the agent ends, and one that continues


class Work:
    """The commands: each job runs until the test sets its outcome."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.gates: dict[str, asyncio.Future[Outcome]] = {}
        self.commands = {"once": Command(run=self.run), "lasts": Command(run=self.run, resume=self.go_on)}

    async def run(self, job: JobOffer) -> Outcome:
        self.began.append(job.id)
        return await self.go_on(job)

    async def go_on(self, job: JobOffer) -> Outcome:
        gate = self.gates[job.id] = asyncio.get_running_loop().create_future()
        try:
            return await gate
        finally:
            del self.gates[job.id]


class NodeMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.home = Path(tempfile.mkdtemp())
        self.work = Work()
        self.offered: dict[str, JobOffer] = {}
        self.waiting: list[str] = []  # in the order of acceptance
        self.running: dict[str, bool] = {}  # whether it counts against the limit
        self.began: list[str] = []
        self.ends: dict[str, JobState] = {}
        self.stored: set[str] = set()
        self.said: dict[str, JobResult] = {}
        self.run(self.live())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def live(self) -> None:
        """Start a run of the agent."""
        self.server = Server(Jobs(self.home, config=JobsConfig(max_jobs=LIMIT), commands=self.work.commands))
        jobs = self.server.jobs
        self.tasks = [asyncio.create_task(work) for work in (jobs.run(), jobs.linked(cast("LiveLink", self.server)))]
        await self.settle()

    async def die(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.server.jobs.close()

    # ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────
    def queue(self, id_: str) -> str:
        return str(self.offered[id_].args["queue"])

    def turn(self) -> None:
        """Start waiting jobs whose turn has come."""
        for id_ in list(self.waiting):
            queue = self.queue(id_)
            busy = queue and queue in map(self.queue, self.running)
            if not busy and sum(self.running.values()) < LIMIT:
                self.waiting.remove(id_)
                self.running[id_] = True
                self.began.append(id_)

    def over(self, id_: str, state: JobState) -> None:
        self.ends[id_] = state
        if id_ in self.waiting:
            self.waiting.remove(id_)
        self.running.pop(id_, None)
        self.turn()

    def name(self, queue: str, cmd: str, *, taken: bool = False, expires_in_s: float | None = None) -> JobOffer:
        id_ = f"job-{len(self.offered)}"
        offer = JobOffer(id=id_, cmd=cmd, args={"queue": queue}, taken=taken, expires_in_s=expires_in_s)
        self.offered[id_] = offer
        return offer

    def offer(self, *offers: JobOffer) -> None:
        self.server.jobs.received(JobOffers(jobs=offers))

    def pick(self, number: int) -> str:
        return list(self.offered)[number % len(self.offered)]

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────
    @rule(new=st.lists(st.tuples(QUEUES, COMMANDS), min_size=1, max_size=4))
    def offers(self, new: list[tuple[str, str]]) -> None:
        offers = [self.name(*each) for each in new]
        for offer in offers:
            self.waiting.append(offer.id)
            self.turn()
        self.offer(*offers)
        self.run(until(lambda: {offer.id for offer in offers} <= set(self.server.taken)))
        self.run(self.settle())

    @precondition(lambda self: bool(self.offered))
    @rule(at=st.integers(0, 50), taken=st.booleans())
    def offers_again(self, at: int, taken: bool) -> None:
        self.server.offer(self.pick(at), cmd="once", taken=taken)
        self.run(self.settle())

    @rule(queue=QUEUES, cmd=COMMANDS, state=st.sampled_from([JobState.EXPIRED, JobState.LOST, JobState.KILLED]))
    def offers_what_is_not_run(self, queue: str, cmd: str, state: JobState) -> None:
        """Offer a job too late, with a lost record, or together with its kill."""
        expires_in_s = 0.0 if state is JobState.EXPIRED else None
        offer = self.name(queue, cmd, taken=state is JobState.LOST, expires_in_s=expires_in_s)
        self.ends[offer.id] = state
        self.offer(offer)
        if state is JobState.KILLED:
            self.server.kill(offer.id)
        self.run(self.settle())

    @precondition(lambda self: bool(self.running))
    @rule(at=st.integers(0, 50), state=st.sampled_from([JobState.OK, JobState.ERROR]))
    def ends_by_itself(self, at: int, state: JobState) -> None:
        id_ = list(self.running)[at % len(self.running)]
        self.work.gates[id_].set_result(Outcome(state=state, data=id_, reason="" if state is JobState.OK else "so"))
        self.over(id_, state)
        self.run(self.settle())

    @precondition(lambda self: bool(self.offered))
    @rule(at=st.integers(0, 50))
    def is_killed(self, at: int) -> None:
        id_ = self.pick(at)
        self.server.kill(id_, "nobody")
        if id_ in self.waiting or id_ in self.running:
            self.over(id_, JobState.KILLED)
        self.run(self.settle())

    @precondition(lambda self: bool(self.ends))
    @rule(at=st.integers(0, 50))
    def is_stored(self, at: int) -> None:
        id_ = list(self.ends)[at % len(self.ends)]
        self.stored.add(id_)
        self.server.store(id_)
        unsent = self.server.jobs._ledger.unsent  # pyright: ignore[reportPrivateUsage]
        self.run(until(lambda: id_ not in {result.id for result in unsent()}))
        self.run(self.settle())

    @rule()
    def restarts(self) -> None:
        self.run(self.die())
        earlier, waiting = self.running, set(self.waiting)
        self.running, self.waiting = {}, []
        for id_ in self.offered:
            if id_ in earlier and self.offered[id_].cmd == "lasts":
                self.running[id_] = False
            elif id_ in earlier:
                self.ends[id_] = JobState.LOST
            elif id_ in waiting:
                self.waiting.append(id_)
            self.turn()
        self.run(self.live())
        self.run(until(lambda: {result.id for result in self.server.results} >= self.ends.keys() - self.stored))
        again = {result.id for result in self.server.results}
        assert again == self.ends.keys() - self.stored, "only what the server may not have is sent again"

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────
    async def settle(self) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await until(lambda: self.work.gates.keys() == self.running.keys() and self.heard() >= self.ends.keys())
        except TimeoutError:
            missing = self.ends.keys() - self.heard()
            raise AssertionError(
                f"{set(self.work.gates)} run, not {set(self.running)}; no result of {missing}"
            ) from None
        assert self.work.began == self.began, "in order, and each once"
        assert {id_: result.state for id_, result in self.said.items()} == self.ends

    def heard(self) -> set[str]:
        for result in self.server.results:
            first = self.said.setdefault(result.id, result)
            assert result == first, "a job has one result"
        return set(self.said)

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.run(self.die())
        finally:
            self.runner.close()
            shutil.rmtree(self.home)


NodeMachine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestNode = NodeMachine.TestCase
