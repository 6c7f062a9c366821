"""The contents that a node may fetch: those that its placements and jobs need, and no other, though it has the hash."""

from __future__ import annotations

import hashlib

import pytest

from quarterdeck.link.messages import JobResults
from quarterdeck.model.errors import NotFound
from quarterdeck.model.jobs import CreateCommand, JobResult, JobState
from quarterdeck.model.modules import DeployModule
from quarterdeck.model.nodes import AgentIdentity, Selector
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.files.grants import REMEMBERED, Grants
from tests.services import Services, make_build

ADMIN = ApiToken(id="0", name="ann", role=Role.ADMIN)
FILE = hashlib.sha256(b"a file").hexdigest()
SCRIPT = hashlib.sha256(b"echo hi").hexdigest()


async def may(fleet: Services, agent: AgentIdentity, sha256: str, *, grants: Grants | None = None) -> bool:
    try:
        await (grants or Grants(fleet.database, artefacts=fleet.artefacts)).check(agent, sha256)
    except NotFound:
        return False
    return True


async def ask(fleet: Services, cmd: str, node: str, /, **args: object) -> str:
    request = CreateCommand(cmd=cmd, args=args, selector=Selector(nodes=(node,)))
    return (await fleet.commands.create(request, ADMIN)).id


@pytest.mark.parametrize(
    ("cmd", "args", "sha256"),
    [
        ("put_file", {"path": "/x", "sha256": FILE}, FILE),
        ("execute", {"cmd": "cat", "stdin_sha256": FILE}, FILE),
        ("execute_sh", {"script": "echo hi"}, SCRIPT),
        ("execute_js_lua", {"script": "echo hi"}, SCRIPT),
    ],
)
async def test_what_a_job_names_goes_to_its_node_until_it_is_over(
    fleet: Services, cmd: str, args: dict[str, object], sha256: str
) -> None:
    one, two = await fleet.join("one"), await fleet.join("two")
    assert not await may(fleet, one, sha256)
    command_id = await ask(fleet, cmd, "one", **args)
    assert await may(fleet, one, sha256)
    assert not await may(fleet, two, sha256)
    assert not await may(fleet, one, "0" * 64)
    result = JobResult(id=command_id, cmd=cmd, state=JobState.OK)
    await fleet.jobs.reported(one, [JobResults(results=(result,))])
    assert not await may(fleet, one, sha256)


@pytest.mark.parametrize(
    ("cmd", "args"),
    [
        ("execute", {"cmd": "cat", "args": [FILE]}),
        ("get_file", {"path": "/x", "sha256": FILE}),
        ("execute", {"cmd": "cat", "sha256": FILE}),
        ("put_file", {"path": f"/{FILE}", "sha256": "0" * 64}),
    ],
)
async def test_a_hash_that_is_only_mentioned_opens_nothing(fleet: Services, cmd: str, args: dict[str, object]) -> None:
    agent = await fleet.join("one")
    await ask(fleet, cmd, "one", **args)
    assert not await may(fleet, agent, FILE)


async def test_artefacts_go_to_the_nodes_that_their_module_is_placed_on(fleet: Services) -> None:
    one, two = await fleet.join("one", labels={"role": "web"}), await fleet.join("two")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", DeployModule(selector=Selector(labels={"role": "web"})))
    sha256 = make_build("execs").build.object.sha256
    assert await may(fleet, one, sha256)
    assert not await may(fleet, two, sha256)
    await fleet.modules.undeploy("execs")
    assert not await may(fleet, one, sha256)


async def test_a_grant_holds_for_the_link_so_that_pieces_need_no_look_up(fleet: Services) -> None:
    agent = await fleet.join("one")
    grants = Grants(fleet.database, artefacts=fleet.artefacts)
    command_id = await ask(fleet, "put_file", "one", path="/x", sha256=FILE)
    assert await may(fleet, agent, FILE, grants=grants)
    await fleet.jobs.reported(
        agent, [JobResults(results=(JobResult(id=command_id, cmd="put_file", state=JobState.OK),))]
    )
    assert await may(fleet, agent, FILE, grants=grants)
    grants.left(agent)
    assert not await may(fleet, agent, FILE, grants=grants)


async def test_what_is_remembered_is_bounded(fleet: Services) -> None:
    agent = await fleet.join("one")
    grants = Grants(fleet.database, artefacts=fleet.artefacts)
    hashes = [f"{number:064x}" for number in range(REMEMBERED + 1)]
    ids = [await ask(fleet, "put_file", "one", path="/x", sha256=each) for each in hashes]
    assert all([await may(fleet, agent, each, grants=grants) for each in hashes])
    results = tuple(JobResult(id=each, cmd="put_file", state=JobState.OK) for each in ids)
    await fleet.jobs.reported(agent, [JobResults(results=results)])
    assert not await may(fleet, agent, hashes[0], grants=grants)
    assert await may(fleet, agent, hashes[-1], grants=grants)
