"""Every route of the API, walked without a credential, with a wrong one and with roles too weak: all must be refused.

A credential is a bearer token, or the cookie of a browser that has signed in; the cookie is worth nothing to the pages
of other sites.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import Forbidden, Revoked, TokenUsed, Unauthenticated
from quarterdeck.model.tokens import CreateJoinToken, Role
from tests.fleet import Fleet, Process, eventually

PUBLIC = {"/healthz", "/readyz", "/ping", "/api/v1/sign-in"}
#: what a viewer may call; everything else must refuse one
VIEWING = {
    "listNodes",
    "selectNodes",
    "showNode",
    "listAgent",
    "listModule",
    "showModule",
    "listInstances",
    "listCommands",
    "showCommand",
    "followCommand",
    "followOutput",
    "listJobs",
    "listMessages",
    "followMessages",
    "listSchedules",
    "showSchedule",
    "showScript",
    "listServices",
    "showService",
    "listTables",
    "query",
    "listSavedQueries",
    "showSavedQuery",
    "tailTable",
    "serverInfo",
    "showIdentity",
    "createSignInCode",
    "signOut",
    "showLog",
    "mcp",  # each tool has a role of its own, see test_mcp.py
    "graphql",  # each field has its role
    "graphqlStream",
}
ADMINISTERING = {
    "removeNode",
    "createJoinToken",
    "listJoinTokens",
    "revokeJoinToken",
    "createApiToken",
    "listApiTokens",
    "revokeApiToken",
    "listAudit",
    "listLogins",
    "endLogin",
}
#: routes whose answers do not end
ENDLESS = {"tailTable", "followMessages"}
ELSEWHERE = "http://evil.example.com"
Operation = tuple[str, str, str]


@pytest.fixture(scope="module")
def operations(fleet: Fleet) -> list[Operation]:
    """(method, path with made-up parameters, operation id) of every route that the API describes."""
    schema: dict[str, Any] = httpx.get(f"http://{fleet.http}/schema/openapi.json", timeout=60).raise_for_status().json()
    found = [
        (method.upper(), path, str(operation["operationId"]))
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path not in PUBLIC
    ]
    assert len(found) > 20
    return [(m, "/".join("x" if part.startswith("{") else part for part in p.split("/")), o) for m, p, o in found]


def _status(fleet: Fleet, operation: Operation, **headers: str) -> httpx.Response:
    method, path, _ = operation
    return httpx.request(method, f"http://{fleet.http}{path}", headers=headers, json={}, timeout=60)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _cookie(fleet: Fleet, token: str) -> dict[str, str]:
    """The cookie of a browser that signs in with this token."""
    answer = httpx.post(f"http://{fleet.http}/api/v1/sign-in", json={"token": token}).raise_for_status()
    return {"Cookie": f"quarterdeck={answer.cookies['quarterdeck']}"}


@pytest.mark.parametrize(
    "headers",
    [
        *map(_bearer, ("", "wrong", "qdt_" + "A" * 43)),
        {"Cookie": "quarterdeck=wrong"},
        {"Cookie": "quarterdeck=qdl_" + "a" * 12 + "_" + "A" * 43},
        {"Cookie": "other=1"},
    ],
)
def test_without_a_good_credential_every_route_is_closed(
    fleet: Fleet, operations: list[Operation], headers: dict[str, str]
) -> None:
    for operation in operations:
        response = _status(fleet, operation, Origin=f"http://{fleet.http}", **headers)
        assert response.status_code == 401, operation
        assert response.headers["content-type"].startswith("application/problem+json"), operation
        assert response.json()["code"] == "unauthenticated", operation


@pytest.mark.parametrize("browser", [False, True])
@pytest.mark.parametrize(("role", "closed"), [(Role.VIEWER, None), (Role.OPERATOR, ADMINISTERING)])
def test_a_role_opens_only_what_it_covers(
    fleet: Fleet, operations: list[Operation], role: Role, closed: set[str] | None, *, browser: bool
) -> None:
    token = fleet.client.api_tokens.create(f"a {role} {browser}", role).token
    assert {name for _, _, name in operations} >= VIEWING | ADMINISTERING
    headers = {**_cookie(fleet, token), "Origin": f"http://{fleet.http}"} if browser else _bearer(token)
    for operation in sorted(operations, key=lambda each: each[2] == "signOut"):  # it ends the login
        name = operation[2]
        if name in ENDLESS:
            continue
        refused = name in closed if closed is not None else name not in VIEWING
        refused = refused or (browser and name == "createSignInCode")
        status = _status(fleet, operation, **headers).status_code
        assert (status == 403) == refused, (operation, status)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "foreign_origin"),
        ({"Origin": ELSEWHERE}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "foreign_origin"),
        ({"Sec-Fetch-Site": "same-site"}, "foreign_origin"),
        ({"Host": "evil.example.com", "Origin": ELSEWHERE}, "foreign_host"),
    ],
)
def test_pages_of_other_sites_change_nothing_with_a_cookie(
    fleet: Fleet, operations: list[Operation], headers: dict[str, str], code: str
) -> None:
    cookie = _cookie(fleet, fleet.client.endpoint.token)
    changing = [operation for operation in operations if operation[0] != "GET"]
    assert len(changing) > 20
    for operation in changing:
        response = _status(fleet, operation, **cookie, **headers)
        assert response.json()["code"] == code, operation


@pytest.mark.parametrize(("headers", "status"), [({"Host": "evil.example.com"}, 421), ({"Origin": ELSEWHERE}, 403)])
def test_no_route_is_for_other_hosts_or_the_pages_of_other_sites(
    fleet: Fleet, operations: list[Operation], headers: dict[str, str], status: int
) -> None:
    public = [("GET", path, path) for path in ("/", "/ui/", "/schema", "/nothing", *sorted(PUBLIC))]
    for operation in [*operations, *public]:
        for credential in ({}, _bearer(fleet.client.endpoint.token)):
            assert _status(fleet, operation, **credential, **headers).status_code == status, operation


def test_a_revoked_token_is_worth_nothing_at_once(fleet: Fleet) -> None:
    made = fleet.client.api_tokens.create("leaver", Role.ADMIN)
    with Client(Endpoint(url=f"http://{fleet.http}", token=made.token)) as leaver:
        leaver.nodes.list()
        fleet.client.api_tokens.remove(made.info.id)
        with pytest.raises(Unauthenticated):
            leaver.nodes.list()


def test_changes_are_audited_with_who_and_what_and_how_it_ended(fleet: Fleet) -> None:
    operator = fleet.client.api_tokens.create("olga", Role.OPERATOR)
    with Client(Endpoint(url=f"http://{fleet.http}", token=operator.token)) as olga:
        with pytest.raises(Forbidden):
            olga.nodes.remove("x")
        with pytest.raises(Exception, match="nonsense"):
            olga.modules.deploy("nonsense")
    entries = [(e.actor, e.action, e.target, e.result) for e in fleet.client.audit.list()]
    assert ("olga", "removeNode", "x", "forbidden") in entries
    assert ("olga", "deployModule", "nonsense", "not_found") in entries


def test_a_join_token_works_once(fleet: Fleet) -> None:
    token = fleet.client.tokens.create(CreateJoinToken(expires_s=600)).token
    arguments = ["agent", "--server", fleet.link, "--name"]
    first = Process(fleet.folder / "first", [*arguments, "first"], {"QD_AGENT_TOKEN": token}).start()
    fleet.agents["first"] = first
    eventually(lambda: fleet.node("first"), "the first agent to join")
    second = Process(fleet.folder / "second", [*arguments, "second"], {"QD_AGENT_TOKEN": token}).start()
    fleet.agents["second"] = second
    assert second.wait() == TokenUsed.exit_code, second.tail()
    assert "already used" in second.tail()
    assert fleet.node("second") is None
    assert "token" in fleet.server.tail(), "the refusal is logged"


def test_a_removed_node_is_refused_for_ever(fleet: Fleet) -> None:
    agent = fleet.join("leaving")
    fleet.client.nodes.remove("leaving")
    assert fleet.node("leaving") is None
    assert agent.wait() == Revoked.exit_code, agent.tail()
    assert "removed from its fleet" in agent.tail()
    states = {record.node_name: record.state for record in fleet.client.agents.list()}
    assert states.get("leaving") == "TERMINATED"
