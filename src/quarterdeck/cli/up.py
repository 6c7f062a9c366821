"""`qd up`, `qd down`, `qd status`: a server and an agent on this machine, kept running together.

`qd up` is the parent of both: it starts the server, waits until it answers, lets the agent join with a one-time token,
and restarts a process that ends. A lock file in the data folder shows whether it runs, so that a stale process id is
never trusted.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape

from quarterdeck.agent.keeper.shutdown import count_running, end_left
from quarterdeck.cli import output
from quarterdeck.cli.cells import Age
from quarterdeck.cli.deck import Addresses, Deck
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import print_details
from quarterdeck.cli.ui import sign_in_link
from quarterdeck.client import Client, Endpoint
from quarterdeck.client.endpoint import HTTP_ADDRESS_FILE, default_home
from quarterdeck.kit.files import write_whole
from quarterdeck.model.errors import Conflict, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.modules import ModuleState
from quarterdeck.model.nodes import AgentState
from quarterdeck.model.server import ServerInfo

#: seconds `--wait` and `qd down` wait
WAIT_S, DOWN_S = 60.0, 75.0
LOCK_S = 1.0
POLL_S = 0.1

_HINTS = """

Try next:
  qd run uname -sr
  qd logs                  (what programs printed)
  qd module deploy execs --wait
  qd query "SELECT time, pid, comm, filename FROM execs ORDER BY time DESC LIMIT 10"
  qd token create          (to join another host)
  qd doctor                (what this kernel can do)"""

Home = Annotated[str | None, Parameter(help="Data folder [env: QD_HOME].")]


class Running(Addresses, frozen=True, kw_only=True):
    """The state that `qd up` writes next to its lock."""

    pid: int
    started_at: float
    agent_code: int | None = None  #: the last exit code of an agent that was not asked to end


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The processes on this machine, and the state of the fleet."""

    server: ServerInfo
    process: int | None  #: of `qd up`, if it runs here
    nodes: int
    online: int
    deployed: list[str]


def up(
    *,
    home: Home = None,
    http: Annotated[str | None, Parameter(help="Address of the API [env: QD_HTTP].")] = None,
    link: Annotated[str | None, Parameter(help="Address agents connect to [env: QD_LINK].")] = None,
    link_https: Annotated[
        str | None, Parameter(help="Address for agents that may speak only HTTPS [env: QD_SERVER_LINK__HTTPS].")
    ] = None,
    redis: Annotated[str | None, Parameter(help="Redis to take commands from, a URL [env: QD_REDIS].")] = None,
    label: Annotated[tuple[str, ...], Parameter(help="Label of this node, key=value. Repeatable.")] = (),
    detach: Annotated[bool, Parameter(help="Run in the background.")] = False,
    wait: Annotated[bool, Parameter(help="With --detach: return when the agent is online.")] = False,
) -> None:
    """Start a server and an agent on this machine, with everything they need."""
    folder = Path(home).absolute() if home else default_home()
    os.environ["QD_HOME"] = str(folder)
    given = {"QD_HTTP": http, "QD_LINK": link, "QD_SERVER_LINK__HTTPS": link_https, "QD_REDIS": redis}
    os.environ.update({name: value for name, value in given.items() if value})
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if running := find_running(folder):
        if detach:
            output.console.print(f"It runs already (process {running.pid:d}).")
            _banner(folder, running)
            return
        raise Conflict(f"It runs already (process {running.pid}).", hint="See `qd status`; end it with `qd down`.")
    if detach:
        _detach(folder, label, wait=wait)
        return
    _hold(folder, label)


def down(*, home: Home = None) -> None:
    """Stop what `qd up` started on this machine, including all programs of its agent, and wait for the end."""
    folder = Path(home).absolute() if home else default_home()
    running = find_running(folder)
    programs = count_running(folder / "agent")
    if running is None and not programs:
        output.console.print("Nothing runs here.")
        return
    with output.errors.status("stopping"):
        if running is None:  # it was killed, and left its processes
            end_left(folder / "agent")
        else:
            os.kill(running.pid, signal.SIGTERM)
            with suppress(ProcessLookupError):  # a stopped process acts on the signal only after it continues
                os.kill(running.pid, signal.SIGCONT)
            _until(lambda: find_running(folder) is None, DOWN_S, f"process {running.pid} to end")
    with_it = f", and {output.counted(programs, 'program')} that the agent ran" if programs else ""
    output.console.print(escape(f"Stopped{with_it}."))


def status(*, home: Home = None, how: OutputOptions = OutputOptions()) -> None:
    """Show what runs on this machine and the state of the fleet. Exit code 69 when nothing runs."""
    folder = Path(home).absolute() if home else default_home()
    running = find_running(folder)
    if running is None and not os.environ.get("QD_HTTP") and not (folder / HTTP_ADDRESS_FILE).exists():
        raise Unavailable(f"Nothing runs here (data folder {folder}).", hint="Start it with `qd up`.")
    with Client(Endpoint.of_home(folder) if running else Endpoint.find(home=folder)) as client:
        info = client.server.get()
        nodes = client.nodes.list()
        modules = client.modules.list()
    online = [node for node in nodes if node.state is AgentState.ONLINE]
    deployed = [module.name for module in modules if module.desire_state is ModuleState.DEPLOYED]
    print_details(
        Status(
            server=info,
            process=running.pid if running else None,
            nodes=len(nodes),
            online=len(online),
            deployed=deployed,
        ),
        lambda: (
            ("version", info.version),
            ("process", running.pid if running else ""),
            ("API", f"http://{info.http}"),
            ("link", info.link),
            ("https link", f"https://{info.link_https}" if info.link_https else ""),
            ("data", folder),
            ("stores", f"{info.state_store}, {info.telemetry_store}"),
            ("up for", Age(info.started_at)),
            ("problems", "\n".join(info.problems)),
            ("nodes", f"{len(online)} of {len(nodes)} online"),
            ("modules", ", ".join(deployed) or "none deployed"),
        ),
        how,
        name=info.http,
    )


def find_running(home: Path) -> Running | None:
    """Return the state of the `qd up` that holds the lock of this data folder, or None."""
    try:
        with (home / "up.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        pass
    try:
        return msgspec.json.decode((home / "up.json").read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _hold(home: Path, labels: tuple[str, ...]) -> None:
    """Run the deck in the foreground until a signal."""
    with (home / "up.lock").open("w") as lock:
        try:
            _until(lambda: _locked(lock), LOCK_S, "the lock")  # a check of the lock holds it for a moment
        except TimedOut as error:
            raise Conflict(f"Another `qd up` is starting with the data folder {home}.") from error

        started_at = time.time()

        def tell(addresses: Addresses, agent_code: int | None) -> None:
            where = msgspec.structs.asdict(addresses)
            running = Running(**where, pid=os.getpid(), started_at=started_at, agent_code=agent_code)
            write_whole(home / "up.json", msgspec.json.encode(running))
            if agent_code is None:
                _banner(home, running, to_log=not output.console.is_terminal)

        try:
            Deck(home, labels=labels).run(tell)
        finally:
            (home / "up.json").unlink(missing_ok=True)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _detach(home: Path, labels: tuple[str, ...], *, wait: bool) -> None:
    command = [sys.executable, "-m", "quarterdeck.cli.main", "up"]
    for label in labels:
        command += ["--label", label]
    with (home / "up.log").open("ab") as log:
        begins = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )

    def is_up() -> bool:
        if process.poll() is not None:
            raise Unavailable(f"`qd up` ended at once (exit code {process.returncode}).")
        running = find_running(home)
        if wait and running and running.agent_code is not None:
            raise Unavailable(
                f"The agent ended (exit code {running.agent_code}). It is started again; the server runs."
            )
        return running is not None

    try:
        with output.errors.status("starting"):
            _until(is_up, WAIT_S, "the server to answer")
            if wait:
                _until(lambda: is_up() and _agent_is_online(home), WAIT_S, "the agent to connect")
    except (Unavailable, TimedOut) as error:
        error.lines, error.hint = _last_lines(home / "up.log", begins), f"See {home / 'up.log'}."
        raise
    running = find_running(home)
    if running:
        _banner(home, running)


def _agent_is_online(home: Path) -> bool:
    try:
        with Client(Endpoint.of_home(home)) as client:
            return any(node.state is AgentState.ONLINE for node in client.nodes.list())
    except QuarterdeckError:
        return False


def _until(done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimedOut(f"Waited {seconds:g} s for {what}.")
        time.sleep(POLL_S)


def _last_lines(log: Path, begins: int, count: int = 12) -> tuple[str, ...]:
    """Return the last lines of a log, after the position `begins`."""
    with log.open(errors="replace") as file:
        file.seek(begins)
        return tuple(line.rstrip("\n") for line in deque(file, count))


def _banner(home: Path, running: Running, *, to_log: bool = False) -> None:
    """Say where it runs. A log needs no hints, and must not contain a link that signs in."""
    links = f"link {running.link}" + (f"  https link https://{running.link_https}" if running.link_https else "")
    hints = "" if to_log else f"\n{_web_ui(home)}{_HINTS}"
    output.console.print(
        "[bold]Quarterdeck runs.[/]  "
        + escape(f"API http://{running.http} (docs: /schema)  {links}  data {home}{hints}"),
        soft_wrap=True,
    )


def _web_ui(home: Path) -> str:
    try:
        with Client(Endpoint.of_home(home)) as client:
            return f"Web UI {sign_in_link(client).url} (signs in once, within five minutes; `qd ui` makes another)"
    except QuarterdeckError as error:
        return f"There is no link to the web UI: {error}"
