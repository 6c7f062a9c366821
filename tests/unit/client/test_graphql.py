"""Answers of GraphQL in the client: their data, or the error of the server."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.client import graphql
from quarterdeck.model.errors import NotFound, QuarterdeckError


def test_a_call_has_the_query_and_its_variables() -> None:
    call = graphql.ask("{ a }", {"b": 1})
    assert (call.method, call.path) == ("POST", "/graphql")
    assert msgspec.json.decode(call.body) == {"query": "{ a }", "variables": {"b": 1}}


def test_data_is_returned_whole_or_the_first_error_is_raised() -> None:
    call = graphql.ask("{ a }", {})
    assert call.answer(200, b'{"data": {"a": 1}}').whole() == {"a": 1}
    extensions = b'{"code": "not_found", "hint": "Look.", "lines": ["x"], "new": 1}'
    body = b'{"data": {"a": null}, "errors": [{"message": "No a.", "path": ["a", 0], "extensions": %s}]}' % extensions
    with pytest.raises(NotFound, match=r"a\.0: No a\.") as raised:
        call.answer(200, body).whole()
    assert (raised.value.hint, raised.value.lines) == ("Look.", ("x",))
    with pytest.raises(QuarterdeckError, match="Odd") as raised_other:
        call.answer(200, b'{"errors": [{"message": "Odd"}]}').whole()
    assert raised_other.value.code == "internal"
