"""The two processes of `qd up`: started in order, restarted when they die, and ended in order."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from rich.markup import escape

from quarterdeck.agent.keeper.shutdown import end_left
from quarterdeck.cli import output
from quarterdeck.client import Client, Endpoint
from quarterdeck.client.endpoint import HTTP_ADDRESS_FILE
from quarterdeck.kit.backoff import Backoff
from quarterdeck.model.errors import QuarterdeckError, Revoked, TimedOut, Unavailable
from quarterdeck.model.tokens import CreateJoinToken

READY_S = 60.0
POLL_S = 0.1
#: seconds within which a process must end after SIGTERM
GRACE_S = 30.0
#: between the end of a process and its restart
BACKOFF = Backoff(0.5, 30.0, spread=0.0)
_PR_SET_PDEATHSIG = 1


class Addresses(msgspec.Struct, frozen=True):
    """The addresses on which the server listens."""

    http: str
    link: str
    link_https: str = ""


#: called with the server's addresses, first without, then with the agent's exit code each time it has died
Tell = Callable[[Addresses, int | None], None]


class Child:
    """One of the two processes. It ends with this process (PR_SET_PDEATHSIG), even when that is killed."""

    def __init__(self, name: str, arguments: tuple[str, ...], *, backoff: Backoff = BACKOFF) -> None:
        self.name = name
        self.arguments = arguments
        self._backoff = backoff
        self.environment: dict[str, str] = {}
        self.hidden: tuple[str, ...] = ()  #: variables of the environment that it does not get
        self.last_code: int | None = None  #: the exit code after which the process is not started again
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.start_at = 0.0
        self.started_at = 0.0

    def start(self) -> None:
        """Start it, in its own session so that Ctrl-C reaches only this process."""
        libc = ctypes.CDLL(None)
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "quarterdeck.cli.main", self.name, *self.arguments],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key not in self.hidden} | self.environment,
            preexec_fn=die_with_parent,  # noqa: PLW1509  (nothing but the system call runs in the child)
        )
        self.started_at = time.monotonic()

    @property
    def running(self) -> bool:
        """Return whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def keep(self) -> int | None:
        """Restart it when it has died: at once after a long run, with growing pauses when it keeps dying.

        Return the exit code when it is found dead, once for each time.
        """
        if self.running or self.last_code is not None:
            return None
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return None
        code = self.process.returncode
        if code == Revoked.exit_code:
            self.last_code = code
            output.errors.print(
                f"[yellow]{escape(self.name)} ended and stays down (exit code {code:d}); its output is above[/]"
            )
            return code
        lived_long = now - self.started_at > self._backoff.cap_s
        self.restarts = 0 if lived_long else self.restarts + 1
        delay = self._backoff.pause_s(self.restarts)
        output.errors.print(
            f"[yellow]{escape(self.name)} ended (exit code {code:d}); starting it again in {delay:g} s[/]"
        )
        self.process, self.start_at = None, now + delay
        return code

    def stop(self) -> None:
        """End it: TERM, then KILL after `GRACE_S`."""
        if self.process is None or not self.running:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)  # a stopped process acts on the signal only after it continues
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            output.errors.print(f"[yellow]{escape(self.name)} did not end within {GRACE_S:g} s and is killed[/]")
            self.process.kill()
            self.process.wait()


class Deck:
    """A server and an agent on this machine."""

    def __init__(self, home: Path, *, labels: tuple[str, ...]) -> None:
        self._home = home
        self._server = Child("server", ())
        self._agent = Child("agent", tuple(part for label in labels for part in ("--label", label)))
        self._agent.hidden = ("QD_REDIS", "QD_SERVER_REDIS__URL")  # programs on nodes must not see its password
        self._agent.environment["QD_AGENT_END_PROCESSES"] = "true"
        self._ending = False

    def run(self, tell: Tell) -> None:
        """Start both and keep them running until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        try:
            addresses = self._start_server()
            if addresses is not None:
                self._start_agent(addresses)
                tell(addresses, None)
                self._keep(addresses, tell)
        finally:
            self._agent.stop()
            end_left(self._home / "agent")  # nothing, unless the agent died
            self._server.stop()

    def _end(self, *_: object) -> None:
        self._ending = True

    def _keep(self, addresses: Addresses, tell: Tell) -> None:
        while not self._ending:
            self._server.keep()
            if (code := self._agent.keep()) is not None:
                tell(addresses, code)
            time.sleep(POLL_S)

    def _start_agent(self, addresses: Addresses) -> None:
        self._agent.arguments += ("--server", addresses.link)
        if not (self._home / "agent" / "identity.pem").exists():
            self._agent.environment["QD_AGENT_TOKEN"] = self._join_token()
        self._agent.start()

    def _start_server(self) -> Addresses | None:
        """Start the server; return its addresses once it answers, or None when asked to end meanwhile."""
        (self._home / HTTP_ADDRESS_FILE).unlink(missing_ok=True)
        self._server.start()
        deadline = time.monotonic() + READY_S
        while not self._ending:
            if not self._server.running:
                code = self._server.process.returncode if self._server.process else "none"
                raise Unavailable(f"The server did not start (exit code {code}).", hint="Its output is above.")
            if (self._home / HTTP_ADDRESS_FILE).exists():
                with suppress(QuarterdeckError), Client(Endpoint.of_home(self._home)) as client:
                    info = client.server.get()
                    return Addresses(http=info.http, link=info.link, link_https=info.link_https)
            if time.monotonic() > deadline:
                raise TimedOut(f"The server did not answer within {READY_S:g} s.")
            time.sleep(POLL_S)
        return None

    def _join_token(self) -> str:
        """Create a token for this machine's own node; its labels are those of the current `qd up --label`."""
        with Client(Endpoint.of_home(self._home)) as client:
            return client.tokens.create(CreateJoinToken(expires_s=300.0, allow_labels=("*",))).token
