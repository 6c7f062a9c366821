"""`qd module`: eBPF modules, what is wanted of them and what they do on each node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, On, OnGrid, OnNode, connect, selector, settings
from quarterdeck.cli.processes import not_installed
from quarterdeck.client import Client
from quarterdeck.model.errors import DeployFailed, NoSuchNodes, TimedOut
from quarterdeck.model.modules import Instance, InstanceState, Module, ModuleState
from quarterdeck.model.nodes import AgentState
from quarterdeck.model.tables import parse_duration

app = App(name="module", help="eBPF modules: create, deploy, see what they do.")

ModuleName = Annotated[str, Parameter(help="Name or id.")]
OneModule = Annotated[str | None, Parameter(help="Only this one: name or id.")]
Folder = Annotated[Path, Parameter(help="Holds module.toml and the sources, or prebuilt .bpf.o and .wasm files.")]

#: seconds between looks at the instances while waiting
POLL_S = 0.1


@app.command
def create(
    folder: Folder,
    /,
    *,
    replace: Annotated[bool, Parameter(help="Make it a new version of the module of that name.")] = False,
    json: Json = False,
) -> None:
    """Send a module's folder to the server, which compiles and checks it."""
    from quarterdeck.modulekit.folder import read_folder  # noqa: PLC0415

    files = read_folder(folder)
    with connect() as client:
        module = client.create_module(files, replace=replace)
    if json:
        output.print_json(module)
        return
    _print_build(module)
    output.console.print(f"Next: qd module deploy {module.name} --wait")


@app.command
def build(folder: Folder, /, *, json: Json = False) -> None:
    """Compile and check a module's folder on this machine, without a server."""
    from quarterdeck.modulekit.folder import read_folder  # noqa: PLC0415

    try:
        from quarterdeck.modulekit.build import build_module  # noqa: PLC0415  (the compiler is an extra)
    except ModuleNotFoundError as error:
        raise not_installed(error, "module build", extra="build") from error
    made = build_module(read_folder(folder)).build
    if json:
        output.print_json(made)
        return
    _print_build(Module(id="", name=made.manifest.name, build=made))


@app.command(name="ls")
def ls(*, json: Json = False) -> None:
    """List modules, the built-in ones too."""
    with connect() as client:
        modules = client.list_modules()
        instances = client.list_instances()
    running = {
        module.id: sum(i.module_id == module.id and i.status.state is InstanceState.SUCCEEDED for i in instances)
        for module in modules
    }
    wanted = {module.id: sum(i.module_id == module.id for i in instances) for module in modules}
    output.show(
        modules,
        {
            "module": lambda m: m.name,
            "state": lambda m: m.desire_state,
            "nodes": lambda m: f"{running[m.id]}/{wanted[m.id]}" if m.desire_state is ModuleState.DEPLOYED else "",
            "tables": lambda m: " ".join(source.table.name for source in m.build.sources),
            "description": lambda m: m.build.manifest.description,
        },
        json=json,
        empty="No modules. Create one with `qd module create FOLDER`.",
    )


@app.command
def show(module: ModuleName, /, *, json: Json = False) -> None:
    """Show a module: programs, settings, tables with their columns."""
    with connect() as client:
        found = client.show_module(module)
    if json:
        output.print_json(found)
        return
    _print_build(found)


@app.command
def deploy(
    module: ModuleName,
    /,
    *,
    on: On = (),
    node: OnNode = (),
    gid: OnGrid = None,
    set: Annotated[tuple[str, ...], Parameter(help="A setting, name=value. Repeatable.")] = (),
    wait: Annotated[bool, Parameter(help="Return when it runs everywhere, or failed somewhere.")] = False,
    timeout: Annotated[str, Parameter(help="How long to wait.")] = "30s",
) -> None:
    """Run a module on the nodes that match (all, when none are named), now and whenever one joins later."""
    with connect() as client:
        deployed = client.deploy_module(module, selector(on, node, gid), settings(set))
        tables = ", ".join(source.table.name for source in deployed.build.sources)
        if not wait:
            output.console.print(f"{deployed.name} is being deployed. See `qd module instances {deployed.name}`.")
            return
        instances = _wait(client, deployed, parse_duration(timeout))
    _print_instances(instances, json=False)
    failed = [i for i in instances if i.status.state is not InstanceState.SUCCEEDED]
    if failed:
        raise DeployFailed(
            f"{deployed.name} runs on {len(instances) - len(failed)} of {len(instances)} nodes.",
            hint="The server keeps trying; see `qd module instances`.",
        )
    output.console.print(f"{deployed.name} runs on {output.counted(len(instances), 'node')}, filling: {tables}")


def _wait(client: Client, module: Module, timeout_s: float) -> list[Instance]:
    """The instances once none is on its way any more; instances on nodes that are offline are not waited for."""
    deadline = time.monotonic() + timeout_s
    pending: list[Instance] = []
    with output.errors.status(f"deploying {module.name}") as status:
        while time.monotonic() < deadline:
            online = {n.key for n in client.list_nodes() if n.state is AgentState.ONLINE}
            instances = client.list_instances(module.id)
            wanted = [i for i in instances if i.key in online]
            if not wanted:
                raise NoSuchNodes("No node that matches is online.", hint="See `qd node ls`.")
            pending = [i for i in wanted if i.status.state in {InstanceState.INIT, InstanceState.IN_PROGRESS}]
            if not pending:
                return wanted
            status.update(f"deploying {module.name}: {len(wanted) - len(pending)} of {len(wanted)} nodes")
            time.sleep(POLL_S)
    names = ", ".join(i.node_name for i in pending[:5])
    raise TimedOut(f"{module.name} is still on its way after {timeout_s:g} s on {names}.")


@app.command
def undeploy(module: ModuleName, /) -> None:
    """Stop a module everywhere. Its rows stay."""
    with connect() as client:
        found = client.undeploy_module(module)
    output.console.print(f"{found.name} is undeployed.")


@app.command
def delete(module: ModuleName, /) -> None:
    """Forget a module that is not deployed. Its rows stay until their retention ends."""
    with connect() as client:
        client.delete_module(module)
    output.console.print(f"{module} is deleted.")


@app.command
def instances(module: OneModule = None, /, *, json: Json = False) -> None:
    """List what each module does on each node, and why where it fails."""
    with connect() as client:
        found = client.list_instances(module)
    _print_instances(found, json=json)


@app.command
def stats(module: OneModule = None, /, *, json: Json = False) -> None:
    """List what each instance costs and makes, since it started."""
    with connect() as client:
        found = client.list_instances(module)
    if json:
        output.print_json([instance.stats for instance in found])
        return
    output.show(
        [(instance, instance.stats) for instance in found if instance.stats],
        {
            "module": lambda row: row[0].module_name,
            "node": lambda row: row[0].node_name,
            "records": lambda row: f"{row[1].records:,}",
            "rows": lambda row: f"{row[1].rows:,}",
            "lost": lambda row: f"{row[1].lost:,}",
            "kernel runs": lambda row: f"{row[1].runs:,}",
            "ns/run": lambda row: f"{row[1].kernel_ns / row[1].runs:.0f}" if row[1].runs else "",
            "kernel": lambda row: f"{row[1].kernel_ns / 1e9:.3f} s",
            "agent": lambda row: f"{row[1].agent_ns / 1e9:.3f} s",
            "memory": lambda row: output.size(row[1].memory_bytes),
        },
        json=False,
        empty="No instance has reported yet.",
    )


def _print_instances(found: list[Instance], *, json: bool) -> None:
    output.show(
        found,
        {
            "module": lambda i: i.module_name,
            "node": lambda i: i.node_name,
            "state": lambda i: i.status.state,
            "since": lambda i: output.age(i.status.since) if i.status.since else "",
            "load": lambda i: f"{i.status.load_ms:.0f} ms" if i.status.load_ms else "",
            "attached": lambda i: len(i.status.attached) or "",
            "reason": _reason,
        },
        json=json,
        empty="No instances. Deploy a module with `qd module deploy NAME`.",
    )


def _reason(instance: Instance) -> str:
    status = instance.status
    lines = [status.reason, *status.log[-12:]] if status.reason else []
    lines += [f"left out {program.program}: {program.reason}" for program in status.dropped]
    return "\n".join(lines)


def _print_build(module: Module) -> None:
    build = module.build
    manifest = build.manifest
    output.details(
        [
            ("module", manifest.name),
            ("description", manifest.description),
            ("version", f"{manifest.version} {build.digest[:12]}".strip()),
            ("state", module.desire_state if module.id else ""),
            ("deployed on", output.pairs(module.selector.labels) or " ".join(module.selector.nodes)),
            ("programs", " ".join(build.programs)),
            ("object", output.size(build.object.size)),
        ]
    )
    for warning in build.warnings:
        output.errors.print(f"[yellow]warning:[/] {warning}")
    if build.settings:
        output.console.print("\n[bold]settings[/]")
        output.show(
            build.settings,
            {
                "name": lambda s: s.name,
                "type": lambda s: s.type,
                "value": lambda s: module.settings.get(s.name, s.default),
                "description": lambda s: s.description,
            },
            json=False,
            empty="",
        )
    for source in build.sources:
        table = source.table
        output.console.print(f"\n[bold]table {table.name}[/] {table.description}")
        output.show(
            table.columns,
            {
                "column": lambda c: c.name,
                "type": lambda c: f"list({c.item})" if c.item else c.type,
                "unit": lambda c: c.unit,
                "description": lambda c: c.description,
            },
            json=False,
            empty="",
        )
