"""A full store of an earlier release is migrated to this one, and keeps its meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from quarterdeck.link.join_tokens import new_join_token
from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.modules import MODULE, InstanceState, ModuleState
from quarterdeck.model.nodes import AgentIdentity, AgentState, NodeKey, Selector
from quarterdeck.model.schedules import CreateSchedule, MissedRuns
from quarterdeck.model.services import SERVICE, ApplyServices, Change, Service
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.store.state import nodes, placements, schedules, tokens
from quarterdeck.store.state.database import MIGRATIONS, Database
from quarterdeck.store.state.engines import create_engines, parse_url
from tests.services import Services, make_build

DEPLOYED, UNDEPLOYED = ModuleState.DEPLOYED, ModuleState.UNDEPLOYED
WEB = Service(name="web", command=("sleep", "9"), selector=Selector(labels={"role": "web"}))
SELECTOR = json.dumps({"labels": {"role": "web"}})
BUILD = make_build("execs").build
MODULE_ID = "6f1c1f0e-6a51-4d0c-9d0e-3a7b7a0f8c11"
SETTINGS = '{"targ_pid": 7}'
NIGHTLY = {"name": "nightly", "command": {"cmd": "ping", "selector": {"roles": ["web"]}}, "cron": "0 0 3 * * *"}
#: of each node: the labels set on the server, and those of its agent, which took precedence
LABELS: dict[int, tuple[dict[str, str], dict[str, str]]] = {
    1: ({"role": "db", "site": "a"}, {"role": "web"}),
    2: ({"role": "web"}, {}),
    3: ({}, {"words": "é \"'\\ ☃"}),
}


def _node(nid: int) -> dict[str, dict[str, Any]]:
    own, said = (json.dumps(labels) for labels in LABELS[nid])
    times = {"create_time": 1.0, "last_update_time": 2.0}
    return {
        "agent": {
            "agent_id": f"agent-{nid}", "gid": 1, "nid": nid, "node_name": f"n{nid}", "state": "ONLINE",
            "version": "0.5", "certificate_serial": f"{nid}", "certificate_expires": 9e9, "seen_at": 5.0, **times,
        },
        "node": {
            "gid": 1, "nid": nid, "name": f"n{nid}", "agent_id": f"agent-{nid}", "labels": own, "agent_labels": said,
            "facts": json.dumps({"hostname": f"host-{nid}"}), "revision": 4, "acted_revision": 3, "joined_at": 1.5,
        },
    }  # fmt: skip


def _rows(certificate_pem: bytes, token_id: str) -> list[tuple[str, dict[str, Any]]]:
    rows: list[tuple[str, dict[str, Any]]] = [("grid", {"gid": 1, "next_nid": 4})]
    for nid in LABELS:
        rows += _node(nid).items()
    join = {
        "gid": 1, "nid": None, "labels": "{}", "certificate_pem": certificate_pem, "created_at": 1.0,
        "expires_at": 9e9, "used_at": None, "used_by": "", "key_sha256": "",
    }  # fmt: skip
    job = {
        "command": 1, "gid": 1, "node_name": "n", "reason": "", "offered": True, "killed": False, "result": None,
        "create_time": 1.0, "accept_time": 1.0, "last_update_time": 1.0,
    }  # fmt: skip
    status = {"instance_id": "i1", "state": "SUCCEEDED", "revision": 4, "attached": ["tracepoint"]}
    instance = {
        "module_id": MODULE_ID, "gid": 1, "digest": BUILD.digest, "settings": SETTINGS, "status": json.dumps(status),
        "stats": json.dumps({"instance_id": "i1", "rows": 7}), "create_time": 1.0, "last_update_time": 2.0,
    }  # fmt: skip
    placed = {"name": "web", "gid": 1, "version": WEB.version, "wanted": True, "revision": 4, "last_update_time": 1.0}
    return [
        *rows,
        ("join_token", join | {"id": token_id}),
        ("join_token", join | {"id": "used", "labels": '{"role":"db"}', "used_at": 2.0, "used_by": "agent-1"}),
        (
            "api_token",
            {"id": "a1", "name": "me", "role": "admin", "secret_sha256": "0", "created_at": 1.0, "expires_at": None},
        ),
        (
            "service",
            {
                "name": "web", "group_name": "shop", "version": WEB.version, "actor": "me", "create_time": 1.0,
                "body": json.dumps({"name": "web", "command": ["sleep", "9"], "selector": json.loads(SELECTOR)}),
                "last_update_time": 2.0,
            },
        ),
        *(("service_on_node", placed | {"nid": nid, "status": None}) for nid in (1, 2)),
        ("build", {"digest": BUILD.digest, "body": msgspec.json.encode(BUILD).decode(), "created_at": 1.0}),
        (
            "module",
            {
                "id": MODULE_ID, "name": "execs", "digest": BUILD.digest, "builtin": False, "desire_state": "DEPLOYED",
                "selector": SELECTOR, "settings": SETTINGS, "create_time": 1.0, "last_update_time": 2.0,
            },
        ),
        ("instance", instance | {"id": "i1", "nid": 1, "desire_state": "DEPLOYED", "revision": 4}),
        ("instance", instance | {"id": "i3", "nid": 3, "desire_state": "UNDEPLOYED", "revision": 2}),
        (
            "schedule",
            {
                "name": "nightly", "command": json.dumps(NIGHTLY["command"]), "cron": NIGHTLY["cron"],
                "timezone": "UTC", "period_s": 0, "missed": "once", "enabled": True, "actor": "me", "role": "admin",
                "create_time": 1.0, "next_time": 7.0, "last_time": 6.0, "last_command": "c1", "reason": "",
                "script": None,
            },
        ),
        (
            "command",
            {
                "number": 1, "id": "c1", "cmd": "ping", "args": "{}", "data": '""', "selector": SELECTOR, "actor": "me",
                "role": "admin", "create_time": 1.0, "expires_at": None, "ended_at": None, "script": None,
            },
        ),
        *(("job", job | {"nid": nid, "state": state, "change": nid}) for nid, state in ((1, "RUNNING"), (2, "QUEUED"))),
        ("redis_command", {"command": 1, "digest": "d", "tags": '""', "jobs": 2, "delivered": 0}),
    ]  # fmt: skip


def _make(connection: Connection, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0006")
    for table, row in rows:
        names = ", ".join(row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row)


async def write_0006(url: str) -> str:
    """Make the store as the release with migration 0006 left it; return the unused join token."""
    join_token, token_id, certificate_pem = new_join_token(b"\0" * 32)
    engines = create_engines(parse_url(url))
    async with engines.write.begin() as connection:
        await connection.run_sync(_make, _rows(certificate_pem, token_id))
    for engine in {engines.read, engines.write}:
        await engine.dispose()
    assert join_token
    return token_id


def agent(nid: int) -> AgentIdentity:
    return AgentIdentity(agent_id=f"agent-{nid}", gid=1, nid=nid, serial=f"{nid}")


async def test_nodes_keep_the_labels_in_force_and_their_agents_can_change_them_no_more(
    state_url: str, tmp_path: Path
) -> None:
    await write_0006(state_url)
    database = await Database.open(state_url)
    fleet = Services(database, tmp_path)
    before = {node.nid: node for node in await fleet.nodes.list()}
    assert {nid: node.labels for nid, node in before.items()} == {nid: o | a for nid, (o, a) in LABELS.items()}
    assert {node.facts.hostname for node in before.values()} == {"host-1", "host-2", "host-3"}
    assert all((node.revision, node.acted_revision, node.held_revision) == (4, 3, 0) for node in before.values())
    assert all(not node.claimed_labels for node in before.values())
    for nid, (_, said) in LABELS.items():
        welcome = await fleet.connect(agent(nid), acted=3, labels=said)
        assert welcome.notices == ()
    assert {node.nid: node.labels for node in await fleet.nodes.list()} == {n: b.labels for n, b in before.items()}
    await fleet.connect(agent(2), acted=3, labels={"role": "db"})
    changed = await fleet.nodes.show("n2")
    assert (changed.labels, changed.claimed_labels) == ({"role": "web"}, {"role": "db"})
    async with database.read() as transaction:
        assert [(link.state, link.key.nid) for link in (await nodes.find_links(transaction, ["agent-1"])).values()]
    await database.close()


async def test_services_schedules_jobs_and_tokens_are_what_they_were(state_url: str, tmp_path: Path) -> None:
    token_id = await write_0006(state_url)
    database = await Database.open(state_url)
    fleet = Services(database, tmp_path)
    me = ApiToken(id="a1", name="me", role=Role.ADMIN)
    applied = await fleet.services.apply(ApplyServices(services=(WEB,), group="shop"), me)
    assert [(each.name, each.change, each.nodes) for each in applied.changes] == [("web", Change.UNCHANGED, 2)]
    assert [one.nid for one in (await fleet.services.show("web")).nodes] == [1, 2]
    async with database.read() as transaction:
        placed = {(row.kind, row.name) for row in await placements.find_on(transaction, NodeKey(1, 1))}
        (nightly,) = await schedules.find_all(transaction)
        joins = {token.id: token for token in await tokens.find_all_join(transaction)}
        (api,) = await tokens.find_all_api(transaction)
    assert placed == {(MODULE, MODULE_ID), (SERVICE, "web")}
    wanted = CreateSchedule(
        name="nightly", command=CreateCommand(cmd="ping", selector=Selector(roles=("web",))), cron="0 0 3 * * *",
        missed=MissedRuns.ONCE,
    )  # fmt: skip
    assert (nightly.command, nightly.cron, nightly.missed) == (wanted.command, wanted.cron, wanted.missed)
    assert (nightly.next_time, nightly.last_command) == (7.0, "c1")
    assert (nightly.missed_runs, nightly.missed_time) == (0, None)
    assert (joins[token_id].labels, joins[token_id].allow_labels, joins[token_id].used_at) == ({}, None, None)
    assert (joins["used"].labels, joins["used"].used_by) == ({"role": "db"}, "agent-1")
    assert api.info.name == "me"
    shown = await fleet.commands.show("c1")
    assert [job.state for job in shown.jobs] == [JobState.RUNNING, JobState.QUEUED]
    await database.close()


async def test_instances_and_services_on_nodes_are_placed_as_they_were(state_url: str, tmp_path: Path) -> None:
    await write_0006(state_url)
    database = await Database.open(state_url)
    fleet = Services(database, tmp_path)
    there, going = await fleet.modules.instances("execs")
    assert (there.nid, there.desire_state, going.nid, going.desire_state) == (1, DEPLOYED, 3, UNDEPLOYED)
    assert (there.status.state, there.status.attached[-1]) == (InstanceState.SUCCEEDED, "tracepoint")
    assert there.stats is not None
    assert (there.stats.rows, there.stats.instance_id) == (7, there.id)
    (wanted,) = await fleet.wanted_modules(NodeKey(1, 1))
    assert (wanted.build, wanted.settings) == (BUILD, {"targ_pid": 7})
    assert [each.read().command for each in await fleet.wanted_services(NodeKey(1, 1))] == [WEB.command]
    async with database.write() as transaction:
        assert await fleet.placements.place(transaction, keys=[NodeKey(1, 1)]) == set(), "no version is another"
        assert await fleet.placements.place(transaction) == {NodeKey(1, 2)}, "it was not on a node that it matches"
    await fleet.connect(agent(3))
    await fleet.report(agent(3), MODULE, revision=4)
    assert [instance.nid for instance in await fleet.modules.instances("execs")] == [1, 2]
    await database.close()


async def test_agents_of_no_server_are_offline_when_one_starts(state_url: str, tmp_path: Path) -> None:
    await write_0006(state_url)
    database = await Database.open(state_url)
    fleet = Services(database, tmp_path)
    assert {node.state for node in await fleet.nodes.list()} == {AgentState.ONLINE}
    await fleet.nodes.set_all_offline()
    assert {node.state for node in await fleet.nodes.list()} == {AgentState.OFFLINE}
    await database.close()


async def test_a_second_start_changes_nothing_more(state_url: str, tmp_path: Path) -> None:
    await write_0006(state_url)
    database = await Database.open(state_url)
    fleet = Services(database, tmp_path)
    await fleet.nodes.label("n1", {"role": "other"})
    await database.close()
    database = await Database.open(state_url)
    assert (await Services(database, tmp_path).nodes.show("n1")).labels == {"role": "other", "site": "a"}
    await database.close()
