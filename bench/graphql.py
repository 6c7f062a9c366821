"""A thousand nodes with their services and module instances, by GraphQL and by REST.

A server runs as a process. Its state has 1,000 nodes on which 5 services and 3 modules are placed, each with a reported
status; the nodes are rows and are not connected. What is measured: the time from a request until the last byte of the
answer, the median of 15. REST gives the same by seven requests, one after the other over one connection: `/nodes`,
`/instances`, and `/services/NAME` of each of the five services. In favour of REST, the client knows the names of the
services, and the time in which it would decode and join the answers does not count. GraphQL is asked by one request for
the fields that a list of nodes shows, and by another for every field that REST has.

The CPU time of the server for the same requests is measured too (`_cpu_ms`: the mean of one round), as it depends less
on what else the machine does.

Target: at most 1.5 × the time of REST.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec
from graphql import GraphQLObjectType, build_schema, get_named_type

from bench.measure import Target, note, process_cpu_s, report
from bench.nodes import add_nodes
from quarterdeck.api.graphql.schema import schema
from quarterdeck.model.modules import MODULE, InstanceState, InstanceStats, InstanceStatus
from quarterdeck.model.services import SERVICE, ApplyServices, Service, ServiceState, ServiceStatus
from quarterdeck.store.state import placements
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.placements import PlacementKey, Report
from tests.fleet import Fleet

NODES, ROUNDS = 1_000, 15
SERVICES = tuple(f"service-{number}" for number in range(5))
MODULES = ("execs", "opens", "tcp_connections")
#: of the reports: later than every revision that placing gives
REVISION = 1_000
SHOWN = """{ nodes(first: 2000) { nodes {
  name state labels seenAt
  services { name status { state reason restarts since } }
  instances { moduleName status { state reason } stats { rows lost } }
} } }"""
#: fields that lead on to other nouns
JOINS = {"ServiceOnNode": {"node"}, "Instance": {"node", "module"}}


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        asyncio.run(_fill(fleet))
        headers = {"Authorization": f"Bearer {fleet.client.endpoint.token}"}
        with httpx.Client(base_url=f"http://{fleet.http}", headers=headers, timeout=60) as http:
            figures, rest = _measure(http, fleet.server.pid)
    report(
        "graphql",
        figures=figures,
        peer={"name": "the same by REST", **rest},
        ratio=rest["rest_ms"] / figures["all_ms"],
        targets=(Target("all_to_rest", at_most=1.5), Target("shown_to_rest", at_most=1.5)),
    )


def _measure(http: httpx.Client, server: int) -> tuple[dict[str, Any], dict[str, Any]]:
    everything = f"{{ nodes(first: 2000) {{ nodes {_all_fields('Node')} }} }}"
    timed: dict[str, list[float]] = {"rest": [], "all": [], "shown": []}
    cpu_s = dict.fromkeys(timed, 0.0)
    sizes: dict[str, int] = {}
    asked: dict[str, Callable[[], int]] = {
        "rest": lambda: _rest(http),
        "all": lambda: _graphql(http, everything),
        "shown": lambda: _graphql(http, SHOWN),
    }
    for number in range(ROUNDS + 2):  # in turns, so that the machine's load concerns all alike
        for name, ask in asked.items():
            before_s, began = process_cpu_s(server), time.perf_counter()
            sizes[name] = ask()
            if number >= 2:
                timed[name].append(1000 * (time.perf_counter() - began))
                cpu_s[name] += process_cpu_s(server) - before_s
    median = {name: statistics.median(times) for name, times in timed.items()}
    note(", ".join(f"{name} {value:.0f} ms, {sizes[name] / 1e6:.1f} MB" for name, value in median.items()))
    figures = {
        "all_to_rest": median["all"] / median["rest"],
        "shown_to_rest": median["shown"] / median["rest"],
        "all_to_rest_cpu": cpu_s["all"] / cpu_s["rest"],
        "shown_to_rest_cpu": cpu_s["shown"] / cpu_s["rest"],
        "all_ms": median["all"],
        "shown_ms": median["shown"],
        "all_cpu_ms": 1000 * cpu_s["all"] / ROUNDS,
        "shown_cpu_ms": 1000 * cpu_s["shown"] / ROUNDS,
        "all_mb": sizes["all"] / 1e6,
        "shown_mb": sizes["shown"] / 1e6,
    }
    rest = {"rest_ms": median["rest"], "rest_cpu_ms": 1000 * cpu_s["rest"] / ROUNDS, "rest_mb": sizes["rest"] / 1e6}
    return figures, rest


def _rest(http: httpx.Client) -> int:
    paths = ("/nodes", "/instances", *(f"/services/{name}" for name in SERVICES))
    return sum(len(http.get(f"/api/v1{path}").raise_for_status().content) for path in paths)


def _graphql(http: httpx.Client, query: str) -> int:
    answer = http.post("/graphql", json={"query": query}).raise_for_status()
    if b'"errors"' in answer.content:
        raise RuntimeError(answer.text[:1000])
    return len(answer.content)


def _all_fields(name: str) -> str:
    """Return a selection of everything that REST has of a type, and of what is on a node."""
    kind = build_schema(schema().as_str()).type_map[name]
    return _selection(kind)


def _selection(kind: Any) -> str:
    """Return a selection of the fields of a type, or nothing for one without fields."""
    kind = get_named_type(kind)
    if not isinstance(kind, GraphQLObjectType):
        return ""
    skipped = JOINS.get(kind.name, ())
    fields = (f"{name} {_selection(field.type)}" for name, field in kind.fields.items() if name not in skipped)
    return "{ " + " ".join(fields) + " }"


async def _fill(fleet: Fleet) -> None:
    """Add the nodes and what is placed on them."""
    database = await Database.open(f"sqlite:///{fleet.server.home / 'state.db'}")
    try:
        now = time.time()
        await add_nodes(database, NODES)
        services = tuple(Service(name=name, command=("sleep", "1000")) for name in SERVICES)
        fleet.client.services.apply(ApplyServices(services=services))
        ids = [fleet.client.modules.deploy(name).id for name in MODULES]
        async with database.write() as transaction:
            await placements.set_statuses(transaction, dict(_reports(ids, now)), now=now)
            await placements.set_stats(transaction, dict(_stats(ids)))
    finally:
        await database.close()


def _reports(module_ids: list[str], now: float) -> Iterator[tuple[PlacementKey, Report]]:
    """Yield the status of each thing on each node."""
    for nid in range(1, NODES + 1):
        for name in SERVICES:
            service = ServiceStatus(
                name=name, state=ServiceState.RUNNING, revision=REVISION, version="1", pid=1000 + nid, since=now
            )
            yield PlacementKey(1, nid, SERVICE, name), Report(REVISION, msgspec.json.encode(service).decode())
        for module_id in module_ids:
            status = InstanceStatus(
                instance_id=module_id,
                state=InstanceState.SUCCEEDED,
                revision=REVISION,
                attached=("tracepoint:sched:sched_process_exec", "tracepoint:sched:sched_process_exit"),
                since=now,
                load_ms=12.5,
            )
            yield PlacementKey(1, nid, MODULE, module_id), Report(REVISION, msgspec.json.encode(status).decode())


def _stats(module_ids: list[str]) -> Iterator[tuple[PlacementKey, str]]:
    """Yield what each instance has cost."""
    for nid in range(1, NODES + 1):
        for module_id in module_ids:
            stats = InstanceStats(instance_id=module_id, kernel_ns=10**9 * nid, runs=10**6, records=10**6, rows=10**6)
            yield PlacementKey(1, nid, MODULE, module_id), msgspec.json.encode(stats).decode()
