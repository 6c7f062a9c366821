"""The Python client of the API, sync and async. It knows the model and HTTP, and nothing of how the server works.

from quarterdeck.client import Client

with Client.local() as qd:
    qd.deploy_module("execs")
    print(qd.query("SELECT comm, count() FROM execs GROUP BY comm").rows)
"""

from quarterdeck.client.asynchronous import AsyncClient
from quarterdeck.client.endpoint import Endpoint
from quarterdeck.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "Endpoint"]
