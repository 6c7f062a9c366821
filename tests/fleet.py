"""A whole fleet of real processes on this machine: a server and agents, started as a user starts them, on free ports.

Every process is started in its own session and killed at the end, whatever the test did to it; its output is kept in
the test's folder and shown when something does not come up.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from quarterdeck.agent.keeper.shutdown import end_left
from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.modules import Instance, InstanceState
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.testing.proxy import CuttableProxy
from tests import ordinary

T = TypeVar("T")
DEADLINE_S = 60.0


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now.

    It is none of those that the kernel gives to whoever connects: one of them could take it before its server has it,
    or while that is down, and who calls it then could be connected with itself.
    """
    ephemeral, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    while True:
        port = random.randrange(10_000, max(20_000, ephemeral))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(look: Callable[[], T | None], what: str, *, seconds: float = DEADLINE_S) -> T:
    """The first result of `look` that is truthy; fails naming `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def make_home(home: Path) -> None:
    """A data folder with a configuration of its own: that of the machine, in /etc, is not read."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "quarterdeck.toml").touch()


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """A test that is killed takes its fleet with it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _begin(group: Path | None, descriptors: int | None) -> None:
    """Prepare a new process: put it into the cgroup `group` and limit its open descriptors."""
    if group is not None:
        group.write_text("0")
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    _die_with_parent()


class Process:
    """One `qd` process; with `ordinary_user`, of a user who may do nothing special; in the cgroup `group`, if any.

    `descriptors` is the number that it may have open at a time.
    """

    def __init__(
        self,
        home: Path,
        arguments: Iterable[str],
        environment: dict[str, str],
        *,
        ordinary_user: bool = False,
        group: Path | None = None,
        descriptors: int | None = None,
    ) -> None:
        self.home = home
        self._begin = partial(_begin, group, descriptors)
        self._ordinary = ordinary_user
        self.arguments = tuple(arguments)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
        if ordinary_user:
            inherited["HOME"] = str(home)
        self.environment = {**inherited, "QD_HOME": str(home), **environment}
        self.log = home / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        make_home(self.home)
        if self._ordinary:
            ordinary.own(self.home)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(ordinary.command() if self._ordinary else ()),
                    sys.executable,
                    "-m",
                    "quarterdeck.cli.main",
                    *self.arguments,
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._begin,  # noqa: PLW1509  (nothing but system calls runs in the child)
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def stop(self) -> int:
        """TERM and wait; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        assert self._process is not None
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise AssertionError(f"{self.arguments} did not end within 30 s\n{self.tail()}") from None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class Cable:
    """A `CuttableProxy` in a thread of its own, for tests that are not async."""

    def __init__(self, target: str) -> None:
        self._proxy = CuttableProxy(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(5)
        self.address = self._proxy.address
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.cut)

    def restore(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.restore)


class Fleet:
    """A server and its agents; a context manager that leaves nothing running."""

    def __init__(
        self,
        folder: Path,
        *,
        server_environment: dict[str, str] | None = None,
        ordinary_user: bool = False,
        server_group: Path | None = None,
        server_descriptors: int | None = None,
    ) -> None:
        self.folder = folder
        self._ordinary = ordinary_user
        self.http = f"127.0.0.1:{free_port()}"
        self.link = f"127.0.0.1:{free_port()}"
        arguments = ("server", "--http", self.http, "--link", self.link)
        self.server = Process(
            folder / "server",
            arguments,
            server_environment or {},
            ordinary_user=ordinary_user,
            group=server_group,
            descriptors=server_descriptors,
        )
        self.agents: dict[str, Process] = {}
        self._client: Client | None = None

    def __enter__(self) -> Self:
        self.start_server()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client:
            self._client.close()
        processes = [*self.agents.values(), self.server]
        if error is not None:
            for process in processes:
                print(f"──── {' '.join(process.arguments[:1])} {process.home.name}\n{process.tail()}")
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            if process.started:
                process.wait()
        for agent in self.agents.values():
            end_left(agent.home / "agent", grace_s=0)

    @property
    def client(self) -> Client:
        """The administrator's client."""
        if self._client is None:
            self._client = Client(Endpoint.find(http=self.http, home=self.server.home))
        return self._client

    def start_server(self) -> None:
        self.server.start()
        eventually(self._answers, f"the server to answer\n{self.server.tail()}")

    def _answers(self) -> bool:
        assert self.server.running, self.server.tail()
        try:
            self.client.server.get()
        except QuarterdeckError:
            return False
        return True

    def join(
        self,
        name: str,
        *,
        labels: dict[str, str] | None = None,
        server: str = "",
        environment: dict[str, str] | None = None,
    ) -> Process:
        """Starts an agent with a fresh token and waits until it is online."""
        token = self.client.tokens.create(CreateJoinToken(labels={})).token
        arguments = ["agent", "--server", server or self.link, "--name", name]
        for key, value in (labels or {}).items():
            arguments += ["--label", f"{key}={value}"]
        variables = {"QD_AGENT_TOKEN": token} | (environment or {})
        agent = Process(self.folder / name, arguments, variables, ordinary_user=self._ordinary).start()
        self.agents[name] = agent
        self.wait_for(name, AgentState.ONLINE)
        return agent

    def node(self, name: str) -> Node | None:
        return next((node for node in self.client.nodes.list() if node.name == name), None)

    def wait_for(self, name: str, state: AgentState) -> Node:
        def look() -> Node | None:
            node = self.node(name)
            return node if node and node.state is state else None

        try:
            return eventually(look, f"node {name} to be {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.agents[name].tail()}") from None

    def instances(self, module: str) -> dict[str, Instance]:
        return {instance.node_name: instance for instance in self.client.instances.list(module)}

    def wait_running(self, module: str, *nodes: str) -> None:
        """Waits until the module runs on these nodes."""

        def look() -> bool:
            found = self.instances(module)
            return all(n in found and found[n].status.state is InstanceState.SUCCEEDED for n in nodes)

        try:
            eventually(look, f"{module} to run on {nodes}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nfound: {self.instances(module)}") from None

    def rows(self, sql: str) -> list[list[object]]:
        return self.client.queries.run(sql).rows

    def wait_rows(self, sql: str, *, seconds: float = DEADLINE_S) -> list[list[object]]:
        """The first answer of `sql` that has rows."""
        return eventually(lambda: self.rows(sql), f"rows of {sql}", seconds=seconds)
