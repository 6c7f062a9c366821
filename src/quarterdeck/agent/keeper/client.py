"""The connection to the keeper: it starts and ends children, and receives their output and exits.

`KeeperClient` finds the running keeper by its socket in the agent's folder, starts one where there is none, and
connects again whenever the connection ends. Each event comes once to this process, in order for each child. After a
restart of the agent, events that were not acknowledged come again with the same numbers: acknowledge what is stored,
not what was read. The client owns the connection. It never decides which programs run, nor what is done with events.
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

from quarterdeck.agent.keeper.known_runs import LAST, KnownRuns
from quarterdeck.agent.keeper.messages import (
    ChildStatus,
    Event,
    Exited,
    Forgotten,
    FromKeeper,
    KeeperHello,
    OutputChunk,
    StartFailed,
)
from quarterdeck.agent.keeper.refusals import refusal
from quarterdeck.agent.keeper.start import Start, StartRefused
from quarterdeck.keeper.protocol import SOCKET, VERSION, Frames, NotAFrame, frame
from quarterdeck.kit.tasks import cancel
from quarterdeck.model.errors import AlreadyExists, BadInput, NotInstalled, QuarterdeckError, Unavailable

log = logging.getLogger(__name__)

GRACE_S = 10.0
#: between tries to reach a keeper that does not answer
RETRY_S = 0.2
TRIES = 25
_READ_BYTES = 1024 * 1024
_EEXIST = 17


class _Asked(NamedTuple):
    """A request to start a program that the keeper has not answered yet."""

    start: Start
    data: bytes  #: as it is sent
    answer: asyncio.Future[ChildStatus]


class KeeperClient:
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
        self._known = KnownRuns()
        self._confirms = False
        self._opens_inputs = False
        self._children: tuple[ChildStatus, ...] = ()
        self._failure: QuarterdeckError | None = None
        self.pid = 0
        self.since = math.inf  #: when the keeper began, by the monotonic clock of this boot; known once connected

    async def connect(self) -> tuple[ChildStatus, ...]:
        """Reach the keeper, started if need be; the children it has. `Unavailable` when it cannot be."""
        if sys.platform == "win32":
            raise NotInstalled("There is no keeper on this system.", hint="Processes need a POSIX system.")
        if self._reading is None or self._reading.done():
            self._failure = None
            self._reading = asyncio.create_task(self._keep(), name="keeper")
        linked = asyncio.create_task(self._linked.wait())
        try:
            await asyncio.wait((linked, self._reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(linked)
        if self._failure is not None:
            raise self._failure
        return self._children

    async def close(self) -> None:
        """Leave the keeper to itself: the children go on."""
        if self._reading is not None:
            await cancel(self._reading)
        self._drop()

    async def start(self, start: Start, *, started: Callable[[ChildStatus], None] = lambda _: None) -> ChildStatus:
        """Run a program; back as soon as it runs. `StartRefused` says why not, `AlreadyExists`: the id is in use.

        `started` is called before `events` has anything of it; what is returned may come after its exit.
        """
        if not start.argv:
            raise BadInput("A program needs a name, and there is none.", hint="Give at least one argument.")
        if start.id in self._starts:
            raise AlreadyExists(f"'{start.id}' is being started already.")
        await self.connect()
        if start.stdin_file and not self._opens_inputs:
            raise StartRefused(
                "The keeper of this node is of an earlier release, which cannot pass a file as standard input.",
                hint="End the programs that it keeps, or wait for their end: the next keeper can.",
            )
        header = msgspec.to_builtins(start) | {"t": "start"}
        plan = header.pop("plan")
        header |= {"groups": plan["groups"]}
        del header["stdin"]
        answer: asyncio.Future[ChildStatus] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda _: _tell(answer, started))
        asked = self._starts[start.id] = _Asked(start, frame(header, start.stdin), answer)
        try:
            await self._send(asked.data)
            return await answer
        finally:
            self._starts.pop(start.id, None)

    async def kill(self, child_id: str, *, grace_s: float = GRACE_S) -> None:
        """Send TERM to the whole tree, and KILL when the grace period is over; its exit tells when it is gone.

        If the keeper cannot be reached now, the request is sent later.
        """
        self._known.killed(child_id, grace_s)
        await self._write({"t": "kill", "id": child_id, "grace_s": grace_s})

    async def stop(self) -> None:
        """Tell the keeper to end as soon as it has no child."""
        await self.connect()
        await self._write({"t": "stop"})

    async def events(self) -> list[Event]:
        """Return what happened since the last call; wait until there is something, or the keeper cannot be reached."""
        await self.connect()
        await self._news.wait()
        self._news.clear()
        events, self._events = self._events, []
        return events

    async def acknowledge(self, seqs: Mapping[str, int]) -> None:
        """Tell the keeper that everything of these children up to these numbers is stored.

        If the keeper cannot be reached now, the acknowledgement is sent later.
        """
        know = self._known.acknowledged
        acks = {child_id: know(child_id, seq, confirmed=self._confirms) for child_id, seq in seqs.items()}
        await self._write({"t": "ack", "acks": acks})

    async def _send(self, data: bytes) -> None:
        """To the keeper; when there is none just now, what was not said is made good when there is one again."""
        writer = self._writer
        if writer is not None:
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    async def _write(self, header: dict[str, object]) -> None:
        await self._send(frame(header))

    async def _keep(self) -> None:
        """Stay connected until no connection is possible any more; then `events` says so."""
        try:
            while True:
                await self._listen(await self._open())
        except QuarterdeckError as error:
            self._failure = error
        except OSError as error:
            self._failure = Unavailable(f"The keeper cannot be started: {error}.")
        except Exception as error:
            log.exception("a message of the keeper caused an internal error")
            self._failure = Unavailable(f"A message of the keeper caused an internal error: {error!r}.")
        finally:
            self._news.set()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Read from the keeper until the connection ends."""
        frames = Frames()
        try:
            while data := await reader.read(_READ_BYTES):
                for header, body in frames.feed(data):
                    self._heard(header, body)
        except (ConnectionError, NotAFrame, msgspec.ValidationError) as error:
            log.warning("the connection to the keeper ended: %s", error)
        finally:
            self._drop()

    def _drop(self) -> None:
        self._linked.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _open(self) -> asyncio.StreamReader:
        """Return a connection to the keeper; start a keeper if none answers."""
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
            self._writer.write(frame({"t": "hello", "version": VERSION, "confirms": True}))
            return reader
        raise Unavailable(f"The keeper in {self._home} cannot be reached: {last}", hint="See keeper.log there.")

    async def _launch(self) -> None:
        argv = ("-m", "quarterdeck.keeper", str(self._home), "--linger", str(self._linger_s))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, why = await process.communicate()
        if process.returncode:
            raise Unavailable(f"The keeper does not start: {why.decode(errors='replace').strip()[-500:]}")

    def _heard(self, header: dict[str, object], body: bytes) -> None:
        message = msgspec.convert(header, type=FromKeeper)
        match message:
            case KeeperHello():
                self._greeted(message)
            case ChildStatus():
                self._known.began(message.id, message.began)
                self._answer(message.id, message)
            case Forgotten():
                self._known.forgotten(message.id)
            case StartFailed(errno=errno, stage="id") if errno == _EEXIST:
                self._answer(
                    message.id, AlreadyExists(f"'{message.id}' runs already, or its exit was not acknowledged.")
                )
            case StartFailed():
                if asked := self._starts.get(message.id):
                    program, folder = asked.start.argv[0], asked.start.cwd
                    words, hint = refusal(program, folder, message.stage, number=message.errno, why=message.why)
                    self._answer(message.id, StartRefused(words, hint=hint))
            case OutputChunk():
                self._event(msgspec.structs.replace(message, data=body))
            case _:
                self._event(message)

    def _greeted(self, hello: KeeperHello) -> None:
        if hello.version != VERSION:
            raise Unavailable(
                f"The keeper (process {hello.pid}) speaks version {hello.version}, this agent {VERSION}.",
                hint="End its children with the agent that started it, then start this one.",
            )
        self.pid, self.since = hello.pid, hello.since or math.inf
        self._children = tuple(msgspec.convert({**each, "t": "started"}, type=ChildStatus) for each in hello.children)
        self._confirms, self._opens_inputs = hello.confirms, hello.opens_inputs
        new = {child.id: child for child in self._children if self._known.began(child.id, child.began)}
        for child_id in self._known.missing(child.id for child in self._children):
            # of an earlier keeper that could not record it
            self._event(Exited(id=child_id, seq=LAST, code=None, ended=time.time(), lost=True))
        again = [frame({"t": "ack", "acks": acks})] if (acks := self._known.to_forget()) else []
        again += [frame({"t": "kill", "id": each, "grace_s": s}) for each, s in self._known.to_kill().items()]
        for child_id, asked in list(self._starts.items()):
            if child_id in new:
                self._answer(child_id, new[child_id])
            else:
                again.append(asked.data)
        if self._writer is not None:
            self._writer.writelines(again)
        self._linked.set()

    def _answer(self, child_id: str, answer: ChildStatus | QuarterdeckError) -> None:
        asked = self._starts.get(child_id)
        if asked is None or asked.answer.done():
            return
        if isinstance(answer, ChildStatus):
            asked.answer.set_result(answer)
        else:
            asked.answer.set_exception(answer)

    def _event(self, event: Event) -> None:
        """Return the event of a frame. A repeated event is acknowledged again if it was, and not reported."""
        before = self._known.heard(event.id, event.seq, exited=isinstance(event, Exited))
        if before is None:
            self._events.append(event)
            self._news.set()
        elif before and self._writer is not None:
            self._writer.write(frame({"t": "ack", "acks": {event.id: before}}))


def _tell(answer: asyncio.Future[ChildStatus], started: Callable[[ChildStatus], None]) -> None:
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
