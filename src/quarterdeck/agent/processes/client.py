"""The agent's side of the keeper: start and end children, hear what they print and how they end.

`Keeper` finds the running keeper by its socket in the agent's folder, starts one where there is none, and connects
again whenever the connection ends. Each event comes once to this process, in order for each child; after an agent's
restart those come again that were not acknowledged, with the same numbers. Acknowledge what is stored, not what was
read. It owns the connection; what is to run, and what becomes of events, is others' business.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from quarterdeck.agent.processes.cgroups import Plan
from quarterdeck.agent.processes.frames import VERSION, Frames, NotAFrame, frame
from quarterdeck.agent.processes.refusals import refusal
from quarterdeck.model.errors import AlreadyExists, BadInput, NotInstalled, QuarterdeckError, Unavailable
from quarterdeck.model.struct import Struct, Wire

log = logging.getLogger(__name__)

SOCKET = "keeper.sock"
GRACE_S = 10.0
#: between tries to reach a keeper that does not answer
RETRY_S = 0.2
TRIES = 25
_READ_BYTES = 1024 * 1024
_EEXIST = 17
#: of the exit of a child that no keeper has: behind all that was told of it
_LAST = 1 << 62


class User(Struct, frozen=True, kw_only=True):
    """Whom a program runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> User:
        """By the host's own users. `BadInput` when there is none of that name."""
        if sys.platform == "win32":
            raise NotInstalled("Programs run as the agent's own user on this system.")
        import grp  # noqa: PLC0415
        import pwd  # noqa: PLC0415

        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise BadInput(f"There is no user '{name}' on this node.", hint="Name one that `id NAME` knows.") from None
        groups = (each.gr_gid for each in grp.getgrall() if name in each.gr_mem)
        return cls(uid=found.pw_uid, gid=found.pw_gid, groups=(found.pw_gid, *groups))


class Start(Struct, frozen=True, kw_only=True):
    """What to run. `id` is free again once its exit is acknowledged."""

    id: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}  #: all of it: nothing is inherited
    cwd: str = "/"
    user: User | None = None  #: None: the agent's
    stdin: bytes = b""  #: then its standard input is at its end
    plan: Plan = Plan()
    restarts: int = 0  #: failed runs before this one; the keeper only remembers it
    spool_bytes: int | None = None  #: output that waits on disk for the agent; the oldest goes when it is more


class Exited(Wire, frozen=True, kw_only=True, tag_field="t", tag="exit"):
    """A child has ended, and all it started; everything it printed came before."""

    id: str
    seq: int
    code: int | None  #: -n: signal n ended it; None: not known, the keeper was lost
    ended: float  #: seconds since the epoch
    printed: tuple[int, int] = (0, 0)  #: bytes of standard output and of standard error, as far as is known
    killed: bool = False  #: it was asked to end
    lost: bool = False  #: its keeper died before it: what was left of it was killed, output may be missing
    survivors: int = 0  #: processes of its tree that could not be killed: they hang in the kernel
    user_s: float = 0.0  #: CPU time of it and of those of its own that it waited for
    system_s: float = 0.0
    max_rss: int = 0  #: bytes; of the largest of them


class Output(Wire, frozen=True, kw_only=True, tag_field="t", tag="output"):
    """Bytes of a stream, in order."""

    id: str
    seq: int
    stream: int  #: 1 standard output, 2 standard error
    offset: int  #: of the first byte in its stream
    data: bytes = b""


class OutputLost(Wire, frozen=True, kw_only=True, tag_field="t", tag="lost"):
    """Bytes that did not fit on the disk while the agent was away."""

    id: str
    seq: int
    bytes: tuple[int, int]  #: of standard output and of standard error


class Exit(Wire, frozen=True, kw_only=True):
    """How a child ended, before its exit was acknowledged."""

    code: int | None
    ended: float


class Child(Wire, frozen=True, kw_only=True, tag_field="t", tag="started"):
    """A child that the keeper has."""

    id: str
    pid: int
    began: float  #: seconds since the epoch
    since: float = 0.0  #: the same by the monotonic clock of this boot
    restarts: int = 0  #: as it was started with
    killed: bool = False
    exit: Exit | None = None  #: None: it runs
    groups: tuple[str, ...] = ()


class _Refused(Wire, frozen=True, kw_only=True, tag_field="t", tag="refused"):
    id: str
    stage: str
    errno: int
    why: str


class _Hello(Wire, frozen=True, kw_only=True, tag_field="t", tag="hello"):
    version: int
    pid: int
    since: float = 0.0
    children: list[dict[str, object]] = []


Event = Output | OutputLost | Exited
_FromKeeper = Exited | Output | OutputLost | Child | _Refused | _Hello


class StartRefused(BadInput):
    """The program could not be started."""


class _Asked(NamedTuple):
    """A start that the keeper has not answered yet."""

    start: Start
    data: bytes  #: as it is sent
    answer: asyncio.Future[Child]


class Keeper:
    """The keeper whose socket is in `home`, a folder of the agent's own."""

    def __init__(self, home: Path, *, linger_s: float = 60.0) -> None:
        self._home = home
        self._linger_s = linger_s
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._linked = asyncio.Event()
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._starts: dict[str, _Asked] = {}
        self._seen: dict[str, int] = {}  #: newest number that came, for each child
        self._acked: dict[str, int] = {}
        self._ended: set[str] = set()
        self._children: tuple[Child, ...] = ()
        self._failure: QuarterdeckError | None = None
        self._running: set[str] = set()  #: children that have told no exit
        self.pid = 0
        self.since = math.inf  #: when the keeper began, by the monotonic clock of this boot; known once connected

    async def connect(self) -> tuple[Child, ...]:
        """Reach the keeper, started if need be; the children it has. `Unavailable` when it cannot be."""
        if sys.platform == "win32":
            raise NotInstalled("There is no keeper on this system.", hint="Processes need a POSIX system.")
        if self._reading is None or self._reading.done():
            self._failure = None
            self._reading = asyncio.create_task(self._keep(), name="keeper")
        linked = asyncio.create_task(self._linked.wait())
        await asyncio.wait((linked, self._reading), return_when=asyncio.FIRST_COMPLETED)
        linked.cancel()
        if self._failure is not None:
            raise self._failure
        return self._children

    async def close(self) -> None:
        """Leave the keeper to itself: the children go on."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._drop()

    async def start(self, start: Start, *, started: Callable[[Child], None] = lambda _: None) -> Child:
        """Run a program; back as soon as it runs. `StartRefused` says why not, `AlreadyExists`: the id is in use.

        `started` is called before `events` has anything of it; what is returned may come after its exit.
        """
        if not start.argv:
            raise BadInput("A program needs a name, and there is none.", hint="Give at least one argument.")
        if start.id in self._starts:
            raise AlreadyExists(f"'{start.id}' is being started already.")
        await self.connect()
        header = msgspec.to_builtins(start) | {"t": "start"}
        plan = header.pop("plan")
        header |= {"groups": plan["groups"], "rlimits": plan["rlimits"]}
        del header["stdin"]
        answer: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda _: _tell(answer, started))
        asked = self._starts[start.id] = _Asked(start, frame(header, start.stdin), answer)
        try:
            await self._send(asked.data)
            return await answer
        finally:
            self._starts.pop(start.id, None)

    async def kill(self, child_id: str, *, grace_s: float = GRACE_S) -> None:
        """TERM for the whole tree, KILL when the grace is over; its exit tells when it is gone."""
        await self._send(frame({"t": "kill", "id": child_id, "grace_s": grace_s}))

    async def stop(self) -> None:
        """The keeper shall end as soon as it has no child."""
        await self._send(frame({"t": "stop"}))

    async def events(self) -> list[Event]:
        """What happened since the last call; waits until there is something."""
        await self.connect()
        await self._news.wait()
        self._news.clear()
        events, self._events = self._events, []
        return events

    async def acknowledge(self, seqs: Mapping[str, int]) -> None:
        """Everything of these children up to these numbers is stored, and need not come again."""
        self._acked.update(seqs)
        for child_id in self._ended & seqs.keys():
            if seqs[child_id] >= self._seen[child_id]:
                self._ended.discard(child_id)
                del self._seen[child_id], self._acked[child_id]
        await self._send(frame({"t": "ack", "acks": dict(seqs)}))

    async def _send(self, data: bytes) -> None:
        """To the keeper; when there is none just now, what was not said is made good when there is one again."""
        await self.connect()
        writer = self._writer
        if writer is not None:
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    async def _keep(self) -> None:
        """Be connected, again and again."""
        while True:
            try:
                reader = await self._open()
            except QuarterdeckError as error:
                self._failure = error
                return
            frames = Frames()
            try:
                while data := await reader.read(_READ_BYTES):
                    for header, body in frames.feed(data):
                        self._heard(header, body)
            except (ConnectionError, NotAFrame, msgspec.ValidationError) as error:
                log.warning("the connection to the keeper ended: %s", error)
            except QuarterdeckError as error:
                self._failure = error
                return
            finally:
                self._drop()

    def _drop(self) -> None:
        self._linked.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _open(self) -> asyncio.StreamReader:
        """A connection, to a keeper that is started where none answers."""
        if sys.platform == "win32":
            raise NotInstalled("There is no keeper on this system.")
        last: OSError | None = None
        for _ in range(TRIES):
            try:
                reader, self._writer = await _connect(self._home)
            except OSError as error:
                last = error
                await self._launch()
                await asyncio.sleep(RETRY_S if isinstance(error, ConnectionRefusedError) else 0)
                continue
            self._writer.write(frame({"t": "hello", "version": VERSION}))
            return reader
        raise Unavailable(f"The keeper in {self._home} cannot be reached: {last}", hint="See keeper.log there.")

    async def _launch(self) -> None:
        argv = ("-m", "quarterdeck.agent.processes.keeper", str(self._home), "--linger", str(self._linger_s))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, why = await process.communicate()
        if process.returncode:
            raise Unavailable(f"The keeper does not start: {why.decode(errors='replace').strip()[-500:]}")

    def _heard(self, header: dict[str, object], body: bytes) -> None:
        message = msgspec.convert(header, type=_FromKeeper)
        match message:
            case _Hello():
                self._greeted(message)
            case Child():
                self._answer(message.id, message)
            case _Refused(errno=errno, stage="id") if errno == _EEXIST:
                self._answer(
                    message.id, AlreadyExists(f"'{message.id}' runs already, or its exit was not acknowledged.")
                )
            case _Refused():
                if asked := self._starts.get(message.id):
                    program, folder = asked.start.argv[0], asked.start.cwd
                    words, hint = refusal(program, folder, message.stage, number=message.errno, why=message.why)
                    self._answer(message.id, StartRefused(words, hint=hint))
            case Output():
                self._event(msgspec.structs.replace(message, data=body))
            case _:
                self._event(message)

    def _greeted(self, hello: _Hello) -> None:
        if hello.version != VERSION:
            raise Unavailable(
                f"The keeper (process {hello.pid}) speaks version {hello.version}, this agent {VERSION}.",
                hint="End its children with the agent that started it, then start this one.",
            )
        self.pid, self.since = hello.pid, hello.since or math.inf
        self._children = tuple(msgspec.convert({**each, "t": "started"}, type=Child) for each in hello.children)
        running = {child.id: child for child in self._children}
        for child_id, asked in list(self._starts.items()):
            if child_id in running:
                self._answer(child_id, running[child_id])
            elif self._writer is not None:
                self._writer.write(asked.data)
        for child_id in self._running - running.keys():  # an earlier keeper's, which could not even write it down
            self._event(Exited(id=child_id, seq=_LAST, code=None, ended=time.time(), lost=True))
        self._running |= running.keys() - self._ended
        self._linked.set()

    def _answer(self, child_id: str, answer: Child | QuarterdeckError) -> None:
        asked = self._starts.get(child_id)
        if asked is None or asked.answer.done():
            return
        if isinstance(answer, Child):
            self._running.add(child_id)
            asked.answer.set_result(answer)
        else:
            asked.answer.set_exception(answer)

    def _event(self, event: Event) -> None:
        """One that came before is acknowledged again if it was, and not told twice."""
        if event.seq <= self._seen.get(event.id, 0) or event.id in self._ended:
            if event.seq <= self._acked.get(event.id, 0) and self._writer is not None:
                self._writer.write(frame({"t": "ack", "acks": {event.id: event.seq}}))
            return
        self._seen[event.id] = event.seq
        if isinstance(event, Exited):
            self._ended.add(event.id)
            self._running.discard(event.id)
        self._events.append(event)
        self._news.set()


def _tell(answer: asyncio.Future[Child], started: Callable[[Child], None]) -> None:
    if not answer.cancelled() and answer.exception() is None:
        started(answer.result())


async def _connect(home: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """By the folder's descriptor: a socket's path is short by law, a home's is not."""
    if sys.platform == "win32":
        raise NotInstalled("There is no keeper on this system.")
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{SOCKET}", limit=_READ_BYTES)
    finally:
        os.close(folder)
