"""The application: what its handlers take of the server."""

from __future__ import annotations

from typing import Any, get_type_hints
from unittest.mock import MagicMock

import pytest
from litestar.routes import HTTPRoute

from quarterdeck.api.app import create_app
from quarterdeck.server.server import Server

HANDLERS = {
    str(handler): handler
    for route in create_app(MagicMock()).routes
    if isinstance(route, HTTPRoute)
    for handler in route.route_handlers
    if handler.operation_id is not None
}


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_a_handler_takes_only_what_does_its_work_of_the_type_that_it_names(name: str) -> None:
    services = {f"server_{name}": kind for name, kind in get_type_hints(Server).items()}
    providers = HANDLERS[name].dependencies or {}
    provided = {name: get_type_hints(each.dependency).get("return") for name, each in providers.items()}
    parameters: Any = HANDLERS[name].parsed_fn_signature.parameters
    taken = {each.name: each.annotation for each in parameters.values() if each.is_di_field}
    assert taken == {name: provided.get(name, services.get(name)) for name in taken}
    assert Server not in {each.annotation for each in parameters.values()}


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_no_field_of_a_body_has_the_name_of_what_handlers_take(name: str) -> None:
    body = HANDLERS[name].parsed_fn_signature.parameters.get("data")
    fields = getattr(body.annotation, "__struct_encode_fields__", ()) if body else ()
    assert not HANDLERS[name].dependency_name_set.intersection(fields)
