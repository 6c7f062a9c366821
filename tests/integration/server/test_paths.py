"""Names with a slash over HTTP: a node as gid/nid."""

from __future__ import annotations

import pytest

from quarterdeck.client import AsyncClient
from quarterdeck.model.errors import NotFound
from quarterdeck.server.server import Server
from tests.integration.server.agent import joined


async def test_a_node_is_named_by_gid_and_nid(server: Server, client: AsyncClient) -> None:
    await joined(server)
    assert (await client.nodes.get("1/1")).name == "web-1"
    assert (await client.nodes.label("1/1", {"role": "web"})).labels == {"role": "web"}
    for name in ("1/2", "1/1/labels", "web/1", "a%2Fb", "../x"):
        with pytest.raises(NotFound, match="node"):
            await client.nodes.get(name)
    await client.nodes.remove("1/1")
    done = [entry.target for entry in await client.audit.list() if entry.action in {"labelNode", "removeNode"}]
    assert done == ["1/1", "1/1"]
