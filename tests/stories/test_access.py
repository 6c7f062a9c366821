"""Every route of the API, walked without a token, with a wrong one and with roles too weak: all must be refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import Forbidden, TokenUsed, Unauthenticated
from quarterdeck.model.tokens import CreateJoinToken, Role
from tests.fleet import Fleet, Process, eventually

PUBLIC = {"/healthz", "/readyz"}
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
    "listServices",
    "showService",
    "listTables",
    "query",
    "tailTable",
    "serverInfo",
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
}
Operation = tuple[str, str, str]


@pytest.fixture(scope="module")
def operations(fleet: Fleet) -> list[Operation]:
    """(method, path with made-up parameters, operation id) of every route that the API describes."""
    schema: dict[str, Any] = httpx.get(f"http://{fleet.http}/schema/openapi.json").raise_for_status().json()
    found = [
        (method.upper(), path, str(operation["operationId"]))
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if path not in PUBLIC
    ]
    assert len(found) > 20
    return [(m, "/".join("x" if part.startswith("{") else part for part in p.split("/")), o) for m, p, o in found]


def _status(fleet: Fleet, operation: Operation, token: str) -> httpx.Response:
    method, path, _ = operation
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, f"http://{fleet.http}{path}", headers=headers, json={}, timeout=10)


@pytest.mark.parametrize("token", ["", "wrong", "qdt_" + "A" * 43])
def test_without_a_good_token_every_route_is_closed(fleet: Fleet, operations: list[Operation], token: str) -> None:
    for operation in operations:
        response = _status(fleet, operation, token)
        assert response.status_code == 401, operation
        assert response.headers["content-type"].startswith("application/problem+json"), operation
        assert response.json()["code"] == "unauthenticated", operation


@pytest.mark.parametrize(("role", "closed"), [(Role.VIEWER, None), (Role.OPERATOR, ADMINISTERING)])
def test_a_role_opens_only_what_it_covers(
    fleet: Fleet, operations: list[Operation], role: Role, closed: set[str] | None
) -> None:
    token = fleet.client.create_api_token(f"a {role}", role).token
    assert {name for _, _, name in operations} >= VIEWING | ADMINISTERING
    for operation in operations:
        name = operation[2]
        if name in {"tailTable", "followMessages"}:
            continue  # its answer does not end
        refused = name in closed if closed is not None else name not in VIEWING
        status = _status(fleet, operation, token).status_code
        assert (status == 403) == refused, (operation, status)


def test_a_revoked_token_is_worth_nothing_at_once(fleet: Fleet) -> None:
    made = fleet.client.create_api_token("leaver", Role.ADMIN)
    with Client(Endpoint(url=f"http://{fleet.http}", token=made.token)) as leaver:
        leaver.list_nodes()
        fleet.client.revoke_api_token(made.info.id)
        with pytest.raises(Unauthenticated):
            leaver.list_nodes()


def test_changes_are_audited_with_who_and_what_and_how_it_ended(fleet: Fleet) -> None:
    operator = fleet.client.create_api_token("olga", Role.OPERATOR)
    with Client(Endpoint(url=f"http://{fleet.http}", token=operator.token)) as olga:
        with pytest.raises(Forbidden):
            olga.remove_node("x")
        with pytest.raises(Exception, match="nonsense"):
            olga.deploy_module("nonsense")
    entries = [(e.actor, e.action, e.target, e.result) for e in fleet.client.list_audit()]
    assert ("olga", "removeNode", "x", "forbidden") in entries
    assert ("olga", "deployModule", "nonsense", "not_found") in entries


def test_a_join_token_works_once(fleet: Fleet) -> None:
    token = fleet.client.create_join_token(CreateJoinToken(expires_s=600)).token
    arguments = ["agent", "--server", fleet.link, "--name"]
    first = Process(fleet.folder / "first", [*arguments, "first"], {"QD_AGENT_TOKEN": token}).start()
    fleet.agents["first"] = first
    eventually(lambda: fleet.node("first"), "the first agent to join")
    second = Process(fleet.folder / "second", [*arguments, "second"], {"QD_AGENT_TOKEN": token}).start()
    fleet.agents["second"] = second
    assert second.wait() == TokenUsed.exit_code, second.tail()
    assert "used before" in second.tail()
    assert fleet.node("second") is None
    assert "token" in fleet.server.tail(), "the refusal is logged"


def test_a_removed_node_is_refused_for_ever(fleet: Fleet) -> None:
    agent = fleet.join("leaving")
    fleet.client.remove_node("leaving")
    assert fleet.node("leaving") is None
    eventually(lambda: "revoked" in agent.tail().lower(), f"the agent to be told\n{agent.tail()}")
    states = {record.node_name: record.state for record in fleet.client.list_agents()}
    assert states.get("leaving") == "TERMINATED"
