"""The wait of `qd service apply` for the nodes: the states that count as applied, and the list that is printed then."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quarterdeck.cli import output
from quarterdeck.cli.cells import Age
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.cli.waiting import Awaited, Outlook, Waited, names_of, reasons_of, wait_for
from quarterdeck.client import Client
from quarterdeck.model.errors import DeployFailed
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.processes import FOREVER
from quarterdeck.model.services import ServiceOnNode, ServiceState, ServiceWithNodes

#: states in which a node will do no more, or only the same again
_FAILED = frozenset({ServiceState.FAILED, ServiceState.BACKOFF, ServiceState.UNHEALTHY})


def wait_until_as_applied(client: Client, names: Collection[str], *, limit_s: float, how: OutputOptions) -> None:
    """Wait until these services run in their present version on every node, and print them.

    Raise `DeployFailed` when one fails somewhere, `TimedOut` when one is still on its way after `limit_s` seconds, and
    `NoSuchNodes` when all their nodes are offline.
    """
    present: dict[str, ServiceWithNodes] = {}

    def find() -> list[Awaited]:
        for name in names:
            if name not in present or not _is_well(present[name]):
                present[name] = client.services.get(name)
        return [awaited(info, one) for info in present.values() for one in info.nodes]

    waited = wait_for(client, find, doing="applying", limit_s=limit_s, progress=how.is_table)
    waited.check_online()
    if how.is_table:
        _print(present, waited, how)
    waited.print_left_out()
    waited.check_time("The change of services", reasons=not how.is_table)
    if failed := waited.of(Outlook.FAILED):
        raise DeployFailed(
            f"Not running as applied: {names_of(failed)}.",
            hint="A node starts a failed service again by the service's rules; see `qd service show`.",
            lines=() if how.is_table else reasons_of(failed),
        )


def awaited(info: ServiceWithNodes, one: ServiceOnNode) -> Awaited:
    """Return what is known of a service on one node."""
    key, status = NodeKey(one.gid, one.nid), one.status
    return Awaited(key, f"{one.name} on {one.node_name}", _outlook(info, one), status.state, status.reason)


def _outlook(info: ServiceWithNodes, one: ServiceOnNode) -> Outlook:
    state, version = one.status.state, one.status.version
    if not one.wanted:  # it is gone when it is not listed any more
        return Outlook.PENDING
    if version != info.version:  # what is said is about another version, or nothing has run and nothing may run
        return Outlook.FAILED if state is ServiceState.FAILED and not version else Outlook.PENDING
    if state is ServiceState.STOPPED:
        completed = info.service.max_time != FOREVER and not one.status.code
        return Outlook.WELL if completed else Outlook.FAILED
    if state in (ServiceState.RUNNING, ServiceState.WAITING):  # it waits for its next recurring run
        return Outlook.WELL
    return Outlook.FAILED if state in _FAILED else Outlook.PENDING


def _is_well(info: ServiceWithNodes) -> bool:
    return bool(info.nodes) and all(_outlook(info, one) is Outlook.WELL for one in info.nodes)


_NODES = Listing[ServiceOnNode](
    columns=(
        Column("service", lambda s: s.name),
        Column("node", lambda s: s.node_name),
        Column("gid/nid", lambda s: f"{s.gid}/{s.nid}", wide=True),
        Column("state", lambda s: s.status.state),
        Column("since", lambda s: Age(s.status.since, otherwise=""), rank=1),
        Column("restarts", lambda s: s.status.restarts or "", only_filled=True),
        Column("reason", lambda s: s.status.reason),
    ),
    name=lambda s: s.name,
    empty="No node runs them: no node's name and labels match.",
)


def _print(present: Mapping[str, ServiceWithNodes], waited: Waited, how: OutputOptions) -> None:
    keys = {each.node for each in waited.found}
    found = [one for info in present.values() for one in info.nodes if NodeKey(one.gid, one.nid) in keys]
    _NODES.print_items(found, how)
    if found and len(waited.of(Outlook.WELL)) == len(waited.found):
        services, nodes = len({one.name for one in found}), len({(one.gid, one.nid) for one in found})
        output.errors.print(f"As applied: {output.counted(services, 'service')} on {output.counted(nodes, 'node')}.")
