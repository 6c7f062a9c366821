"""Memory of a server and its agents under mixed load for hours: whether it levels off.

A server and two agents run as processes. All at once they ping, run programs that print, follow output, keep services
that print, sum statsd samples, fill tables from eBPF modules, answer queries and search logs. Each minute the
anonymous memory of server, agents and keepers is read (the kernel can take back the pages of files). Memory rises and
falls with merges, compilers and caches, so the figures compare peaks: the peak of the last quarter of the run with the
peak of the second quarter, after the caches have filled. A leak makes the later peak higher, and higher the longer the
run.

The limit, in the same run: what the same load would allocate between these quarters if each request kept 1 KiB.

It takes four hours; `QD_SOAK_MINUTES` sets another length. It is not among `all`.

Target: a later peak at most 5 % above the earlier one, no request that failed.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Target, note, report
from bench.services import keeper_of
from quarterdeck.client import Client
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import ApplyServices, Service
from tests.fleet import Fleet

MINUTES = float(os.environ.get("QD_SOAK_MINUTES", "240"))
SAMPLE_S = min(60.0, MINUTES * 60 / 30)
NODES = ("soak-1", "soak-2")
MODULES = ("execs", "opens", "cpu_profile", "syscall_errors")
_PRINTS = """
i=0
while :; do
  i=$((i+1)); echo line $i of a service; [ $((i % 50)) = 0 ] && echo 7::look at $i; sleep 0.02
done
"""
_BY_PROGRAM = "SELECT comm, count() FROM execs GROUP BY comm ORDER BY 2 DESC LIMIT 20"


@dataclass
class Sample:
    """What the processes held at one time, by name."""

    hours: float
    anonymous_mb: Mapping[str, float]
    descriptors: Mapping[str, int]
    threads: Mapping[str, int]


@dataclass
class Load:
    """Threads that ask for one kind of thing each, again and again, until `stop`."""

    fleet: Fleet
    done: dict[str, int] = field(default_factory=dict[str, int])
    failed: dict[str, int] = field(default_factory=dict[str, int])
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self, name: str, pause_s: float, ask: Callable[[Client], object]) -> None:
        """Ask about every `pause_s` seconds, each thread with a client of its own."""

        def run() -> None:
            with Client(self.fleet.client.endpoint) as client:
                while not self._stopping.wait(random.uniform(0, 2 * pause_s)):
                    try:
                        ask(client)
                        self.done[name] = self.done.get(name, 0) + 1
                    except QuarterdeckError as error:
                        self.failed[name] = self.failed.get(name, 0) + 1
                        note(f"{name}: {error.code}: {error}\n{self.fleet.server.tail()}")

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)


def main() -> None:
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        for name in NODES:
            fleet.join(name)
        _declare(fleet)
        pids = {"server": fleet.server.pid}
        for name in NODES:
            pids |= {name: fleet.agents[name].pid, f"keeper of {name}": keeper_of(fleet, name)}
        load = Load(fleet)
        _ask(load)
        samples = _watch(pids)
        load.stop()
    _report(samples, load)


def _declare(fleet: Fleet) -> None:
    """Have the nodes keep services that print, and fill tables."""
    services = tuple(Service(name=f"prints-{n}", command=("sh", "-c", _PRINTS)) for n in range(2))
    fleet.client.services.apply(ApplyServices(services=services, group="soak"))
    for module in MODULES:
        fleet.client.modules.deploy(module, Selector(nodes=(NODES[0],)))


def _ask(load: Load) -> None:
    load.start("ping", 0.2, lambda client: client.commands.create(CreateCommand(cmd="ping"), wait_s=30))
    load.start("program", 0.5, _program)
    load.start("follow", 1.0, _follow)
    load.start(
        "query",
        1.0,
        lambda client: client.queries.run(_BY_PROGRAM),
    )
    load.start("logs", 2.0, lambda client: client.messages.list(MessageFilter(limit=200, newest_first=True)))
    load.start("search", 10.0, lambda client: client.messages.list(MessageFilter(text="line 77", limit=200)))
    load.start("lists", 1.0, _lists)
    load.start("statsd", 0.05, _Samples().send)


def _program(client: Client) -> None:
    client.commands.create(CreateCommand(cmd="execute", args={"cmd": "sh", "args": ["-c", "seq 200"]}), wait_s=30)


def _follow(client: Client) -> None:
    made = client.commands.create(CreateCommand(cmd="execute", args={"cmd": "seq", "args": ["100"]}))
    for _ in client.commands.output(made.id):
        pass


def _lists(client: Client) -> None:
    client.nodes.list()
    client.jobs.list(limit=50)
    client.services.list()
    client.tables.list()


class _Samples:
    """A sender of statsd packets with a thousand names."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, _: Client) -> None:
        for _each in range(50):
            number = random.randrange(1000)
            self._socket.sendto(b"soak.%d:%d|ms" % (number, number), ("127.0.0.1", 8125))


def _watch(pids: Mapping[str, int]) -> list[Sample]:
    began, samples = time.monotonic(), list[Sample]()
    while (elapsed_s := time.monotonic() - began) < MINUTES * 60:
        samples.append(_sample(pids, elapsed_s / 3600))
        held = ", ".join(f"{name} {mb:.1f}" for name, mb in samples[-1].anonymous_mb.items())
        note(f"{elapsed_s / 60:.0f} min: {held} MB")
        time.sleep(SAMPLE_S)
    return samples


def _sample(pids: Mapping[str, int], hours: float) -> Sample:
    return Sample(
        hours=hours,
        anonymous_mb={name: _anonymous_mb(pid) for name, pid in pids.items()},
        descriptors={name: _entries(pid, "fd") for name, pid in pids.items()},
        threads={name: _entries(pid, "task") for name, pid in pids.items()},
    )


def _entries(pid: int, folder: str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/{folder}").iterdir())


def _anonymous_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no RssAnon")


def _report(samples: Sequence[Sample], load: Load) -> None:
    quarter = len(samples) // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    names = samples[0].anonymous_mb
    growth = {name: 100 * (_peak(after, name) / _peak(before, name) - 1) for name in names}
    asked = sum(load.done.values()) - load.done.get("statsd", 0)
    report(
        "soak",
        figures={
            "server_growth_percent": growth["server"],
            "agent_growth_percent": max(growth[name] for name in NODES),
            "keeper_growth_percent": max(growth[f"keeper of {name}"] for name in NODES),
            "more_descriptors": max(
                _most(after, name, "descriptors") - _most(before, name, "descriptors") for name in names
            ),
            "more_threads": max(_most(after, name, "threads") - _most(before, name, "threads") for name in names),
            "minutes": MINUTES,
            "asked": asked,
            "failed": sum(load.failed.values()),
            "peak_mb": {name: round(_peak(after, name), 1) for name in names},
        },
        peer={"name": "limit: 1 KiB kept of each request", "mb": asked / 2 * 1024 / 1e6},
        ratio=None,
        targets=(
            Target("server_growth_percent", at_most=5),
            Target("agent_growth_percent", at_most=5),
            Target("keeper_growth_percent", at_most=5),
            Target("failed", at_most=0),
        ),
    )


def _peak(samples: Sequence[Sample], name: str) -> float:
    return max(sample.anonymous_mb[name] for sample in samples)


def _most(samples: Sequence[Sample], name: str, counted: str) -> int:
    return max(getattr(sample, counted)[name] for sample in samples)
