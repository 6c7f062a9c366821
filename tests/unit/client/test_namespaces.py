"""The namespaces of the client: verbs that several nouns have are named the same."""

from __future__ import annotations

import inspect

from quarterdeck.client import AsyncClient, Client, Endpoint
from quarterdeck.client.synchronous.namespace import Namespace

#: names that the client formerly used for `get` and `remove`, or that other clients use
WRONG = {"show", "info", "read", "ls", "rm", "delete", "revoke"}


def test_every_noun_uses_the_same_verbs() -> None:
    with Client(Endpoint(url="http://deck", token="t")) as client:
        nouns = {name: noun for name, noun in vars(client).items() if isinstance(noun, Namespace)}
    assert "modules" in nouns
    for name, noun in nouns.items():
        verbs = {verb for verb, _ in inspect.getmembers(noun, inspect.ismethod) if not verb.startswith("_")}
        assert verbs, name
        assert not verbs & WRONG, name


async def test_the_async_client_has_the_same_nouns() -> None:
    endpoint = Endpoint(url="http://deck", token="t")
    async with AsyncClient(endpoint) as asynchronous:
        with Client(endpoint) as synchronous:
            assert vars(asynchronous).keys() == vars(synchronous).keys()
