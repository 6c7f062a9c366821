"""`client.modules`: eBPF modules and their deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import CreateModule, DeployModule, Module
from quarterdeck.model.nodes import Selector

#: seconds within which the server compiles a module
COMPILE_S = 300.0


class Modules(Namespace):
    """EBPF modules and their deployment."""

    async def create(self, files: Mapping[str, bytes], *, replace: bool = False) -> Module:
        """Compile and check a module's folder; `replace` makes it a new version of an existing module."""
        body = CreateModule(files=dict(files), replace=replace)
        return await self._connection.send(post("/modules", Module, body, timeout_s=COMPILE_S))

    async def list(self) -> Sequence[Module]:
        """Return all modules, including the built-in ones."""
        return await self._connection.send(get("/modules", list[Module]))

    async def get(self, module: str) -> Module:
        """Return one module by name or id."""
        return await self._connection.send(get(f"/modules/{segment(module)}", Module))

    async def deploy(
        self,
        module: str,
        selector: Selector = Selector(),
        settings: Mapping[str, SettingValue] | None = None,
    ) -> Module:
        """Run a module on the nodes that match, now and when they join later."""
        body = DeployModule(selector=selector, settings=dict(settings or {}))
        return await self._connection.send(post(f"/modules/{segment(module)}/deploy", Module, body))

    async def undeploy(self, module: str) -> Module:
        """Stop a module on all nodes. Its rows are kept."""
        return await self._connection.send(post(f"/modules/{segment(module)}/undeploy", Module))

    async def remove(self, module: str) -> None:
        """Remove a module that is not deployed. Its rows are kept until their retention ends."""
        return await self._connection.send(delete(f"/modules/{segment(module)}"))
