"""The schema: a field for every route that answers in JSON, each with a role, and none forgotten."""

from __future__ import annotations

from typing import Any

from quarterdeck.api.graphql.fields import handlers
from quarterdeck.api.graphql.schema import schema
from quarterdeck.model.tokens import Role

#: routes without a field of their own: streams (they are subscriptions), contents of files, and what needs no token
WITHOUT = {
    "downloadFile",
    "followCommand",
    "followMessages",
    "followOutput",
    "healthz",
    "ping",
    "readyz",
    "selectNodes",  # `nodes` takes a selector
    "signIn",  # it sets a cookie, and `signOut` removes it
    "signOut",
    "tailTable",
    "uploadFile",
}
#: field → route, where the name does not say it
NAMED = {
    "agents": "listAgent",
    "modules": "listModule",
}


def fields(root: str) -> dict[str, Any]:
    kind: Any = schema().get_type_by_name(root)
    return {field.python_name: field for field in kind.fields}


def route(name: str) -> str:
    known = handlers()
    head = name[0].upper() + name[1:]
    if name in NAMED:
        return NAMED[name]
    return next(each for each in (name, f"show{head}", f"list{head}") if each in known)


def test_every_route_has_a_field_or_is_listed_here() -> None:
    made = {route(name) for name in (*fields("Query"), *fields("Mutation"))}
    assert handlers().keys() - made == WITHOUT
    assert not made & WITHOUT


def test_each_field_has_the_role_of_its_route() -> None:
    known = handlers()
    for name, field in (fields("Query") | fields("Mutation")).items():
        assert field.metadata["role"] is known[route(name)].role, name
    assert {name: field.metadata["role"] for name, field in fields("Subscription").items()} == dict.fromkeys(
        ("commandJobs", "commandOutput", "messages", "tableRows"), Role.VIEWER
    )


def test_what_changes_something_is_a_mutation() -> None:
    known = handlers()
    assert all(known[route(name)].audited for name in fields("Mutation"))
    assert not any(known[route(name)].audited for name in fields("Query"))


def test_a_field_says_what_it_does_and_what_it_needs() -> None:
    assert fields("Mutation")["removeNode"].description.endswith("It needs the role admin.")
    assert "needs" not in fields("Query")["services"].description


def test_arguments_are_those_of_the_routes() -> None:
    text = schema().as_str()
    for line in (
        "createCommand(input: CreateCommandInput!, waitS: Float! = 0): CommandWithJobs",
        "labelNode(input: JSON!, node: String!): Node",
        "nodes(after: String, first: BigInt! = 100, selector: SelectorInput): NodeConnection",
        "removeNode(node: String!): Boolean",
        "query(input: QueryInput!): Answer",
    ):
        assert f"  {line}\n" in text
