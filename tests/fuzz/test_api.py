"""Every route of the API under generated input: it may refuse, it must not fail."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from quarterdeck.api.app import create_app
from tests.fleet import Fleet

#: routes whose answer does not end
ENDLESS = {"tailTable", "followMessages"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


#: what the API says of itself needs no running server
api = schemathesis.openapi.from_dict(create_app(MagicMock()).openapi_schema.to_schema()).exclude(
    operation_id=sorted(ENDLESS)
)


@api.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_no_route_fails(case: schemathesis.Case, fleet: Fleet) -> None:
    headers = {"Authorization": f"Bearer {fleet.client.endpoint.token}"}
    case.call_and_validate(base_url=f"http://{fleet.http}", headers=headers, checks=[not_a_server_error], timeout=30)
