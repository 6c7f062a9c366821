"""A hundred programs that do nothing but live: as services of an agent, and as programs of supervisord.

Owns how they are started, found and ended. They are found by an argument that no other process has.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import wait_until
from bench.peers import environment
from quarterdeck.model.services import ApplyServices, Service
from tests.fleet import Fleet

COUNT = 100
PEER = "supervisor==4.3.0"
SETTLE_S = 2.5  #: until supervisord takes its programs for started; killed before that, they wait longer
SECONDS_OURS, SECONDS_PEER = "98765.43", "98765.44"  # of sleep(1): nobody else sleeps so long
_CONFIG = """
[supervisord]
nodaemon=true
logfile={folder}/log
pidfile={folder}/pid
childlogdir={folder}
[program:idle]
command=/bin/sleep {seconds}
autorestart=true
startretries=1000
numprocs={count}
process_name=%(program_name)s_%(process_num)03d
"""


def found(seconds: str) -> set[int]:
    """The processes that sleep so long."""
    wanted = f"sleep\0{seconds}\0".encode()
    pids: set[int] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                line = Path(entry.path, "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if line.endswith(wanted):
                pids.add(int(entry.name))
    return pids


def apply(fleet: Fleet) -> None:
    """Have the fleet's nodes run them, and wait until they do."""
    services = tuple(Service(name=f"idle-{n:03}", command=("sleep", SECONDS_OURS)) for n in range(COUNT))
    fleet.client.services.apply(ApplyServices(services=services, group="bench"))
    wait_until(lambda: len(found(SECONDS_OURS)) == COUNT, "all services to run")


def remove(fleet: Fleet) -> None:
    """End them all."""
    fleet.client.services.apply(ApplyServices(services=(), group="bench", prune=True))
    wait_until(lambda: not found(SECONDS_OURS), "all services to end")


def kill_all(seconds: str) -> float:
    """Kill them all at once; the seconds until as many others run."""
    before = found(seconds)
    began = time.monotonic()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(found(seconds) - before) == COUNT, "all to run again", pause_s=0.005)
    return time.monotonic() - began


def keeper_of(fleet: Fleet, node: str) -> int:
    """The process that keeps the children of this node's agent."""
    home = str(fleet.agents[node].home).encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"quarterdeck.keeper" in words and any(word.startswith(home) for word in words):
                return int(entry.name)
    raise RuntimeError("there is no keeper")


@contextmanager
def supervisord() -> Iterator[int | None]:
    """The same under supervisord: its pid; None where it cannot be installed."""
    programs = environment(PEER)
    if programs is None:
        yield None
        return
    with TemporaryDirectory(prefix="qd-bench-") as text:
        config = Path(text) / "conf"
        config.write_text(_CONFIG.format(folder=text, seconds=SECONDS_PEER, count=COUNT))
        with subprocess.Popen(
            [programs / "supervisord", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                wait_until(lambda: len(found(SECONDS_PEER)) == COUNT, "supervisord's programs")
                time.sleep(SETTLE_S)
                yield process.pid
            finally:
                process.terminate()
                process.wait()
