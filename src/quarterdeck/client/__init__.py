"""The Python client of the API, sync and async. It depends on the model and on HTTP, not on the server's code.

`synchronous` has one file a noun, and `asynchronous` is generated from it by `tools/asyncify.py`. Both send `calls`,
read `streams` and transfer files with `transfers`, which do no HTTP. `redis` is the client through Redis.

    from quarterdeck.client import Client

    with Client.local() as qd:
        qd.modules.deploy("execs")
        print(qd.queries.run("SELECT comm, count() FROM execs GROUP BY comm").rows)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarterdeck.client.endpoint import Endpoint
from quarterdeck.client.synchronous.client import Client

if TYPE_CHECKING:
    from quarterdeck.client.asynchronous.client import AsyncClient

__all__ = ["AsyncClient", "Client", "Endpoint"]


def __getattr__(name: str) -> type[AsyncClient]:
    """Import the async client at its first use, because `qd` starts faster without it."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from quarterdeck.client.asynchronous.client import AsyncClient  # noqa: PLC0415

    return AsyncClient
