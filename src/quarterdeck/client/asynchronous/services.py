"""`client.services`: programs that nodes keep running."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, post, put, segment
from quarterdeck.model.jobs import CommandWithJobs
from quarterdeck.model.services import AppliedServices, ApplyServices, RestartService, ServiceInfo, ServiceWithNodes


class Services(Namespace):
    """Programs that nodes keep running."""

    async def apply(self, request: ApplyServices) -> AppliedServices:
        """Create or change services as requested, all or none. The same request again changes nothing."""
        return await self._connection.send(put("/services", AppliedServices, request))

    async def list(self) -> Sequence[ServiceInfo]:
        """Return every service, with the number of nodes in each state."""
        return await self._connection.send(get("/services", list[ServiceInfo]))

    async def get(self, service: str) -> ServiceWithNodes:
        """Return one service with its state on every node."""
        return await self._connection.send(get(f"/services/{segment(service)}", ServiceWithNodes))

    async def remove(self, service: str) -> None:
        """Remove a service from all nodes. It is refused while another service comes after it."""
        return await self._connection.send(delete(f"/services/{segment(service)}"))

    async def restart(self, service: str, nodes: Sequence[str] = ()) -> CommandWithJobs:
        """Stop a service and start it again, on all nodes that run it or on these; return the command with its jobs."""
        body = RestartService(nodes=tuple(nodes))
        return await self._connection.send(post(f"/services/{segment(service)}/restart", CommandWithJobs, body))
