"""The connection of the client: how long it waits for an answer."""

from __future__ import annotations

import httpx
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import TimedOut


@pytest.mark.parametrize(("limit_s", "waits_s"), [(None, 60.0), (3.0, 3.0), (600.0, 60.0)])
def test_a_client_can_wait_less_than_its_calls_do(limit_s: float | None, waits_s: float) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert set(request.extensions["timeout"].values()) == {waits_s}
        raise httpx.ReadTimeout("too late", request=request)

    endpoint = Endpoint(url="http://deck", token="t")
    with (
        Client(endpoint, transport=httpx.MockTransport(answer), timeout_s=limit_s) as client,
        pytest.raises(TimedOut, match=f"within {waits_s:g} s"),
    ):
        client.nodes.list()
