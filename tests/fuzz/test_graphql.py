"""Every field of the GraphQL schema under generated arguments and selections: it may refuse, it must not fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from graphql import GraphQLObjectType, NameNode, ObjectFieldNode, build_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import Mode, mutations, nodes, queries

from quarterdeck.api.graphql.schema import schema
from tests.fleet import Fleet

TEXT = schema().as_str()
CORE = build_schema(TEXT)
INTEGERS = st.integers(min_value=-(2**70), max_value=2**70)
VALUES = st.recursive(
    st.one_of(st.booleans().map(nodes.Boolean), INTEGERS.map(nodes.Int), st.text(max_size=20).map(nodes.String)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(nodes.List),
        st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3).map(
            lambda found: nodes.Object(
                [ObjectFieldNode(name=NameNode(value=name), value=value) for name, value in found.items()]
            )
        ),
    ),
    max_leaves=5,
)
SCALARS: Any = {"BigInt": INTEGERS.map(nodes.Int), "JSON": VALUES}
RELAXED = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        headers = {"Authorization": f"Bearer {fleet.client.endpoint.token}"}
        with httpx.Client(base_url=f"http://{fleet.http}", headers=headers, timeout=60) as opened:
            yield opened


def fields(kind: str) -> list[str]:
    root = CORE.type_map[kind]
    assert isinstance(root, GraphQLObjectType)
    return list(root.fields)


def check(http: httpx.Client, document: str, variables: Any = None) -> None:
    answer = http.post("/graphql", json={"query": document, "variables": variables})
    assert answer.status_code == 200, answer.text
    for error in answer.json().get("errors", ()):
        assert error["extensions"]["status"] < 500, error


@pytest.mark.parametrize("field", fields("Query"))
def test_no_query_fails(http: httpx.Client, field: str) -> None:
    @RELAXED
    @given(queries(TEXT, fields=[field], custom_scalars=SCALARS))
    def run(document: str) -> None:
        check(http, document)

    run()


@pytest.mark.parametrize("field", fields("Mutation"))
def test_no_mutation_fails(http: httpx.Client, field: str) -> None:
    @RELAXED
    @given(mutations(TEXT, fields=[field], custom_scalars=SCALARS))
    def run(document: str) -> None:
        check(http, document)

    run()


@settings(parent=RELAXED, max_examples=60)
@given(queries(TEXT, custom_scalars=SCALARS, mode=Mode.NEGATIVE))
def test_no_document_that_is_not_valid_fails(http: httpx.Client, document: str) -> None:
    check(http, document)


@settings(parent=RELAXED, max_examples=60)
@given(
    document=st.text(alphabet='{}()[]:!$@"#,.\\n aqueryfragment on0é\\x00', max_size=200),
    variables=st.none() | st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | INTEGERS, max_size=3),
)
def test_no_text_fails(http: httpx.Client, document: str, variables: Any) -> None:
    answer = http.post("/graphql", json={"query": document, "variables": variables})
    assert answer.status_code in (200, 400), answer.text
    assert "internal" not in answer.text
