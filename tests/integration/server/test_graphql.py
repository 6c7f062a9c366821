"""GraphQL over HTTP: what it reads, changes and follows, and what it refuses; the agent is a test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import build_schema

from quarterdeck.api.graphql.fields import handlers
from quarterdeck.api.graphql.schema import schema
from quarterdeck.client import AsyncClient
from quarterdeck.link.messages import JobOffers, JobResults
from quarterdeck.model.errors import BadQuery, NotFound
from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.model.services import ApplyServices, Service
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server
from tests.integration.server.agent import connected, joined
from tests.integration.server.graphql import ask, codes, examples, follow, http

CORE = build_schema(schema().as_str())
READ = """
query Q($first: BigInt!) {
  nodes(first: $first) { totalCount nodes { ...N } edges { cursor node { nid } } pageInfo { hasNextPage endCursor } }
  serverInfo { nodes __typename }
  modules { name instances { id } }
}
fragment N on Node { called: name labels facts { cpus } services { name on: node { name } } instances { moduleName } }
"""


async def apply(client: AsyncClient, *names: str) -> None:
    await client.services.apply(ApplyServices(services=tuple(Service(name=n, command=("sleep", "9")) for n in names)))


async def test_nouns_are_read_with_what_belongs_to_them(server: Server, client: AsyncClient) -> None:
    await joined(server)
    await apply(client, "a", "b")
    answer = await ask(client, READ, first=5)
    assert "errors" not in answer
    nodes = answer["data"]["nodes"]
    assert (nodes["totalCount"], nodes["edges"][0]["node"]) == (1, {"nid": 1})
    services = [{"name": name, "on": {"name": "web-1"}} for name in ("a", "b")]
    assert (
        nodes["nodes"]
        == [{"called": "web-1", "labels": {"role": "web"}, "facts": {"cpus": 0}, "services": services, "instances": []}]
        or nodes["nodes"][0]["services"] == services
    )
    assert nodes["pageInfo"] == {"hasNextPage": False, "endCursor": nodes["edges"][0]["cursor"]}
    assert answer["data"]["serverInfo"] == {"nodes": 1, "__typename": "ServerInfo"}
    assert answer["data"]["modules"] == [{"name": "counted", "instances": []}]


async def test_a_list_is_read_page_by_page_while_it_grows(server: Server, client: AsyncClient) -> None:
    await joined(server)
    make = 'mutation M($id: String) { createCommand(input: {cmd: "ping", id: $id}) { id states jobs { state } } }'
    for number in range(5):
        assert "errors" not in await ask(client, make, id=f"c{number}")
    query = (
        "query J($after: String) { jobs(first: 2, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }"
    )
    seen, after, more = [], None, True
    while more:
        page = (await ask(client, query, after=after))["data"]["jobs"]
        seen += [job["id"] for job in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        if len(seen) == 2:
            await ask(client, make, id="new")
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    for wrong in ("nonsense", "MDp4", "é"):
        assert await codes(client, query, after=wrong) == ["bad_input"], wrong
    assert await codes(client, "{ jobs(first: 0) { nodes { id } } }") == ["bad_input"]


async def test_a_change_is_audited_as_its_route_does(server: Server, client: AsyncClient) -> None:
    await joined(server)
    token = (await client.api_tokens.create("olga", Role.OPERATOR)).token
    change = """mutation {
      label: labelNode(node: "web-1", input: {tier: "front"}) { labels }
      apply: applyServices(input: {services: [{name: "a", command: ["true"], maxTime: 5}]}) { changes { name change } }
      wrong: restartService(service: "b", input: {}) { id }
      refused: removeNode(node: "web-1")
      create: createCommand(input: {cmd: "ping", id: "c", args: {n: 1}, expiresS: "never"}) { id }
      invalid: createSchedule(input: {name: "s", command: {cmd: "ping"}, missed: skip, periodS: -1}) { name }
    }"""
    answer = await ask(client, change, token=token)
    assert answer["data"]["label"]["labels"]["tier"] == "front"
    assert answer["data"]["apply"] == {"changes": [{"name": "a", "change": "added"}]}
    assert answer["data"]["create"] == {"id": "c"}
    found = {error["path"][0]: error for error in answer["errors"]}
    assert {place: error["extensions"]["code"] for place, error in found.items()} == {
        "wrong": "not_found", "refused": "forbidden", "invalid": "bad_input",
    }  # fmt: skip
    assert found["wrong"]["extensions"]["status"] == 404
    assert found["wrong"]["extensions"]["hint"]
    entries = [(e.actor, e.action, e.target, e.result) for e in await client.audit.list()]
    for entry in (
        ("olga", "labelNode", "web-1", "ok"),
        ("olga", "applyServices", "a", "ok"),
        ("olga", "restartService", "b", "not_found"),
        ("olga", "removeNode", "web-1", "forbidden"),
        ("olga", "createCommand", "c", "ok"),
        ("olga", "createSchedule", "s", "bad_input"),
    ):
        assert entries.count(entry) == 1, entry
    assert [entry for entry in entries if entry[1] == "graphql"] == []


@pytest.mark.parametrize("role", list(Role))
async def test_each_field_needs_the_role_of_its_route(server: Server, client: AsyncClient, role: Role) -> None:
    token = (await client.api_tokens.create("someone", role)).token
    known = {name: handler.role for name, handler in handlers().items()}
    fields = [each for kind in ("Query", "Mutation") for each in examples(CORE, kind)]
    assert len(fields) > 40
    for name, operation in fields:
        needed = _needed(known, name)
        refused = "forbidden" in await codes(client, operation, token=token)
        assert refused is not role.covers(needed), (name, needed)
    for name, operation in examples(CORE, "Subscription"):
        first = await anext(follow(client, operation, token=token)) if name != "messages" else {}
        assert [e["extensions"]["code"] for e in first.get("errors", ())] in (["not_found"], []), name


def _needed(known: dict[str, Role], name: str) -> Role:
    """Return the role of the route that a field is made of."""
    head = name[0].upper() + name[1:]
    names = (name, f"list{head}", f"list{head.removesuffix('s')}", f"show{head}")
    return next(known[each] for each in names if each in known)


async def test_without_a_good_token_nothing_is_answered(client: AsyncClient) -> None:
    for path in ("/graphql", "/graphql/stream"):
        async with http(client.endpoint, "wrong") as asked:
            answer = await asked.post(path, json={"query": "{ __typename }"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


WIDE = " ".join(f"a{n}: name" for n in range(80))
DOUBLED = " ".join(f"fragment F{n} on Node {{ ...F{n + 1} ...F{n + 1} }}" for n in range(5))
LIMITED = {
    "deep": "{ nodes { nodes " + "{ services { node " * 8 + "{ name }" + " } }" * 8 + " } }",
    "many at the top": "{ " + " ".join(f"a{n}: serverInfo {{ version }}" for n in range(31)) + " }",
    "many fields": "{ nodes { nodes { " + " ".join(f"b{n}: name" for n in range(1000)) + " } } }",
    "fragments": "{ nodes { nodes { ...F0 } } } " + DOUBLED + f" fragment F5 on Node {{ {WIDE} }}",
}
INVALID = (
    "{",
    "{ nothing }",
    "{ nodes { nodes { ...A } } } fragment A on Node { ...A }",
    'subscription { commandJobs(command: "x") { cursor } }',
    "query Q($a: BigInt!) { nodes(first: $a) { totalCount } }",
    "{ " * 3000,
    "{ a(" + "[" * 1500,
    "{ nodes(first: 1.5) { totalCount } }",
    "{ jobs(state: {}) { nodes { id } } }",
    "fragment A on Node { name }",
    "\x00",
)


@pytest.mark.parametrize("name", LIMITED)
async def test_a_document_has_limits(client: AsyncClient, name: str) -> None:
    assert await codes(client, LIMITED[name]) == ["too_large"]


@pytest.mark.parametrize("query", INVALID, ids=range(len(INVALID)))
async def test_a_document_that_is_not_valid_is_refused(client: AsyncClient, query: str) -> None:
    assert set(await codes(client, query)) == {"bad_query"}


async def test_a_request_without_a_document_is_refused(client: AsyncClient) -> None:
    async with http(client.endpoint) as asked:
        for body in ({}, {"query": ""}, {"query": 1}, {"query": "{ a }", "variables": 1}, []):
            answer = await asked.post("/graphql", json=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_input"), body


async def test_a_fault_of_the_server_is_not_described(
    server: Server, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> Any:
        raise ValueError("a secret")

    monkeypatch.setattr(server.schedules, "list", fail)
    answer = await ask(client, "{ schedules { name } serverInfo { nodes } }")
    assert answer["data"] == {"schedules": None, "serverInfo": {"nodes": 0}}
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], "secret" in str(error)) == ("internal", False)


async def test_a_command_is_followed_and_resumed(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    await ask(client, 'mutation { createCommand(input: {cmd: "ping", id: "c"}) { id } }')
    await agent.expect(JobOffers)
    query = (
        'subscription S($a: String!) { commandJobs(command: "c", after: $a) { cursor job { state node { name } } } }'
    )
    states: list[str] = []
    cursors: list[str] = []
    async for event in follow(client, query, a=""):
        change = event["data"]["commandJobs"]
        assert change["job"]["node"] == {"name": "web-1"}
        states.append(change["job"]["state"])
        cursors.append(change["cursor"])
        if len(states) == 1:
            await agent.say(JobResults(results=(JobResult(id="c", state=JobState.OK),)))
    assert (states[0], states[-1]) == ("QUEUED", "OK")
    again = [event["data"]["commandJobs"]["job"]["state"] async for event in follow(client, query, a=cursors[0])]
    assert again == states[1:]
    query = 'subscription { commandOutput(command: "c") { job { id result { state } } messages { nodeName } } }'
    output = [event["data"]["commandOutput"] async for event in follow(client, query)]
    assert output[-1] == {"job": {"id": "c", "result": {"state": "OK"}}, "messages": None}
    await agent.close()


async def test_rows_of_a_table_are_followed(client: AsyncClient) -> None:
    query = 'subscription { tableRows(table: "losses") { columns { name } rows cursor } }'
    waiting = asyncio.ensure_future(anext(follow(client, query)))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done, "nothing was stored"
    waiting.cancel()
    missing = [event async for event in follow(client, query.replace("losses", "lossess"))]
    assert [error["extensions"]["code"] for error in missing[0]["errors"]] == ["not_found"]
    wrong = [event async for event in follow(client, "{ nodes { totalCount } }")]
    assert wrong[0]["errors"][0]["message"] == "This operation is not answered here."


async def test_sql_is_answered_with_its_completeness(client: AsyncClient) -> None:
    query = "query Q($q: QueryInput!) { query(input: $q) { rows columns { name type } completeness { complete } } }"
    asked = {"sql": "SELECT toUInt64(18446744073709551615) AS n, NULL, {a:String} AS a", "parameters": {"a": "x"}}
    answer = await ask(client, query, q=asked)
    assert answer["data"]["query"]["rows"] == [[2**64 - 1, None, "x"]]
    assert answer["data"]["query"]["columns"][0] == {"name": "n", "type": "UInt64"}
    assert answer["data"]["query"]["completeness"] == {"complete": True}
    for wrong in ({"sql": "SELECT"}, {"sql": "SELECT 1", "maxRows": 60_000}, {"sql": "SELECT 1", "format": "csv"}):
        assert await codes(client, query, q=wrong) == ["bad_query"], wrong


async def test_the_client_returns_data_or_raises_the_error_of_the_server(client: AsyncClient) -> None:
    assert await client.graphql("query Q($n: BigInt!) { nodes(first: $n) { totalCount } }", {"n": 1}) == {
        "nodes": {"totalCount": 0}
    }
    with pytest.raises(NotFound, match="service: There is no service 'x'") as raised:
        await client.graphql('{ serverInfo { nodes } service(service: "x") { version } }')
    assert raised.value.hint
    with pytest.raises(BadQuery):
        await client.graphql("{ nothing }")


async def test_graphiql_loads_nothing_from_elsewhere(client: AsyncClient) -> None:
    async with http(client.endpoint, "none") as asked:
        page = await asked.get("/graphiql")
        assert page.status_code == 200
        assert "'unsafe-eval'" not in page.headers["content-security-policy"]
        assert "http" not in page.headers["content-security-policy"]
        files = [part.split('"')[0] for part in page.text.replace("src=", "href=").split('href="')[1:]]
        assert len([file for file in files if file.startswith("/graphiql-assets/")]) == len(files) - 1  # the icon
        for file in files[1:]:
            assert (await asked.get(file)).status_code == 200, file
