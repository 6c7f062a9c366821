"""`qd module`: eBPF modules, their deployment, and their state on each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import completers, many, output
from quarterdeck.cli.arguments import connect, settings
from quarterdeck.cli.cells import Age, Count, Size
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions, print_struct
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.cli.module_details import print_build
from quarterdeck.cli.processes import not_installed
from quarterdeck.cli.selection import Nodes, Targets, in_words
from quarterdeck.cli.waiting import Awaited, Outlook, Wait, names_of, reasons_of, wait_for
from quarterdeck.client import Client
from quarterdeck.model.errors import DeployFailed
from quarterdeck.model.modules import Instance, InstanceState, InstanceStats, Module, ModuleState
from quarterdeck.model.nodes import Selector

app = App(name="module", help="eBPF modules: create, deploy, see what they do.")

ModuleName = Annotated[str, Parameter(help="Name or id.", completer=completers.modules)]
ModuleNames = Annotated[str, Parameter(help="Names or ids.", completer=completers.modules)]
OneModule = Annotated[str | None, Parameter(help="Only this one: name or id.", completer=completers.modules)]
Folder = Annotated[Path, Parameter(help="Holds module.toml and the sources, or prebuilt .bpf.o and .wasm files.")]


def _reason(instance: Instance) -> str:
    status = instance.status
    lines = [status.reason, *status.log[-12:]] if status.reason else []
    lines += [f"left out {program.program}: {program.reason}" for program in status.dropped]
    lines += [f"warning: {warning}" for warning in status.warnings]
    return "\n".join(lines)


@app.command
def create(
    folder: Folder,
    /,
    *,
    replace: Annotated[bool, Parameter(help="Make it a new version of the module of that name.")] = False,
    waiting: Wait = Wait(),
    how: OutputOptions = OutputOptions(),
) -> None:
    """Send a module's folder to the server, which compiles and checks it.

    With --replace, the new version runs wherever the old one is deployed; --wait waits for that.
    """
    from quarterdeck.modulekit.folder import read_folder  # noqa: PLC0415

    files, limit_s = read_folder(folder), waiting.limit_s
    with connect() as client:
        module = client.modules.create(files, replace=replace)
        print_build(module, how)
        if module.desire_state is not ModuleState.DEPLOYED:
            if how.is_table:
                output.console.print(f"Next: qd module deploy {escape(module.name)} --wait")
        elif limit_s is not None:
            _wait_until_it_runs(client, module, limit_s, how)


@app.command
def build(folder: Folder, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Compile and check a module's folder on this machine, without a server."""
    from quarterdeck.modulekit.folder import read_folder  # noqa: PLC0415

    try:
        from quarterdeck.modulekit.build import build_module  # noqa: PLC0415  (the compiler is an extra)
    except ModuleNotFoundError as error:
        raise not_installed(error, "module build", extra="build") from error
    made = build_module(read_folder(folder)).build
    if how.format in (Format.JSON, Format.YAML):
        print_struct(made, how.format)
        return
    print_build(Module(id="", name=made.manifest.name, build=made), how)


class DeployedModule(NamedTuple):
    """A module, with the number of nodes on which it runs and on which it should run."""

    module: Module
    running: int
    wanted: int


MODULES = Listing[DeployedModule](
    columns=(
        Column("module", lambda m: m.module.name),
        Column("state", lambda m: m.module.desire_state),
        Column("nodes", lambda m: f"{m.running}/{m.wanted}" if m.module.desire_state is ModuleState.DEPLOYED else ""),
        Column("tables", lambda m: " ".join(source.table.name for source in m.module.build.sources), rank=1),
        Column("on", lambda m: in_words(m.module.selector), wide=True),
        Column("version", lambda m: m.module.build.digest[:12], wide=True),
        Column("changed", lambda m: Age(m.module.last_update_time), wide=True),
        Column("description", lambda m: m.module.build.manifest.description, rank=2),
    ),
    name=lambda m: m.module.name,
    struct=lambda m: m.module,
    empty="No modules. Create one with `qd module create FOLDER`.",
)


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List modules, the built-in ones too."""
    with connect() as client:
        MODULES.print(lambda: _deployed_modules(client), how)


def _deployed_modules(client: Client) -> list[DeployedModule]:
    found = client.instances.list()
    wanted = Counter(each.module_id for each in found)
    running = Counter(each.module_id for each in found if each.status.state is InstanceState.SUCCEEDED)
    return [DeployedModule(module, running[module.id], wanted[module.id]) for module in client.modules.list()]


@app.command
def show(module: ModuleName, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Show a module: programs, settings, tables with their columns."""
    with connect() as client:
        found = client.modules.get(module)
    print_build(found, how)


@app.command
def deploy(
    module: ModuleName,
    /,
    *,
    targets: Targets = Targets(),
    set: Annotated[tuple[str, ...], Parameter(help="A setting, name=value. Repeatable.")] = (),
    waiting: Wait = Wait(),
    how: OutputOptions = OutputOptions(),
) -> None:
    """Run a module on the nodes that match, now and whenever one joins later."""
    values, limit_s = settings(set), waiting.limit_s
    with connect() as client:
        deployed = client.modules.deploy(module, _selector(client, module, targets), values)
        if not how.is_table:
            _print_module(client, deployed, how)
        elif limit_s is None:
            output.console.print(
                f"{escape(deployed.name)} is being deployed. See `qd module instances {escape(deployed.name)}`."
            )
        if limit_s is not None:
            _wait_until_it_runs(client, deployed, limit_s, how)


def _selector(client: Client, reference: str, targets: Targets) -> Selector:
    if targets.named or targets.all:
        return targets.selector
    before = next((m for m in client.modules.list() if reference in (m.id, m.name)), None)
    is_deployed = before is not None and before.desire_state is ModuleState.DEPLOYED
    return targets.standing(client, what=reference, before=before.selector if before and is_deployed else None)


def _print_module(client: Client, module: Module, how: OutputOptions) -> None:
    """Print one module for programs."""
    if how.format in (Format.JSON, Format.YAML):
        print_struct(module, how.format)
    else:
        MODULES.print_items([each for each in _deployed_modules(client) if each.module.id == module.id], how)


def _wait_until_it_runs(client: Client, module: Module, limit_s: float, how: OutputOptions) -> None:
    """Wait until no instance is in progress and print them. Raise `DeployFailed` or `TimedOut` unless all run."""
    name = module.name
    instances: Sequence[Instance] = ()

    def find() -> list[Awaited]:
        nonlocal instances
        instances = client.instances.list(module.id)
        return [_awaited(each) for each in instances]

    waited = wait_for(client, find, doing=f"deploying {name}", limit_s=limit_s, progress=how.is_table)
    waited.check_online()
    if how.is_table:
        keys = {each.node for each in waited.found}
        INSTANCES.print_items([each for each in instances if each.key in keys], how)
    waited.print_left_out()
    waited.check_time(name, reasons=not how.is_table)
    if failed := waited.of(Outlook.FAILED):
        raise DeployFailed(
            f"{name} runs on {len(waited.of(Outlook.WELL))} of {waited.total} nodes, not on {names_of(failed)}.",
            hint=f"The reason says when they try again; see `qd module instances {name}`.",
            lines=() if how.is_table else reasons_of(failed),
        )
    if how.is_table:
        tables = ", ".join(source.table.name for source in module.build.sources)
        output.console.print(
            f"{escape(name)} runs on {output.counted(waited.total, 'node')}, filling: {escape(tables)}"
        )


_OUTLOOKS = {
    InstanceState.INIT: Outlook.PENDING,
    InstanceState.IN_PROGRESS: Outlook.PENDING,
    InstanceState.SUCCEEDED: Outlook.WELL,
    InstanceState.FAILED: Outlook.FAILED,
}


def _awaited(instance: Instance) -> Awaited:
    """Return what is known of an instance: it is to run, or to end where the module is not wanted any more."""
    outlook = _OUTLOOKS[instance.status.state]
    if instance.desire_state is not ModuleState.DEPLOYED:
        outlook = Outlook.PENDING
    return Awaited(instance.key, instance.node_name, outlook, instance.status.state, instance.status.reason)


@app.command
def undeploy(*modules: ModuleNames, waiting: Wait = Wait()) -> None:
    """Stop modules everywhere. Their rows stay."""
    limit_s = waiting.limit_s
    with connect() as client, many.Attempt(modules) as attempt:
        undeployed = list(attempt.results(client.modules.undeploy))
        for module in undeployed:
            many.say(f"{module.name} is undeployed.")
        if limit_s is not None and undeployed:
            attempt.run(lambda: _wait_until_ended(client, {module.id for module in undeployed}, limit_s))


def _wait_until_ended(client: Client, ids: Collection[str], limit_s: float) -> None:
    """Wait until no instance of these modules is left on a node that is online; raise `TimedOut`."""

    def find() -> list[Awaited]:
        return [
            awaited._replace(name=f"{each.module_name} on {each.node_name}")
            for each in client.instances.list()
            if each.module_id in ids and (awaited := _awaited(each))
        ]

    waited = wait_for(client, find, doing="undeploying", limit_s=limit_s)
    waited.print_left_out()
    waited.check_time("The end of the modules", reasons=True)


@app.command(alias="delete")
def rm(*modules: ModuleNames) -> None:
    """Forget modules that are not deployed. Their rows stay until their retention ends. The alias is `delete`."""
    with connect() as client:
        many.remove(modules, client.modules.remove, done="is deleted.")


INSTANCES = Listing[Instance](
    columns=(
        Column("module", lambda i: i.module_name),
        Column("node", lambda i: i.node_name),
        Column("gid/nid", lambda i: str(i.key), wide=True),
        Column("state", lambda i: i.status.state),
        Column("since", lambda i: Age(i.status.since, otherwise=""), rank=1),
        Column("load", lambda i: f"{i.status.load_ms:.0f} ms" if i.status.load_ms else "", rank=2),
        Column("attached", lambda i: len(i.status.attached) or "", rank=3),
        Column("reason", _reason),
    ),
    name=lambda i: i.node_name,
    empty="No instances. Deploy a module with `qd module deploy NAME`.",
)


@app.command
def instances(module: OneModule = None, /, *, nodes: Nodes = Nodes(), how: ListOptions = ListOptions()) -> None:
    """List what each module does on each node, and why where it fails."""
    with connect() as client:
        INSTANCES.print(lambda: _instances(client, module, nodes), how)


STATS = Listing[tuple[Instance, InstanceStats]](
    columns=(
        Column("module", lambda s: s[0].module_name),
        Column("node", lambda s: s[0].node_name),
        Column("records", lambda s: Count(s[1].records), rank=1),
        Column("rows", lambda s: Count(s[1].rows)),
        Column("lost", lambda s: Count(s[1].lost)),
        Column("kernel runs", lambda s: Count(s[1].runs), rank=3),
        Column("ns/run", lambda s: f"{s[1].kernel_ns / s[1].runs:.0f}" if s[1].runs else "", rank=2),
        Column("kernel", lambda s: f"{s[1].kernel_ns / 1e9:.3f} s", rank=5),
        Column("agent", lambda s: f"{s[1].agent_ns / 1e9:.3f} s", rank=4),
        Column("memory", lambda s: Size(s[1].memory_bytes), rank=6),
    ),
    name=lambda s: s[0].node_name,
    struct=lambda s: s[1],
    empty="No instance has reported yet.",
)


@app.command
def stats(module: OneModule = None, /, *, nodes: Nodes = Nodes(), how: ListOptions = ListOptions()) -> None:
    """List what each instance costs and makes, since it started."""
    with connect() as client:
        STATS.print(lambda: [(i, i.stats) for i in _instances(client, module, nodes) if i.stats], how)


def _instances(client: Client, module: str | None, nodes: Nodes) -> Sequence[Instance]:
    found = client.instances.list(module)
    if not nodes.named:
        return found
    keys = nodes.find(client)
    return [instance for instance in found if instance.key in keys]
