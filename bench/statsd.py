"""Statsd packets over UDP into the agent's aggregator, of 1 and of 20 metrics.

A process pinned to one CPU sends packets (sendmmsg, from C: the sender is not the bottleneck) as fast as the kernel
takes them; the agent's listener and aggregator are on the other. What is measured is how many packets a second were
received, parsed and summed, from the first to the last. A flood is more than can be taken, so packets are lost:
`unaccounted` is what was sent, less what was received, less what was counted as lost. At 250,000 packets a second none
is to be lost: `lost_at_target`.

Peer, in the same run and on the same CPU: the statsd of npm (github.com/statsd/statsd, which named the protocol) with
no backend, in the same flood. It is installed from the npm registry into a temporary folder; where that cannot be, it
is left out, and said so.

Target: ≥ 250,000 packets/s, and no fewer than the peer; nothing unaccounted.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench.measure import CONSUMER_CPU, PRODUCER_CPU, Target, note, pin, report, thread_cpu_ns, wait_until
from quarterdeck.agent.stats.stats import Stats
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.stats import StatsConfig
from quarterdeck.modulekit import cache

ROUNDS, ROUND_S = 3, 2.0
TARGET_PACKETS_S = 250_000
PEER = "statsd@0.9.0"
LOCAL = "127.0.0.1"


class Sent(NamedTuple):
    """What the sender sent in one go."""

    packets: int
    seconds: float


class Round(NamedTuple):
    """One flood, seen by one receiver."""

    packets_per_s: float
    sent: int
    received: int
    lost: int
    cpu_ns: float = 0.0  #: a packet


def main() -> None:
    pin(CONSUMER_CPU)
    with Flood() as flood:
        single, many, calm = our_rounds(flood)
        peers = peer_rounds(flood)
    rounds = [*single, *many, *calm]
    best_single, best_many = _rate(single), _rate(many)
    peer_single = _rate(peers[0]) if peers else 0.0
    report(
        "statsd",
        figures={
            "packets_per_s": best_single,
            "packets_of_20_per_s": best_many,
            "metrics_per_s": best_many * 20,
            "cpu_ns_per_packet": statistics.median(each.cpu_ns for each in single),
            "cpu_ns_per_packet_of_20": statistics.median(each.cpu_ns for each in many),
            "lost_share_of_flood": sum(each.lost for each in single) / sum(each.sent for each in single),
            "lost_at_target": sum(each.lost for each in calm),
            "unaccounted": sum(abs(each.sent - each.received - each.lost) for each in rounds),
        },
        peer={"name": f"{PEER} on node", "packets_per_s": peer_single, "packets_of_20_per_s": _rate(peers[1])}
        if peers
        else {"name": f"{PEER}: not installable here"},
        ratio=best_single / peer_single if peers else None,
        targets=(
            Target("packets_per_s", at_least=max(TARGET_PACKETS_S, peer_single)),
            Target("packets_of_20_per_s", at_least=max(TARGET_PACKETS_S, _rate(peers[1]) if peers else 0)),
            Target("lost_at_target", at_most=0),
            Target("unaccounted", at_most=0),
        ),
    )


def our_rounds(flood: Flood) -> tuple[list[Round], list[Round], list[Round]]:
    """The agent's way: floods of packets of 1 and of 20, and packets of 1 at the target's rate."""
    losses = 0

    def lose(loss: object) -> None:
        nonlocal losses
        losses += getattr(loss, "rows", 0)

    stats = Stats(
        StatsConfig(statsd_udp=f"{LOCAL}:0"),
        outlet=Outlet(emit=lambda *_: None, lose=lose),
        who=lambda: AgentIdentity(agent_id="", gid=1, nid=1, serial=""),
    )
    stats.listen()
    listener = stats.listeners["udp"]
    assert isinstance(listener.address, tuple)
    port: int = listener.address[1]

    def one(metrics: int, rate: float) -> Round:
        nonlocal losses
        stats.flush()
        losses, received, cpu_ns = 0, listener.received, thread_cpu_ns("statsd-udp")
        began = time.monotonic()
        sent = flood.send(port, metrics, rate=rate)
        pending = -1
        while pending != listener.received:  # still draining
            pending = listener.received
            time.sleep(0.01)
        seconds = max(sent.seconds, time.monotonic() - began - 0.01)
        stats.flush()
        taken = listener.received - received
        found = Round(taken / seconds, sent.packets, taken, losses, (thread_cpu_ns("statsd-udp") - cpu_ns) / taken)
        note(f"ours, {metrics} a packet: {found}")
        return found

    try:
        one(1, 0)  # the first pages, the first compilation
        return (
            [one(1, 0) for _ in range(ROUNDS)],
            [one(20, 0) for _ in range(ROUNDS)],
            [one(1, TARGET_PACKETS_S) for _ in range(ROUNDS)],
        )
    finally:
        stats.close()


def peer_rounds(flood: Flood) -> tuple[list[Round], list[Round]] | None:
    """The peer's way; None when it cannot be had."""
    with tempfile.TemporaryDirectory(prefix="quarterdeck-statsd-") as folder:
        if not _installed(Path(folder)):
            return None
        with _peer(Path(folder)) as (port, management):

            def one(metrics: int) -> Round:
                before, began = _peer_received(management), time.monotonic()
                sent = flood.send(port, metrics)
                received = _peer_received(management) - before  # it answers when it has emptied its socket
                found = Round(received / max(sent.seconds, time.monotonic() - began), sent.packets, received, 0)
                note(f"npm, {metrics} a packet: {found}")
                return found

            one(1)
            return [one(1) for _ in range(ROUNDS)], [one(20) for _ in range(ROUNDS)]


def _installed(folder: Path) -> bool:
    if shutil.which("npm") is None or shutil.which("node") is None:
        note("npm or node is missing")
        return False
    command = ["npm", "install", "--no-save", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", PEER]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        note(f"npm cannot install {PEER}: {done.stderr.strip()[-300:]}")
    return done.returncode == 0


@contextmanager
def _peer(folder: Path) -> Iterator[tuple[int, int]]:
    """The peer, listening: its UDP port and its management port."""
    port, management = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
    config = folder / "config.js"
    settings = {"address": LOCAL, "port": port, "mgmt_address": LOCAL, "mgmt_port": management}
    config.write_text(json.dumps(settings | {"backends": [], "flushInterval": 3_600_000}))
    command = ["node", str(folder / "node_modules" / "statsd" / "stats.js"), str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            pin(CONSUMER_CPU, process.pid)
            wait_until(lambda: _answers(management), "the peer", seconds=20)
            yield port, management
        finally:
            process.kill()


def _answers(management: int) -> bool:
    try:
        socket.create_connection((LOCAL, management), timeout=1).close()
    except OSError:
        return False
    return True


def _peer_received(management: int) -> int:
    """Packets it has taken so far: a counter of its own, never flushed here."""
    with socket.create_connection((LOCAL, management), timeout=60) as connection:
        connection.sendall(b"counters\n")
        answer = b""
        while not answer.rstrip().endswith(b"END"):
            answer += connection.recv(65536)
    found = re.search(rb"statsd\.packets_received'?: (\d+)", answer)
    return int(found[1]) if found else 0


class Flood:
    """The process that sends; a context manager that ends it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([_program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(PRODUCER_CPU, self._process.pid)

    def send(self, port: int, metrics: int, *, seconds: float = ROUND_S, rate: float = 0) -> Sent:
        """Send for so long and wait until it is over."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} {metrics} {seconds} {rate}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sender ended with {self._process.wait()}")
        packets, _, nanoseconds = map(int, line.split())
        return Sent(packets, nanoseconds / 1e9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def _program() -> Path:
    """The compiled sender, from the cache of compiled modules."""
    source = Path(__file__).parent / "flood.c"
    program = cache.folder() / f"flood-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.is_file():
        made = program.with_suffix(".new")
        subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O2", "-o", made, source], check=True)
        made.replace(program)
    return program


def _rate(rounds: list[Round]) -> float:
    return statistics.median(each.packets_per_s for each in rounds)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])
