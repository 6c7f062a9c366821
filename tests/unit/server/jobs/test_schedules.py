from __future__ import annotations

import msgspec
import pytest

from quarterdeck.model.errors import AlreadyExists, BadInput, NoSuchNodes, NotFound, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, JobState
from quarterdeck.model.nodes import Selector
from quarterdeck.model.schedules import CreateSchedule, MissedRuns
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.schedules import LOOK_S, Schedules
from quarterdeck.store.state.database import Database
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
START = 1_800_000_000.0  #: 2027-01-15 08:00:00 UTC
PING = CreateCommand(cmd="ping")


class FakeCommands:
    """Takes each id once, as the server's commands do; what it did outlives the schedules that asked."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.actors: list[ApiToken] = []
        self.selectors: list[Selector] = []
        self.fault: Exception | None = None
        self.faulty = ""  #: the schedule that has the fault; all, if none is named

    async def create(self, request: CreateCommand, actor: ApiToken) -> CommandWithJobs:
        if self.fault is not None and request.id.startswith(self.faulty):
            raise self.fault
        if request.id in self.ids:
            raise AlreadyExists(f"There is already a command '{request.id}'.")
        self.ids.append(request.id)
        self.actors.append(actor)
        self.selectors.append(request.selector)
        return CommandWithJobs(id=request.id, cmd=request.cmd)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def commands() -> FakeCommands:
    return FakeCommands()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedules(database: Database, commands: FakeCommands, clock: Clock) -> Schedules:
    return Schedules(database, commands=commands, clock=clock)


def every(seconds: int, *, missed: MissedRuns = MissedRuns.SKIP, name: str = "often") -> CreateSchedule:
    return CreateSchedule(name=name, command=PING, period_s=seconds, missed=missed)


async def test_each_due_time_is_asked_for_once_as_whoever_made_it(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    made = await schedules.create(every(10), OLGA)
    assert made.next_time == START + 10
    for clock.now in (START + 9.9, START + 10, START + 10.1, START + 19, START + 20, START + 20):
        await schedules.run_due()
    assert commands.ids == ["often@2027-01-15T08:00:10Z", "often@2027-01-15T08:00:20Z"]
    assert (commands.actors[0].name, commands.actors[0].role) == ("olga", Role.OPERATOR)
    (shown,) = await schedules.list()
    assert (shown.last_time, shown.last_command, shown.next_time) == (START + 20, commands.ids[1], START + 30)


async def test_a_cron_line_is_read_in_its_zone(schedules: Schedules) -> None:
    request = CreateSchedule(name="nightly", command=PING, cron="0 30 9 * * *", timezone="Europe/Brussels")
    assert (await schedules.create(request, OLGA)).next_time == START + 1800


async def test_a_server_killed_between_asking_and_storing_asks_for_nothing_twice(
    database: Database, schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10), OLGA)
    clock.now = START + 10
    commands.ids.append("often@2027-01-15T08:00:10Z")  # asked for, and killed before it was written down here
    again = Schedules(database, commands=commands, clock=clock)
    await again.run_due()
    assert commands.ids == ["often@2027-01-15T08:00:10Z"]
    assert (await again.list())[0].next_time == START + 20


async def test_a_clock_that_goes_back_an_hour_repeats_nothing(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10), OLGA)
    for clock.now in (START + 10, START - 3600, START + 5, START + 10, START + 20):
        await schedules.run_due()
    assert len(commands.ids) == len(set(commands.ids)) == 2


@pytest.mark.parametrize(("missed", "ids"), [(MissedRuns.SKIP, []), (MissedRuns.ONCE, ["often@2027-01-15T08:00:10Z"])])
async def test_runs_that_were_missed_are_left_out_or_made_up_for_once(
    schedules: Schedules, commands: FakeCommands, clock: Clock, missed: MissedRuns, ids: list[str]
) -> None:
    await schedules.create(every(10, missed=missed), OLGA)
    clock.now = START + 3605
    await schedules.run_due()
    await schedules.run_due()
    assert commands.ids == ids
    (shown,) = await schedules.list()
    assert shown.next_time == START + 3610
    assert bool(shown.reason) is (missed is MissedRuns.SKIP)
    assert shown.missed_runs == 360 - len(ids)
    assert shown.missed_time == clock.now


@pytest.mark.parametrize(
    ("late_s", "missed"),
    [(0, 0), (59, 0), (86399, 1), (86400, 2), (10 * 86400, 11)],
)
async def test_missed_runs_of_a_cron_line_are_counted(
    schedules: Schedules, clock: Clock, late_s: float, missed: int
) -> None:
    await schedules.create(CreateSchedule(name="nightly", command=PING, cron="0 30 9 * * *"), OLGA)
    due = (await schedules.show("nightly")).next_time
    assert due is not None
    clock.now = due + late_s
    await schedules.run_due()
    shown = await schedules.show("nightly")
    assert shown.missed_runs == missed
    assert (f"{missed} runs were left out" in shown.reason) is (missed > 1)
    assert shown.next_time is not None
    clock.now = shown.next_time
    await schedules.run_due()
    assert (await schedules.show("nightly")).missed_runs == missed, "what was missed stays counted, and once"


async def test_runs_that_a_pause_passed_over_are_counted_too(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(2), OLGA)
    clock.now = START + 41
    await schedules.run_due()
    assert len(commands.ids) == 1
    assert (await schedules.show("often")).missed_runs == 19


async def test_a_run_that_could_not_be_asked_for_is_missed(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10), OLGA)
    commands.fault = NoSuchNodes()
    for clock.now in (START + 10, START + 20):
        await schedules.run_due()
    shown = await schedules.show("often")
    assert (shown.missed_runs, shown.missed_time) == (2, START + 20)


async def test_what_came_of_its_runs_is_shown_with_a_schedule(fleet: Services) -> None:
    await fleet.join("web-1")
    schedules = Schedules(fleet.database, commands=fleet.commands, clock=fleet.clock)
    await schedules.create(
        CreateSchedule(name="a_b", command=CreateCommand(cmd="ping", expires_s=5), period_s=10), OLGA
    )
    await schedules.create(CreateSchedule(name="axb", command=PING, period_s=1000), OLGA)
    for _ in range(2):
        fleet.clock.now += 10
        await schedules.run_due()
    fleet.clock.now += 5
    await fleet.commands.sweep()
    assert (await schedules.show("a_b")).states == {JobState.EXPIRED: 2}
    assert [each.states for each in await schedules.list()] == [{JobState.EXPIRED: 2}, {}]
    with pytest.raises(NotFound):
        await schedules.show("none")


async def test_while_commands_cannot_be_stored_the_due_time_is_kept(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10), OLGA)
    clock.now, commands.fault = START + 10, Unavailable()
    with pytest.raises(Unavailable):
        await schedules.run_due()
    clock.now, commands.fault = START + 12, None
    await schedules.run_due()
    assert commands.ids == ["often@2027-01-15T08:00:10Z"]


async def test_a_fault_in_one_schedule_holds_up_no_other(
    schedules: Schedules, commands: FakeCommands, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await schedules.create(every(10, name="broken"), OLGA)
    await schedules.create(every(11, name="sound"), OLGA)
    clock.now, commands.fault, commands.faulty = START + 12, RuntimeError("a fault of ours"), "broken@"
    assert await schedules.run_due() == LOOK_S, "what stays due is not tried again at once"
    assert commands.ids == ["sound@2027-01-15T08:00:11Z"]
    assert "the schedule 'broken' cannot be run" in caplog.text
    commands.fault = None
    await schedules.run_due()
    assert commands.ids[1:] == ["broken@2027-01-15T08:00:10Z"]


async def test_a_command_that_is_refused_is_a_reason_and_the_next_time_comes(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10), OLGA)
    clock.now, commands.fault = START + 10, NoSuchNodes("None of the 2 nodes that match is online.")
    await schedules.run_due()
    (shown,) = await schedules.list()
    assert "None of the 2 nodes" in shown.reason
    assert shown.next_time == START + 20


async def test_disabled_it_asks_for_nothing_and_enabled_again_makes_up_for_nothing(
    schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await schedules.create(every(10, missed=MissedRuns.ONCE), OLGA)
    assert (await schedules.enable("often", enabled=False)).next_time is None
    clock.now = START + 95
    await schedules.run_due()
    assert (await schedules.enable("often", enabled=True)).next_time == START + 100
    await schedules.run_due()
    assert commands.ids == []
    await schedules.delete("often")
    assert await schedules.list() == []


@pytest.mark.parametrize(
    "request_",
    [
        CreateSchedule(name="", command=PING, period_s=1),
        CreateSchedule(name="a/b", command=PING, period_s=1),
        CreateSchedule(name="a" * 65, command=PING, period_s=1),
        CreateSchedule(name="a", command=PING),
        CreateSchedule(name="a", command=PING, period_s=1, cron="* * * * * *"),
        CreateSchedule(name="a", command=PING, period_s=-1),
        CreateSchedule(name="a", command=PING, period_s=1, timezone="Europe/Brussels"),
        CreateSchedule(name="a", command=PING, period_s=10**18),
        CreateSchedule(name="a", command=PING, cron="0 0 0 30 2 *"),
        CreateSchedule(name="a", command=CreateCommand(cmd="ping", id="x"), period_s=1),
    ],
)
async def test_what_is_no_schedule_is_refused(schedules: Schedules, request_: CreateSchedule) -> None:
    with pytest.raises(BadInput):
        await schedules.create(request_, OLGA)


async def test_a_name_is_given_once_and_one_that_is_not_there_is_said(schedules: Schedules) -> None:
    await schedules.create(every(10), OLGA)
    with pytest.raises(AlreadyExists):
        await schedules.create(every(10), OLGA)
    for name in ("seldom", "a\0b"):
        with pytest.raises(NotFound):
            await schedules.delete(name)
        with pytest.raises(NotFound):
            await schedules.enable(name, enabled=True)


async def test_a_schedule_names_nodes_that_are_there(fleet: Services, schedules: Schedules) -> None:
    await fleet.join("web-1")
    named = msgspec.structs.replace(PING, selector=Selector(nodes=("web-1", "web-9")))
    with pytest.raises(NoSuchNodes, match="'web-9'"):
        await schedules.create(CreateSchedule(name="often", command=named, period_s=10), OLGA)
    assert await schedules.list() == []


async def test_a_node_that_was_removed_later_is_left_out_and_said(
    fleet: Services, schedules: Schedules, commands: FakeCommands, clock: Clock
) -> None:
    await fleet.join("web-1")
    await fleet.join("web-2")
    named = msgspec.structs.replace(PING, selector=Selector(nodes=("web-1", "web-2")))
    await schedules.create(CreateSchedule(name="often", command=named, period_s=10), OLGA)
    await fleet.nodes.remove("web-2")
    clock.now = START + 10
    await schedules.run_due()
    assert commands.selectors == [Selector(nodes=("web-1",))]
    (shown,) = await schedules.list()
    assert "no node 'web-2'" in shown.reason
    await fleet.nodes.remove("web-1")
    clock.now = START + 20
    await schedules.run_due()
    assert commands.selectors[-1] == named.selector, "which means no node, and never all"
