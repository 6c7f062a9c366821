"""Scripts are extracted from requests, stored once, and kept as long as a command or schedule names them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from quarterdeck.link.messages import JobOffers, JobResults
from quarterdeck.model.errors import BadInput, NotFound, TooLarge
from quarterdeck.model.jobs import COMMAND_LIMIT_BYTES, CommandWithJobs, CreateCommand, JobResult, JobState
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.schedules import CreateSchedule
from quarterdeck.model.scripts import SCRIPT_LIMIT_BYTES
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.schedules import Schedules
from quarterdeck.server.scripts import Scripts
from quarterdeck.store.state import scripts as rows
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
SOURCE = "print('ahoy ⚓')\n"
SHA256 = hashlib.sha256(SOURCE.encode()).hexdigest()


def script(cmd: str = "execute_js_py", *, id_: str = "", **args: Any) -> CreateCommand:
    return CreateCommand(cmd=cmd, id=id_, args=args)


async def is_kept(fleet: Services, sha256: str = SHA256) -> bool:
    async with fleet.database.read() as transaction:
        return await rows.has(transaction, sha256)


async def end(fleet: Services, agent: AgentIdentity, made: CommandWithJobs) -> None:
    await fleet.jobs.reported(agent, [JobResults(results=(JobResult(id=made.id, state=JobState.OK),))])


@pytest.mark.parametrize("cmd", ["execute_js_py", "execute_js_lua", "execute_sh"])
async def test_what_is_stored_and_offered_names_the_script_by_its_hash(fleet: Services, cmd: str) -> None:
    agent = await fleet.join("web-1")
    made = await fleet.commands.create(script(cmd, script=SOURCE, args=["-v"]), OLGA)
    assert made.args == {"args": ["-v"], "sha256": SHA256}
    (offers,) = (await fleet.jobs.next(agent, 0)).messages
    assert isinstance(offers, JobOffers)
    assert offers.jobs[0].args == made.args
    chunk = await fleet.artefacts.chunk(SHA256, 0)
    assert (chunk.data, chunk.size) == (SOURCE.encode(), len(SOURCE.encode()))


async def test_a_script_may_be_larger_than_a_command_and_has_a_limit(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.commands.create(script(script="#" * (COMMAND_LIMIT_BYTES * 2)), OLGA)
    await fleet.commands.create(script(script="#" * SCRIPT_LIMIT_BYTES), OLGA)
    with pytest.raises(TooLarge, match=str(SCRIPT_LIMIT_BYTES + 1)):
        await fleet.commands.create(script(script="#" * (SCRIPT_LIMIT_BYTES + 1)), OLGA)
    with pytest.raises(TooLarge, match="with its arguments"):
        await fleet.commands.create(script(script=SOURCE, args=["x" * COMMAND_LIMIT_BYTES]), OLGA)


async def test_a_script_that_is_here_is_named_by_its_hash_alone(fleet: Services) -> None:
    await fleet.join("web-1")
    with pytest.raises(NotFound, match=SHA256):
        await fleet.commands.create(script(sha256=SHA256), OLGA)
    await fleet.commands.create(script(script=SOURCE), OLGA)
    assert (await fleet.commands.create(script(sha256=SHA256), OLGA)).args == {"sha256": SHA256}
    assert (await fleet.commands.create(script(script=SOURCE, sha256=SHA256), OLGA)).args == {"sha256": SHA256}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "needs the argument 'script'"),
        ({"script": None}, "needs the argument 'script'"),
        ({"script": 5}, "found int"),
        ({"script": {"a": 1}}, "found an object"),
        ({"script": "\ud800"}, "UTF-8"),
        ({"sha256": "abc"}, "64 hexadecimal"),
        ({"sha256": SHA256.upper()}, "64 hexadecimal"),
        ({"sha256": 7}, "found int"),
        ({"script": "other", "sha256": SHA256}, "Give only one"),
    ],
)
async def test_what_is_no_script_is_refused(fleet: Services, args: dict[str, Any], words: str) -> None:
    await fleet.join("web-1")
    with pytest.raises(BadInput, match=words):
        await fleet.commands.create(script(**args), OLGA)
    assert await fleet.commands.list() == []


async def test_other_commands_keep_an_argument_of_that_name(fleet: Services) -> None:
    await fleet.join("web-1")
    assert (await fleet.commands.create(script("backup", script=SOURCE), OLGA)).args == {"script": SOURCE}
    assert not await is_kept(fleet)


async def test_what_is_not_asked_of_anybody_is_not_kept(fleet: Services) -> None:
    with pytest.raises(BadInput):
        await fleet.commands.create(script(script=SOURCE), OLGA)  # there is no node
    assert not await is_kept(fleet)


async def test_it_is_kept_for_as_long_as_a_command_names_it_and_can_be_run_again(fleet: Services) -> None:
    commands = fleet.commands_with(kept=1)
    agent = await fleet.join("web-1")
    first = await commands.create(script(script=SOURCE), OLGA)
    await end(fleet, agent, first)
    again = await commands.rerun(first.id, OLGA)
    assert again.args == first.args
    other = await commands.create(script(script="other"), OLGA)
    await end(fleet, agent, other)
    await commands.sweep()  # forgets the first, and `again` has no result yet
    assert await is_kept(fleet)
    await end(fleet, agent, again)
    await end(fleet, agent, await commands.create(CreateCommand(cmd="ping"), OLGA))
    await commands.sweep()
    assert not await is_kept(fleet)


async def test_a_schedule_keeps_its_script(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    commands = fleet.commands_with(kept=1)
    schedules = Schedules(fleet.database, commands=commands, clock=fleet.clock)
    made = await schedules.create(CreateSchedule(name="beat", command=script(script=SOURCE), period_s=10), OLGA)
    assert made.command.args == {"sha256": SHA256}
    for _ in range(3):
        await end(fleet, agent, await commands.create(CreateCommand(cmd="ping"), OLGA))
    await commands.sweep()
    fleet.clock.now += 10
    await schedules.run_due()
    (shown,) = await schedules.list()
    assert shown.reason == ""
    ran = await commands.show(shown.last_command)
    assert ran.args == {"sha256": SHA256}
    await end(fleet, agent, ran)
    await schedules.delete("beat")
    assert await is_kept(fleet), "the command that it asked for names it still"
    for _ in range(3):
        await end(fleet, agent, await commands.create(CreateCommand(cmd="ping"), OLGA))
    await commands.sweep()
    assert not await is_kept(fleet)


async def test_a_schedule_of_what_is_no_script_is_refused(fleet: Services) -> None:
    schedules = Schedules(fleet.database, commands=fleet.commands, clock=fleet.clock)
    for command, error in ((script(), BadInput), (script(sha256=SHA256), NotFound)):
        with pytest.raises(error):
            await schedules.create(CreateSchedule(name="beat", command=command, period_s=10), OLGA)
    assert await schedules.list() == []


async def test_a_script_can_be_read_as_long_as_it_is_kept(fleet: Services) -> None:
    scripts = Scripts(fleet.database)
    with pytest.raises(NotFound, match=f"The server has no script {SHA256}"):
        await scripts.show(SHA256)
    await fleet.join("web-1")
    await fleet.commands.create(script(script=SOURCE), OLGA)
    assert (await scripts.show(SHA256)).source == SOURCE
    for wrong in ("", "x", SHA256[:-1], "\0" * 64):
        with pytest.raises(BadInput, match="Expected a sha256"):
            await scripts.show(wrong)
