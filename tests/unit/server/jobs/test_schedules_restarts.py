"""Every situation of a schedule, through restarts and kills of the server: no run is lost, and none comes twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quarterdeck.model.errors import NotFound
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.schedules import CreateSchedule, MissedRuns
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.schedules import Schedules
from quarterdeck.store.state.database import Database
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
PERIOD_S = 10
#: seconds that the server is away at most before a run is missed, and longer
SOON_S, LATE_S = 5.0, 125.0


class Deck:
    """A server with a schedule, in several lives."""

    def __init__(self, url: str, folder: Path, stack: AsyncExitStack) -> None:
        self._url, self._folder, self._stack = url, folder, stack
        self.now = 1_800_000_000.0

    async def begin(self) -> None:
        self.database = await Database.open(self._url)
        self._stack.push_async_callback(self.database.close)
        self.server = Services(self.database, self._folder)
        self.server.clock.now = self.now
        self.schedules = Schedules(self.database, commands=self.server.commands, clock=lambda: self.now)

    async def ask(self) -> None:
        """Ask for the first due time, as a server does that is killed before it writes that down."""
        due = datetime.fromtimestamp(self.began + PERIOD_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self.server.commands.create(CreateCommand(cmd="ping", id=f"often@{due}"), OLGA)

    async def reach(self, situation: str, missed: MissedRuns) -> None:
        self.began = self.now
        await self.server.join("web-1")
        command = CreateCommand(cmd="ping")
        await self.schedules.create(
            CreateSchedule(name="often", command=command, period_s=PERIOD_S, missed=missed), OLGA
        )
        if situation == "disabled":
            await self.schedules.enable("often", enabled=False)
        if situation.startswith("due"):
            self.now += PERIOD_S
        if situation.endswith("asked for"):
            await self.ask()

    async def asked(self) -> int:
        return len(await self.server.commands.list())

    def dues(self) -> int:
        return int(self.now - self.began) // PERIOD_S


@pytest.fixture
async def deck(state_url: str, tmp_path: Path) -> AsyncGenerator[Deck]:
    async with AsyncExitStack() as stack:
        made = Deck(state_url, tmp_path, stack)
        await made.begin()
        yield made


@pytest.mark.parametrize("away_s", [SOON_S, LATE_S], ids=["soon", "late"])
@pytest.mark.parametrize("missed", list(MissedRuns))
@pytest.mark.parametrize("event", ["server restarted", "server killed"])
@pytest.mark.parametrize("situation", ["disabled", "waiting", "due", "due and asked for"])
async def test_a_schedule_goes_on_from_every_situation(
    deck: Deck, situation: str, event: str, missed: MissedRuns, away_s: float
) -> None:
    await deck.reach(situation, missed)
    if event == "server restarted":
        await deck.database.close()
    deck.now += away_s
    await deck.begin()
    for _ in range(2):
        await deck.schedules.run_due()
    shown = await deck.schedules.show("often")
    if situation == "disabled":
        assert (shown.next_time, await deck.asked(), shown.missed_runs) == (None, 0, 0)
        deck.began += deck.dues() * PERIOD_S
        assert (await deck.schedules.enable("often", enabled=True)).next_time == deck.began + PERIOD_S
    else:
        assert await deck.asked() + shown.missed_runs == deck.dues(), "each due time was asked for or missed"
        assert shown.next_time == deck.began + (deck.dues() + 1) * PERIOD_S
    before = await deck.asked()
    deck.now = deck.began + (deck.dues() + 1) * PERIOD_S
    await deck.schedules.run_due()
    assert await deck.asked() == before + 1
    await deck.schedules.delete("often")
    deck.now += PERIOD_S
    await deck.schedules.run_due()
    assert await deck.asked() == before + 1
    with pytest.raises(NotFound):
        await deck.schedules.show("often")
