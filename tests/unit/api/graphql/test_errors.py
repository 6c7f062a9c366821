"""Errors of answers: those of the model keep what a problem document has; others say nothing of the server."""

from __future__ import annotations

import logging

import pytest
from graphql import GraphQLError

from quarterdeck.api.graphql.errors import to_json
from quarterdeck.model.errors import BadProgram, QuarterdeckError


def test_an_error_of_ours_has_its_code_hint_and_lines() -> None:
    cause = BadProgram("It does not compile.", hint="Look.", lines=("a.c:1",))
    found = to_json(GraphQLError("x", path=["a", 1], original_error=GraphQLError("y", original_error=cause)))
    assert found == {
        "message": "It does not compile.",
        "path": ["a", 1],
        "extensions": {
            "type": "/docs/errors#bad_program",
            "status": 400,
            "code": "bad_program",
            "hint": "Look.",
            "lines": ("a.c:1",),
        },
    }


@pytest.mark.parametrize(
    "error",
    [
        GraphQLError("Syntax"),
        GraphQLError("Variable", original_error=ValueError("x")),
        GraphQLError("Deep", original_error=RecursionError()),
    ],
)
def test_an_error_of_the_document_is_a_bad_query(error: GraphQLError) -> None:
    assert to_json(error)["extensions"]["code"] == "bad_query"


@pytest.mark.parametrize("cause", [ValueError("secret"), OSError("secret"), QuarterdeckError("ours")])
def test_an_unexpected_error_is_logged(cause: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = to_json(GraphQLError("secret", path=["a"], original_error=cause))
    assert found["extensions"]["code"] == "internal"
    assert "secret" not in str(found)
    assert len(caplog.records) == 1
