"""The keeper's loop: children, their pipes and exits on one side, the agent on the other.

One thread, one epoll, the standard library only. It decides nothing: when something is to be restarted or has run too
long is the agent's business. One agent at a time; a tree ends with its first process, and an exit is told when all of
its output was told and nobody of its tree is left. It ends when nothing runs and no agent is heard.

    agent → keeper   hello · start · kill · ack · stop
    keeper → agent   hello · started · refused · output · lost · exit
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper needs a POSIX system.")

from quarterdeck.agent.processes.child import Child, left_in
from quarterdeck.agent.processes.frames import VERSION, Frames, NotAFrame, frame
from quarterdeck.agent.processes.peers import may_command
from quarterdeck.agent.processes.starting import Refused, Starter
from quarterdeck.agent.processes.timers import Timers

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from quarterdeck.agent.processes.frames import Header

#: how long it stays with no child and no agent
LINGER_S = 60.0
#: between TERM and KILL, unless the agent says otherwise
GRACE_S = 10.0
#: an agent that acknowledges nothing for so long is treated as one that is away: children are no longer held up for it
PATIENCE_S = 30.0
#: a pipe that somebody outside of the tree holds is closed so long after the child's end
DRAIN_S = 5.0
#: between looks at a tree that does not end
AGAIN_S = 0.05
#: after so long an exit is told although some of its tree cannot be killed (they hang in the kernel)
SURVIVE_S = 30.0
#: what waits for the socket; more stays in the backlogs
OUT_BYTES = 512 * 1024

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Keeper:
    """The loop. `listener`: its socket; `home`: where it keeps what waits."""

    def __init__(self, listener: socket.socket, home: str, *, linger_s: float = LINGER_S) -> None:
        self._home = home
        self._me = {"pid": os.getpid(), "since": time.monotonic()}
        self._linger_s = linger_s
        self._children: dict[str, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._numbers = 0
        self._starter = Starter()
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers = Timers()
        self._held: set[int] = set()  #: descriptors that are not read, since their backlog is full
        self._ready: dict[str, Child] = {}  #: those that may have something to say
        self._agent: socket.socket | None = None
        self._frames = Frames()
        self._out = bytearray()
        self._blocked = False  #: the socket took not all of it
        self._heard = time.monotonic()
        self._stopping = False
        listener.setblocking(False)
        self._listener = listener
        self._watch(listener.fileno(), _IN, self._accept)
        self._watch(self._starter.mounts, select.EPOLLPRI, self._starter.look)
        wakes, self._wake = socket.socketpair()
        for end in (wakes, self._wake):
            end.setblocking(False)
        self._wakes = wakes
        self._watch(wakes.fileno(), _IN, self._reap)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only so that the wake-up is written
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._adopt()
        self._look()

    def run(self) -> None:
        """Until there is nothing left to keep."""
        while not self._done():
            for descriptor, events in self._epoll.poll(self._wait_s()):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler(events)
            self._timers.run()
            if self._held and self._away():
                self._release()
            self._pump()
        for child in self._children.values():  # the next keeper tells it
            child.backlog.spill()

    def _done(self) -> bool:
        if self._agent is not None:
            return self._stopping and not self._children
        return self._idle() and (self._stopping or time.monotonic() - self._heard >= self._linger_s)

    def _idle(self) -> bool:
        """Whether nothing runs."""
        return not self._by_pid and all(child.finished and child.failing < 0 for child in self._children.values())

    def _look(self) -> None:
        """Without the folder no agent will find the way here: all is to end."""
        if self._agent is None and not os.path.exists(self._home):  # noqa: PTH110 (pathlib costs memory)
            self._stopping = True
            for child in list(self._children.values()):
                self._end(child, GRACE_S)
        else:
            self._timers.later(max(1.0, self._linger_s), self._look)

    def _wait_s(self) -> float:
        waits = self._timers.waits(now := time.monotonic())
        if self._agent is None and self._idle():
            waits.append(self._heard + self._linger_s - now)
        if self._held and self._agent is not None:
            waits.append(PATIENCE_S)
        return max(0.0, min(waits)) if waits else -1

    def _watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def _close(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None and descriptor not in self._held:
            self._epoll.unregister(descriptor)
        self._held.discard(descriptor)
        os.close(descriptor)

    def _adopt(self) -> None:
        """What an earlier keeper left is ended, and told of."""
        for number, child in left_in(f"{self._home}/children"):
            self._numbers = max(self._numbers, number)
            if child is not None and child.id not in self._children:
                child.lost()
                self._children[child.id] = self._ready[child.id] = child

    def _start(self, header: Header, body: bytes) -> None:
        child_id = header["id"]
        if child_id in self._children:
            self._say({"t": "refused", "id": child_id, "stage": "id", "errno": 17, "why": "this id is in use"})
            return
        self._numbers += 1
        child = Child(header, f"{self._home}/children/{self._numbers}")
        try:
            child.spawn(header, body, self._starter)
        except Refused as refused:
            self._say({"t": "refused", "id": child_id, **refused.told()})
            return
        self._children[child_id] = self._by_pid[child.pid] = child
        for descriptor in child.outputs:
            self._watch(descriptor, _IN, lambda _, at=descriptor: self._read(child, at))
        if child.stdin >= 0:
            self._watch(child.stdin, _OUT, lambda _: self._feed(child))
            self._feed(child)
        if child.failing >= 0:
            self._watch(child.failing, _IN, lambda _: self._started(child))
        else:
            self._say({"t": "started", **child.describe()})

    def _started(self, child: Child) -> None:
        if not child.read_failure():
            return
        self._close(child.failing)
        child.failing = -1
        if child.failure is None:
            self._say({"t": "started", **child.describe()})
        self._finish(child)

    def _feed(self, child: Child) -> None:
        if not child.input or not child.write():
            self._close(child.stdin)
            child.stdin = -1

    def _read(self, child: Child, descriptor: int) -> None:
        if child.backlog.full and not self._away():
            self._held.add(descriptor)
            self._epoll.unregister(descriptor)
        elif child.read(descriptor):
            self._ready[child.id] = child
        else:
            self._end_output(child, descriptor)
            self._finish(child)

    def _end_output(self, child: Child, descriptor: int) -> None:
        del child.outputs[descriptor]
        self._close(descriptor)

    def _release(self) -> None:
        """Read again what was held up."""
        for descriptor in list(self._held):
            self._held.discard(descriptor)
            self._epoll.register(descriptor, _IN)

    def _reap(self, _: int) -> None:
        """Every child that ended, however many signals were merged into one; orphans of trees end here too."""
        with suppress(BlockingIOError):
            while self._wakes.recv(4096):
                pass
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (child := self._by_pid.pop(pid, None)) is not None:
                if child.failing >= 0:
                    self._started(child)
                child.reaped(status, usage)
                if child.stdin >= 0:
                    self._close(child.stdin)
                    child.stdin = -1
                for _ in range(2):  # mostly what is left of it, and the end
                    for descriptor in child.outputs.keys() - self._held:
                        self._read(child, descriptor)
                if child.outputs:
                    self._timers.later(DRAIN_S, lambda left=child: self._drained(left))
                self._sweep(child, time.monotonic() + SURVIVE_S)

    def _sweep(self, child: Child, until: float) -> None:
        """The first process of a tree has ended, so all of it has to; those who were told to have their grace."""
        left = child.tree.left(self._by_pid)
        if left:
            now = time.monotonic()
            if now >= child.grace_until:
                child.tree.kill()
            if now < until:
                self._timers.later(AGAIN_S, lambda: self._sweep(child, until))
                return
            child.survived(len(left))
        child.swept = True
        self._finish(child)

    def _drained(self, child: Child) -> None:
        for descriptor in list(child.outputs):
            if descriptor in self._held or child.backlog.full:
                self._timers.later(DRAIN_S, lambda: self._drained(child))
                return
            self._end_output(child, descriptor)
        self._finish(child)

    def _finish(self, child: Child) -> None:
        """Once it was reaped and its pipes are at their end."""
        if not child.finished or child.failing >= 0:
            return
        if child.failure is not None:
            self._say({"t": "refused", "id": child.id, **child.failure})
            self._forget(child)
            return
        child.save(child.exit or {})
        self._ready[child.id] = child

    def _forget(self, child: Child) -> None:
        self._children.pop(child.id, None)
        self._ready.pop(child.id, None)
        child.remove()

    def _end(self, child: Child, grace_s: float) -> None:
        """TERM, and KILL for the whole tree when the grace is over."""
        if child.exit is None:
            child.killed = True
            child.grace_until = time.monotonic() + grace_s
            if grace_s > 0:
                child.tree.send(signal.SIGTERM)
            self._timers.later(grace_s, lambda: self._kill(child))

    def _kill(self, child: Child) -> None:
        if child.exit is None and child.id in self._children:
            child.tree.kill()
            self._timers.later(AGAIN_S, lambda: self._kill(child))

    def _accept(self, _: int) -> None:
        with suppress(BlockingIOError):
            connection, _address = self._listener.accept()
            if not may_command(connection):
                connection.close()
                return
            self._drop_agent()
            connection.setblocking(False)
            self._agent, self._frames, self._heard = connection, Frames(), time.monotonic()
            self._watch(connection.fileno(), _IN, self._converse)
            for child in self._children.values():
                child.backlog.rewind()
                child.exit_sent = False
                self._ready[child.id] = child

    def _drop_agent(self) -> None:
        if self._agent is not None:
            self._close(self._agent.detach())
            self._agent, self._heard, self._blocked = None, time.monotonic(), False
        self._out.clear()
        self._release()

    def _away(self) -> bool:
        """Whether output must not wait for the agent."""
        return self._agent is None or time.monotonic() - self._heard > PATIENCE_S

    def _converse(self, events: int) -> None:
        agent = self._agent
        if agent is None:
            return
        try:
            if events & ~_OUT:
                data = agent.recv(1024 * 1024)
                if not data:
                    self._drop_agent()
                    return
                self._heard = time.monotonic()
                for header, body in self._frames.feed(data):
                    self._obey(header, body)
            if self._agent is agent:
                self._flush(agent)
        except BlockingIOError:
            return
        except (OSError, NotAFrame, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            print(f"the agent's connection ends: {error!r}", file=sys.stderr, flush=True)  # noqa: T201 (the log)
            self._drop_agent()

    def _obey(self, header: Header, body: bytes) -> None:
        child = self._children.get(str(header.get("id")))
        match header["t"]:
            case "hello":
                children = [each.describe() for each in self._children.values()]
                self._say({"t": "hello", "version": VERSION, **self._me, "children": children})
            case "start":
                self._start(header, body)
            case "kill" if child is not None:
                self._end(child, float(header.get("grace_s", GRACE_S)))
            case "ack":
                self._acknowledge(header["acks"])
            case "stop":
                self._stopping = True
            case _:
                return  # a child that is gone, or a word of another agent

    def _acknowledge(self, acks: dict[str, int]) -> None:
        for child_id, seq in acks.items():
            child = self._children.get(child_id)
            if child is not None:
                child.backlog.acknowledge(seq)
                if child.exit_sent and seq > child.backlog.last_seq:
                    self._forget(child)
                else:
                    self._ready[child_id] = child
        self._release()

    def _say(self, header: Header, body: bytes = b"") -> None:
        if self._agent is not None:
            self._out += frame(header, body)

    def _pump(self) -> None:
        """Send what children have to say, each in turn, as much as the socket takes."""
        if self._agent is None:
            self._ready.clear()
            return
        while self._ready and len(self._out) < OUT_BYTES:
            for child in list(self._ready.values()):
                if not self._tell(child):
                    self._ready.pop(child.id, None)
        try:
            self._flush(self._agent)
        except OSError:
            self._drop_agent()

    def _tell(self, child: Child) -> bool:
        """One thing of a child; False when there is no more for now."""
        record = child.backlog.next()
        if record is not None:
            self._say(*child.told(record))
            return True
        if child.finished and child.failing < 0 and child.backlog.empty and not child.exit_sent:
            child.exit_sent = True
            self._say(child.exit_frame())
        return False

    def _flush(self, agent: socket.socket) -> None:
        with suppress(BlockingIOError):
            while self._out:
                del self._out[: agent.send(self._out)]
        if bool(self._out) != self._blocked:
            self._blocked = not self._blocked
            self._epoll.modify(agent.fileno(), _IN | _OUT if self._blocked else _IN)
