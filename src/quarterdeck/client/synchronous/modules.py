"""`client.modules`: eBPF modules and their deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quarterdeck.client.calls import delete, get, post, segment
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import CreateModule, DeployModule, Module
from quarterdeck.model.nodes import Selector

#: seconds within which the server compiles a module
COMPILE_S = 300.0


class Modules(Namespace):
    """EBPF modules and their deployment."""

    def create(self, files: Mapping[str, bytes], *, replace: bool = False) -> Module:
        """Compile and check a module's folder; `replace` makes it a new version of an existing module."""
        body = CreateModule(files=dict(files), replace=replace)
        return self._connection.send(post("/modules", Module, body, timeout_s=COMPILE_S))

    def list(self) -> Sequence[Module]:
        """Return all modules, including the built-in ones."""
        return self._connection.send(get("/modules", list[Module]))

    def get(self, module: str) -> Module:
        """Return one module by name or id."""
        return self._connection.send(get(f"/modules/{segment(module)}", Module))

    def deploy(
        self,
        module: str,
        selector: Selector = Selector(),
        settings: Mapping[str, SettingValue] | None = None,
    ) -> Module:
        """Run a module on the nodes that match, now and when they join later."""
        body = DeployModule(selector=selector, settings=dict(settings or {}))
        return self._connection.send(post(f"/modules/{segment(module)}/deploy", Module, body))

    def undeploy(self, module: str) -> Module:
        """Stop a module on all nodes. Its rows are kept."""
        return self._connection.send(post(f"/modules/{segment(module)}/undeploy", Module))

    def remove(self, module: str) -> None:
        """Remove a module that is not deployed. Its rows are kept until their retention ends."""
        return self._connection.send(delete(f"/modules/{segment(module)}"))
